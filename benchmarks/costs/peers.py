"""What policies cost that others wrap around a transport: `python -m benchmarks peers`.

Each figure is a call to the end of its body, less the same call on the null transport in the same round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx

from ambassador_lib import AmbassadorTransport

from ..contestants.base import KINDS
from ..figures.recorder import Recorder, spread
from ..figures.results import Cost, Entry
from ..reports.output import add_output_arguments, tell
from . import peers_async, peers_sync
from .lanes import Lane, async_batch, compared, less, measure, sync_batch
from .layers import refuse_a_tracer
from .null import NullTransport
from .policy import URL, all_layers

if TYPE_CHECKING:
    import argparse

NULL = "null transport"
OURS = "ambassador_lib, all layers"
BODIES = (("complete", False), ("streamed", True))


@dataclass(frozen=True)
class Peer:
    """A contestant: `sync` and `asynchronous` wrap a null transport, `None` where it has nothing of that kind.
    `whole`: a client with its `get`, no transport; what it costs is mostly httpx's own."""

    name: str
    needs: tuple[str, ...] = ()
    sync: Callable[[NullTransport], Any] | None = None
    asynchronous: Callable[[NullTransport], Any] | None = None
    whole: bool = False

    @property
    def absent(self) -> str | None:
        """Why it cannot be measured here."""
        missing = [name for name in self.needs if find_spec(name) is None]
        return f"not installed: {', '.join(missing)}" if missing else None


PEERS = (
    Peer(NULL, (), lambda null: null.handle_request, lambda null: null.handle_async_request),
    Peer(OURS, (), peers_sync.ours, peers_async.ours),
    Peer("tenacity", ("tenacity",), peers_sync.tenacity, peers_async.tenacity),
    Peer("stamina", ("stamina",), peers_sync.stamina, peers_async.stamina),
    Peer("hyx, retry", ("hyx",), None, peers_async.hyx_retry),
    Peer("httpx-retries", ("httpx_retries",), peers_sync.httpx_retries, peers_async.httpx_retries),
    Peer("pybreaker", ("pybreaker",), peers_sync.pybreaker, peers_async.pybreaker),
    Peer("aiobreaker", ("aiobreaker",), None, peers_async.aiobreaker),
    Peer("purgatory", ("purgatory",), peers_sync.purgatory, peers_async.purgatory),
    Peer("hyx, breaker", ("hyx",), None, peers_async.hyx_breaker),
    Peer(
        "tenacity + pybreaker",
        ("tenacity", "pybreaker"),
        peers_sync.tenacity_and_pybreaker,
        peers_async.tenacity_and_pybreaker,
    ),
    Peer("httpx's client itself", (), peers_sync.httpx_client, peers_async.httpx_client, whole=True),
    Peer("ambassador_lib's client", (), peers_sync.our_client, peers_async.our_client, whole=True),
)


def lanes(loop: asyncio.Runner) -> list[Lane]:
    """Set up every contestant that is installed, in both kinds and with both kinds of bodies."""
    found = []
    for body, streamed in BODIES:
        group = f"peers, {body} body"
        for peer in PEERS:
            if peer.absent is not None:
                continue
            if peer.sync is not None:
                finish = peers_sync.dropping if peer.whole else peers_sync.to_the_end
                found.append(
                    Lane("sync", group, peer.name, sync_batch(finish(peer.sync(NullTransport(streamed=streamed)))))
                )
            if peer.asynchronous is not None:
                ending = peers_async.dropping if peer.whole else peers_async.to_the_end
                wrapped = ending(peer.asynchronous(NullTransport(streamed=streamed)))
                found.append(Lane("async", group, peer.name, async_batch(loop, wrapped)))
    return found


def check_ours() -> None:
    """Refuse to measure a stack that does not do its work."""
    refuse_a_tracer()
    with AmbassadorTransport(all_layers(), inner=NullTransport(streamed=False)) as transport:
        report = transport.handle_request(httpx.Request("GET", URL)).extensions["ambassador"]
    if report.cluster != "billing" or len(report.attempts) != 1:
        raise SystemExit(f"the stack took another way than expected: {report}")


def evaluate(measured: list[Lane]) -> list[Cost]:
    """Subtract the null transport round by round and compare with ours."""
    by_key = {(lane.kind, lane.group, lane.name): lane for lane in measured}
    costs = []
    for lane in measured:
        null = by_key[lane.kind, lane.group, NULL]
        if lane is null:
            costs.append(Cost(group=lane.group, name=lane.name, kind=lane.kind, total=spread(lane.seconds)))
            continue
        over, ours = less(lane, null), less(by_key[lane.kind, lane.group, OURS], null)
        shares = compared(over, ours)
        costs.append(
            Cost(
                group=lane.group,
                name=lane.name,
                kind=lane.kind,
                total=spread(lane.seconds),
                over=spread(over),
                share=spread(shares) if shares else None,
            )
        )
    return sorted(costs, key=lambda cost: (cost.group, cost.kind, cost.total.median))


def entries() -> list[Entry]:
    """Say who was there, and who was not."""
    return [
        Entry(name=peer.name, kind=kind, title=peer.name, family="peers", absent=peer.absent)
        for peer in PEERS
        for kind in KINDS
        if (peer.sync if kind == "sync" else peer.asynchronous) is not None
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=300, help="calls a contestant and round (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how fast")
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Measure and tell."""
    check_ours()
    recorder = Recorder("peers", options)
    rounds, calls = (2, 30) if options.quick else (options.rounds, options.calls)
    with asyncio.Runner() as loop:
        measured = lanes(loop)
        measure(measured, rounds=rounds, calls=calls)
    return tell(recorder.run(costs=tuple(evaluate(measured)), entries=tuple(entries())), options)
