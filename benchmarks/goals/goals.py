"""The goals, one a line. All are of clients on the upstream's core, where time is the sum of all work.

`FULL` is the library with everything on: routing, retries, breakers, timeouts, balancing, outlier detection, metrics
and a trace of which every call is sampled. Each goal is there for the interpreted library, and once more for the
compiled one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..compiled import SUFFIX
from ..contestants.ours import compiled
from ..figures.results import Kind
from ..scale.measure import OURS

FULL, QUIET, BARE = "ours-full", "ours", "ours-bare"
HTTPX = ("httpx", "httpx-sniffio", "httpx-default", "httpx-sniffio-default")
"""httpx in each configuration that may be its best."""


@dataclass(frozen=True)
class Ratio:
    """A figure of one contestant divided by that of the best of others, round by round."""

    figure: str
    name: str
    against: tuple[str, ...]
    kind: Kind = "async"
    callers: int = 1


@dataclass(frozen=True)
class Excess:
    """What one contestant takes beyond another: percent of the other's figure, or microseconds."""

    figure: str
    name: str
    beyond: str
    unit: Literal["%", "µs"]
    kind: Kind = "async"
    callers: int = 1


@dataclass(frozen=True)
class Growth:
    """What the far end of a scale's axis takes beyond its near end, in percent of a call of `name` over the network.

    `curve`: whose it is along the axis.
    """

    axis: str
    figure: str
    name: str
    kind: Kind
    curve: str = OURS


@dataclass(frozen=True)
class Alone:
    """A figure that stands for itself, see `results.Single`; `per` of its own unit are one of the goal's."""

    name: str
    of: str
    per: float = 1.0
    kind: Kind = "async"


@dataclass(frozen=True)
class Goal:
    """`limit`: at most that, or with `at_least` at least; in the terms of what is measured."""

    figure: str
    against: str
    limit: float
    of: Ratio | Excess | Growth | Alone
    at_least: bool = False
    unit: str = "x"
    compiled: bool = False


def _p50(title: str, limit: float, against: str, *, kind: Kind = "async", name: str = FULL) -> Goal:
    return Goal(f"{kind} p50", title, limit, Ratio("p50", name, (against,), kind))


def _tls(title: str, limit: float, against: str, kind: Kind) -> Goal:
    return Goal(f"{kind} TLS p50", title, limit, Ratio("p50", f"{FULL}-tls", (against,), kind))


def _rate(title: str, limit: float, *against: str, callers: int) -> Goal:
    return Goal(
        f"throughput, {callers} callers", title, limit, Ratio("rate", FULL, against, callers=callers), at_least=True
    )


KILOBYTE, MEGABYTE = 1024.0, 1024.0**2


def _process(kind: Kind) -> Goal:
    of = Alone("memory-of-process", QUIET, MEGABYTE, kind)
    return Goal(f"memory of a process, {kind}", "one httpx request", 2, of, unit="MB")


GOALS = (
    _p50("raw asyncio + httptools", 1.6, "floor"),
    _p50("httpx", 1 / 14, "httpx"),
    _p50("httpx + sniffio", 1 / 10, "httpx-sniffio"),
    _p50("httpx2", 1 / 9, "httpx2"),
    _p50("httpx through Envoy", 1 / 18, "httpx-envoy"),
    _p50("aiohttp", 0.6, "aiohttp"),
    _p50("pyreqwest", 0.6, "pyreqwest"),
    _p50("raw asyncio through Envoy", 0.6, "floor-envoy"),
    Goal("policies, no telemetry", "routing alone", 5, Excess("p50", QUIET, BARE, "%"), unit="%"),
    Goal("sampled trace and metrics", "no telemetry", 6, Excess("p50", FULL, QUIET, "µs"), unit="µs"),
    _rate("best httpx", 45, *HTTPX, callers=32),
    _rate("httpx through Envoy", 60, "httpx-envoy", callers=32),
    _rate("aiohttp", 1.7, "aiohttp", callers=32),
    _rate("best httpx", 50, *HTTPX, callers=256),
    Goal("p99, 256 callers", "best httpx", 1 / 25, Ratio("p99", FULL, HTTPX, callers=256)),
    Goal("CPU of the client", "httpx", 1 / 18, Ratio("cpu_client", FULL, ("httpx",))),
    Goal("CPU of client and sidecar", "httpx + Envoy", 1 / 22, Ratio("cpu_all", FULL, ("httpx-envoy",))),
    _p50("raw socket + httptools", 1.65, "floor", kind="sync"),
    _p50("httpx", 1 / 8, "httpx", kind="sync"),
    _p50("httpx through Envoy", 1 / 12, "httpx-envoy", kind="sync"),
    _p50("urllib3", 1 / 4, "urllib3", kind="sync"),
    _tls("raw asyncio + httptools", 1.5, "floor-tls", "async"),
    _tls("httpx", 1 / 7.5, "httpx-tls", "async"),
    _tls("raw socket + httptools", 1.5, "floor-tls", "sync"),
    _tls("httpx", 1 / 7.5, "httpx-tls", "sync"),
    _process("sync"),
    _process("async"),
    Goal("memory of a connection", "", 12, Alone("memory-a-connection", QUIET, KILOBYTE), unit="KB"),
    Goal("memory of an endpoint", "", 0.6, Alone("memory-an-endpoint", QUIET, KILOBYTE, "sync"), unit="KB"),
    Goal("memory of a route", "", 0.45, Alone("memory-a-route", QUIET, KILOBYTE, "sync"), unit="KB"),
    Goal(
        "10,000 endpoints, 1,000 routes, each URL new", "one of each", 5,
        Growth("everything", "cpu_client", FULL, "sync"), unit="%",
    ),
    Goal("collections in 10,000 calls, no telemetry", "", 2, Alone("collections", QUIET), unit=""),
    Goal("collections in 10,000 calls, all on", "", 2, Alone("collections", FULL), unit=""),
)  # fmt: skip
"""Memory is without OpenTelemetry's SDK."""


def _compiled(goal: Goal) -> Goal:
    """Return the goal as one of the compiled library, against the same others."""
    of = goal.of
    if isinstance(of, Alone):
        return replace(goal, of=replace(of, of=compiled(of.of)), compiled=True)
    if isinstance(of, Excess):
        of = replace(of, beyond=compiled(of.beyond))
    if isinstance(of, Growth):
        of = replace(of, curve=of.curve + SUFFIX)
    return replace(goal, of=replace(of, name=compiled(of.name)), compiled=True)


COMPILED = tuple(map(_compiled, GOALS))
