"""What each layer of the stack costs: `python -m benchmarks layers`.

A stack is built for each layer in which this layer alone has a stopwatch around it; what it costs is what passes there,
less what passes at the layer below. Each stack has one stopwatch, so that its own cost goes out in the difference.
Where layers would run as one coroutine they are taken apart for that; what the joined stack saves is told beside them.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx
from opentelemetry import trace

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, stack

from ..figures.recorder import Recorder, spread
from ..figures.results import Cost
from ..reports.output import add_output_arguments, tell
from .lanes import Lane, less, measure
from .null import NullTransport
from .policy import URL, all_layers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from ambassador_lib.call import Call, Handler, Next

    from ..figures.results import Kind
    from .lanes import Batch

TOTAL = "the whole call"
NULL = "null transport"
JOINED = "all, joined"
"""The whole call as it runs: layers without a filter between them share a coroutine."""
OUTSIDE = "transport and body"
"""Above the outermost layer: the request taken in, and the body read to its end."""


class StopWatch:
    """Wraps the layers whose class is `chosen` (`None`: all); remembers their order and how long each pass took."""

    def __init__(self, chosen: str | None) -> None:
        self.order: list[str] = []
        self.nanoseconds: list[int] = []
        self._chosen = chosen

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have it in every chain that is composed meanwhile."""
        with mock.patch.object(stack, "_bind", self._bind), mock.patch.object(stack.Stack, "joins", False):
            yield

    def _bind(self, handler: Handler, next: Next) -> Next:
        bound = _bind(handler, next)
        name = type(handler).__name__
        if self._chosen is not None and name != self._chosen:
            return bound

        async def timed(call: Call) -> httpx.Response:
            if self._chosen is None:
                self.order.append(name)
            start = time.perf_counter_ns()
            response = await bound(call)
            self.nanoseconds.append(time.perf_counter_ns() - start)
            return response

        return timed


_bind = stack._bind


def order() -> list[str]:
    """Return the layers that a call passes, outermost first."""
    watch = StopWatch(None)
    with watch.installed(), AmbassadorTransport(all_layers(), inner=NullTransport(streamed=True)) as transport:
        transport.handle_request(httpx.Request("GET", URL)).read()
    return list(dict.fromkeys(watch.order))


class Loops:
    """Runs calls, blocking or on an event loop."""

    def __init__(self, loop: asyncio.Runner) -> None:
        self._loop = loop

    def lanes(self, layers: list[str]) -> list[Lane]:
        """Return a lane for each layer of each kind, and those for the whole call, joined or not, and the transport."""
        lanes = []
        for name in [TOTAL, JOINED, NULL, *layers]:
            watch = StopWatch(name)
            null = NullTransport(streamed=True)
            with nullcontext() if name == JOINED else watch.installed():
                sync = null if name == NULL else AmbassadorTransport(all_layers(), inner=null)
                other = null if name == NULL else AsyncAmbassadorTransport(all_layers(), inner=null)
                # A route's chain is made with its first call.
                self._sync(sync, watch, inside=False)(1)
                self._async(other, watch, inside=False)(1)
                inside = name not in (TOTAL, JOINED, NULL)
                batches: tuple[tuple[Kind, Batch], ...] = (
                    ("sync", self._sync(sync, watch, inside=inside)),
                    ("async", self._async(other, watch, inside=inside)),
                )
                for kind, batch in batches:
                    batch(1)  # the chain of a route is composed when it is first taken
                    lanes.append(Lane(kind, "layers", name, batch))
        return lanes

    def _sync(self, transport: httpx.BaseTransport, watch: StopWatch, *, inside: bool) -> Callable[[int], float]:
        request = httpx.Request("GET", URL)

        def batch(calls: int) -> float:
            watch.nanoseconds.clear()
            whole = []
            for _ in range(calls):
                start = time.perf_counter_ns()
                response = transport.handle_request(request)
                response.read()
                response.close()
                whole.append(time.perf_counter_ns() - start)
            return statistics.median(watch.nanoseconds if inside else whole) / 1e9

        return batch

    def _async(self, transport: httpx.AsyncBaseTransport, watch: StopWatch, *, inside: bool) -> Callable[[int], float]:
        request = httpx.Request("GET", URL)

        async def run(calls: int) -> float:
            watch.nanoseconds.clear()
            whole = []
            for _ in range(calls):
                start = time.perf_counter_ns()
                response = await transport.handle_async_request(request)
                await response.aread()
                await response.aclose()
                whole.append(time.perf_counter_ns() - start)
            return statistics.median(watch.nanoseconds if inside else whole) / 1e9

        return lambda calls: self._loop.run(run(calls))


def evaluate(lanes: list[Lane], layers: list[str]) -> list[Cost]:
    """Subtract from each layer what is below it, the transport from the last one; last, what all take when joined."""
    costs = []
    for kind in ("sync", "async"):
        by_name = {lane.name: lane for lane in lanes if lane.kind == kind}
        whole = statistics.median(less(by_name[TOTAL], by_name[NULL]))
        for name, below in zip([TOTAL, *layers], [*layers, NULL], strict=True):
            own = less(by_name[name], by_name[below])
            costs.append(
                Cost(
                    group="layers",
                    name=OUTSIDE if name == TOTAL else name,
                    kind=kind,
                    total=spread(by_name[name].seconds),
                    over=spread(own),
                    share=spread([seconds / whole for seconds in own]),
                )
            )
        joined = less(by_name[JOINED], by_name[NULL])
        costs.append(
            Cost(
                group="layers",
                name=JOINED,
                kind=kind,
                total=spread(by_name[JOINED].seconds),
                over=spread(joined),
                share=spread([seconds / whole for seconds in joined]),
            )
        )
    return costs


def refuse_a_tracer() -> None:
    """End where telemetry is on: these figures are for telemetry off."""
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        sys.exit("an OpenTelemetry SDK is set up; these figures are for telemetry off")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=300, help="calls a layer and round (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how fast")
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Measure and tell."""
    refuse_a_tracer()
    recorder = Recorder("layers", options)
    rounds, calls = (2, 30) if options.quick else (options.rounds, options.calls)
    layers = order()
    with asyncio.Runner() as loop:
        lanes = Loops(loop).lanes(layers)
        measure(lanes, rounds=rounds, calls=calls)
    return tell(recorder.run(costs=tuple(evaluate(lanes, layers))), options)
