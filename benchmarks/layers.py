"""The cost of the layers over a transport that answers at once: `python -m benchmarks.layers`.

Each figure is a call to the end of its body, less the same call on the null transport in the same round. What counts
is the thread's CPU time: nothing here waits, so it is the wall time of a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from opentelemetry import trace

from ambassador_lib import AmbassadorTransport

from .contestants import NULL, OURS, AsyncCall, SyncCall, async_contestants, sync_contestants
from .null import NullTransport
from .policy import URL, all_layers
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = ("httpx", "tenacity", "pybreaker", "httpx-retries", "opentelemetry-api")


@dataclass(frozen=True)
class Row:
    """One contestant in one mode; times are microseconds a call, medians over the rounds."""

    mode: str
    body: str
    contestant: str
    total: float
    over_null: float
    low: float
    high: float
    against_ours: float


@dataclass
class Lane:
    """One contestant and what was measured of it, seconds a call and round."""

    mode: str
    body: str
    contestant: str
    batch: Callable[[int], float]
    seconds: list[float]


def check_layers() -> None:
    """Refuse to measure a stack that does not do its work."""
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        sys.exit("an OpenTelemetry SDK is set up; these figures are for telemetry off")
    transport = AmbassadorTransport(all_layers(), inner=NullTransport(streamed=False))
    report = transport.handle_request(httpx.Request("GET", URL)).extensions["ambassador"]
    if report.cluster != "billing" or len(report.attempts) != 1:
        sys.exit(f"the stack took another way than expected: {report}")
    transport.close()


def lanes(loop: asyncio.Runner) -> list[Lane]:
    """Set up every contestant, in both modes and with both kinds of bodies."""
    found = []
    for body, streamed in (("complete", False), ("streamed", True)):
        for name, call in sync_contestants(streamed=streamed):
            found.append(Lane("sync", body, name, _sync_batch(call), []))
        for name, async_call in async_contestants(streamed=streamed):
            found.append(Lane("async", body, name, _async_batch(loop, async_call), []))
    return found


def _sync_batch(call: SyncCall) -> Callable[[int], float]:
    def batch(calls: int) -> float:
        start = time.thread_time()
        for _ in range(calls):
            call()
        return (time.thread_time() - start) / calls

    return batch


def _async_batch(loop: asyncio.Runner, call: AsyncCall) -> Callable[[int], float]:
    async def run(calls: int) -> float:
        start = time.thread_time()
        for _ in range(calls):
            await call()
        return (time.thread_time() - start) / calls

    return lambda calls: loop.run(run(calls))


def measure(measured: list[Lane], *, rounds: int, calls: int) -> None:
    """Run every lane once a round, in another order each time, so that all share the machine's good and bad moments."""
    for lane in measured:
        lane.batch(max(20, calls // 10))
    order = list(measured)
    with Progress(rounds * len(order)) as progress:
        for _ in range(rounds):
            random.shuffle(order)
            for lane in order:
                gc.collect()
                lane.seconds.append(lane.batch(calls))
                progress.step()


def evaluate(measured: list[Lane]) -> list[Row]:
    """Subtract the null transport round by round and compare with ours."""
    by_key = {(lane.mode, lane.body, lane.contestant): lane.seconds for lane in measured}

    def over_null(mode: str, body: str, contestant: str) -> list[float]:
        null = by_key[mode, body, NULL]
        return [(own - base) * 1e6 for own, base in zip(by_key[mode, body, contestant], null, strict=True)]

    rows = []
    for (mode, body, contestant), seconds in by_key.items():
        over = over_null(mode, body, contestant)
        ours = statistics.median(over_null(mode, body, OURS))
        deciles = statistics.quantiles(over, n=10) if len(over) > 1 else over * 9
        rows.append(
            Row(
                mode=mode,
                body=body,
                contestant=contestant,
                total=statistics.median(seconds) * 1e6,
                over_null=statistics.median(over),
                low=deciles[0],
                high=deciles[-1],
                against_ours=statistics.median(over) / ours,
            )
        )
    return rows


def print_table(rows: list[Row]) -> None:
    """Print one block a mode and kind of body."""
    block = None
    for row in rows:
        if (row.mode, row.body) != block:
            block = (row.mode, row.body)
            print(f"\n{row.mode}, {row.body} body{'':<14} µs a call | over null (10 %..90 %)      | x ours")
        if row.contestant == NULL:
            print(f"  {row.contestant:<31}{row.total:>8.1f} |")
            continue
        spread = f"({row.low:.1f} .. {row.high:.1f})"
        print(f"  {row.contestant:<31}{row.total:>8.1f} |{row.over_null:>8.1f} {spread:<19} |{row.against_ours:>7.2f}")


def environment() -> dict[str, str]:
    """Describe where the figures come from."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count()),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        **{name: version(name) for name in PACKAGES},
    }


def main() -> None:
    """Measure, print the table and, if asked, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=300, help="calls a contestant and round (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    options = parser.parse_args()
    check_layers()
    about = environment()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    with asyncio.Runner() as loop:
        measured = lanes(loop)
        measure(measured, rounds=options.rounds, calls=options.calls)
    rows = evaluate(measured)
    print_table(rows)
    if options.json is not None:
        document = {"environment": about, "rounds": options.rounds, "calls": options.calls}
        options.json.write_text(json.dumps({**document, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
