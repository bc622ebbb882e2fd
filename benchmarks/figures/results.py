"""The shape of a run's results: the seam between those who measure and those who report.

Times are seconds, memory is bytes, rates are calls a second. Whatever a report says is computed from one `Run`, or is
a `Ratio` in it that was computed from the run's own rounds. JSON: `to_json` and `from_json` are each other's opposites.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from .shape import from_plain

SCHEMA = 1

Kind = Literal["sync", "async"]
Placement = Literal["same-core", "cross-core", "unpinned"]
Verdict = Literal["less", "more", "no difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Where, when and how it was measured; `about.about_now` makes one.

    `versions`: of Python packages, and of programs (`envoy`, `nginx`, ...) that took part. `started`: ISO 8601, UTC.
    """

    command: str
    started: str
    system: str
    processor: str
    cores: int
    memory: int
    python: str
    load: tuple[float, float, float]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A contestant of one kind, whether it could take part or not.

    `name` is the identity within a kind, `title` is for people, `family` groups (httpx, ours, sidecar, diy, others,
    floor). `through` names the sidecar the calls go through, `telemetry` says what is recorded (off, unsampled,
    sampled). `absent` says why it could not be measured; then the rest is `None`. `import_time`: to
    import what it needs in a fresh interpreter; `start_time`: from there to its first answer. `memory` is the
    process's resident set before the first and after the last round.
    """

    name: str
    kind: Kind
    title: str
    family: str
    telemetry: str | None = None
    through: str | None = None
    absent: str | None = None
    import_time: float | None = None
    start_time: float | None = None
    memory_at_start: int | None = None
    memory_at_end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was asked of everybody. Closed loop: `callers` at once, each calls again when it has its answer.

    Open loop: `rate` calls a second are due whatever becomes of them, and a call's latency begins when it was due.
    `callers` is then the bound on calls under way.
    """

    loop: Literal["closed", "open"]
    callers: int
    rate: float | None = None
    body: int = 0
    """Bytes of the response's body."""

    @property
    def title(self) -> str:
        if self.rate is not None:
            return f"open loop, {self.rate:g} calls/s"
        return f"closed loop, {self.callers} caller{'s' * (self.callers != 1)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A distribution. `curve` holds (percentile 0..100, seconds), rising, from an HDR histogram.

    `histogram` is that histogram, encoded as HdrHistogram does (nanoseconds, compressed, base64), or "".
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    curve: tuple[tuple[float, float], ...] = ()
    histogram: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One contestant's turn in one round. CPU is seconds a call, of each process apart (`None`: none there).

    `unsent` are calls of an open loop that were due and never made, since too many were under way.
    """

    number: int
    calls: int
    errors: int
    unsent: int
    seconds: float
    rate: float
    """Answers a second."""
    latency: Latency
    cpu_client: float
    cpu_upstream: float | None
    cpu_sidecar: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median over rounds, and the first and last decile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One contestant under one load, in one placement: its rounds, and the distribution of all of them together."""

    name: str
    kind: Kind
    placement: Placement
    load: Load
    rounds: tuple[Round, ...]
    latency: Latency
    errors: dict[str, int]
    """How often which error, by the name of its class, or `status 503`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """`name` divided by `against`, round by round: the result.

    `figure`: p50, p90, p99, p999, max, rate, cpu_client, cpu_all (client and sidecar together). `verdict` is
    "no difference" where the spread over the rounds includes 1.
    """

    kind: Kind
    placement: Placement
    load: Load
    figure: str
    name: str
    against: str
    spread: Spread
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process beside the client (`envoy`, `nginx`, `haproxy`, `upstream`): its memory, its time to be ready."""

    name: str
    version: str
    start_time: float
    memory_at_start: int
    memory_at_end: int
    memory_per_connection: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place on a curve. `figures` by name: p50, p99, rate, cpu_client, memory, ..."""

    x: float
    figures: dict[str, Spread]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What something costs against how much there is of it.

    `growth` names it by figure: "constant", "logarithmic", "linear", "quadratic".
    """

    axis: str
    """endpoints, routes, clusters, callers, body, threads"""
    name: str
    kind: Kind
    points: tuple[Point, ...]
    growth: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """A slice of a failure scenario, `at` seconds from its beginning, of all rounds together."""

    at: float
    calls: int
    succeeded: int
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an application saw of one failure. `extra_load`: requests that the upstreams got for a call, less one."""

    scenario: str
    name: str
    calls: int
    success: Spread
    extra_load: Spread
    p50: Spread
    p99: Spread
    recovery: Spread | None
    """Seconds until all calls were well again, from the fault where it stays, from its end where it passes."""
    never_recovered: int = 0
    """Rounds in which calls were not well to the very end."""
    timeline: tuple[Second, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a piece of code costs, in seconds a call, without a network.

    `over`: less whatever is below it. `share`: `over` in terms of the `over` of everything that the library does.
    """

    group: str
    """layers; peers, complete body; peers, streamed body; imports"""
    name: str
    kind: Kind
    total: Spread
    over: Spread | None = None
    share: Spread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """One figure that stands for itself.

    `name`: collections (of the youngest generation of garbage, in 10,000 calls), memory-of-process (bytes of a process
    that has made one call, beyond one that has made a single request with httpx), own-memory-of-process (of these,
    those of no file), memory-a-connection, memory-an-endpoint, memory-a-route (bytes of each), first-use-of-a-host
    (seconds of CPU beyond a later use). `of`: the contestant, or the library as curves name it.
    """

    name: str
    of: str
    kind: Kind
    value: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of a goal. `measured` is in the goal's own terms, as `limit` is; `None` where `absent` says why not.

    `unit`: "x" for one in terms of the other, else that of the figure: %, µs, MB, KB, or "" for a number. `compiled`:
    of the library with its hot modules compiled; the same goal stands there for the interpreted one.
    """

    figure: str
    against: str
    limit: float
    at_least: bool
    unit: str
    measured: Spread | None
    met: bool | None
    absent: str | None = None
    compiled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All of one run of one command."""

    subject: str
    """The command: compare, scale, failures, ..."""
    about: About
    seconds: float
    quick: bool
    notes: tuple[str, ...] = ()
    """What a reader must know: Envoy is not installed, rounds were cut short, ..."""
    entries: tuple[Entry, ...] = ()
    processes: tuple[Process, ...] = ()
    measured: tuple[Measured, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    curves: tuple[Curve, ...] = ()
    failures: tuple[Failure, ...] = ()
    costs: tuple[Cost, ...] = ()
    singles: tuple[Single, ...] = ()
    goals: tuple[Judged, ...] = ()
    schema: int = SCHEMA


def to_json(run: Run) -> str:
    lines = []
    for name, value in dataclasses.asdict(run).items():
        # A figure a line: what is kept is looked at, and compared with what was.
        items = isinstance(value, tuple) and value
        told = "[\n" + ",\n".join(map(_compact, value)) + "\n]" if items else _compact(value)
        lines.append(f"{_compact(name)}: {told}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Run:
    """Read what `to_json` wrote; `ValueError` for anything else."""
    plain = json.loads(text)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise ValueError(f"not the results of a benchmark of schema {SCHEMA}")
    run: Run = from_plain(Run, plain)
    return run
