"""What a scenario is made of: policy, upstreams' scripts, the steps of the application, and what is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .upstreams.records import one_or_many
from .upstreams.replies import Headers, Script, Upstream

if TYPE_CHECKING:
    from .site import Site
    from .upstreams.server import Server

LIMIT = 40.0
"""Seconds that one side of a scenario may take."""


# --- what the application does ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One request of the application. Times are in seconds.

    - `chunks`: the body as pieces of unknown length together, `pause` apart.
    - `listener`: which one it is sent to; `url` instead of all that (may hold `${port:name}`).
    - `leave_after`: leave the response once that many bytes of its body are there (0: after the head).
    - `hold`: time between the response's head and its body.
    - `timeout`: the application's own (httpx's `timeout=`).
    """

    path: str = "/"
    method: str = "GET"
    headers: Headers = ()
    body: bytes | None = None
    chunks: Sequence[bytes] | None = None
    pause: float = 0.0
    listener: str = "main"
    url: str | None = None
    leave_after: int | None = None
    hold: float = 0.0
    follow: bool = False
    timeout: float = 20.0


def get(path: str = "/", headers: Headers = (), **fields: Any) -> Call:
    return Call(path, "GET", headers, **fields)


def post(path: str = "/", body: bytes | None = b"", headers: Headers = (), **fields: Any) -> Call:
    return Call(path, "POST", headers, body, **fields)


@dataclass(frozen=True)
class Several:
    """Steps one after the other, `pause` seconds between them."""

    steps: Sequence[Step]
    pause: float = 0.0


@dataclass(frozen=True)
class Together:
    """Steps at the same time, each `stagger` seconds after the one before; outcomes stand in the steps' order."""

    steps: Sequence[Step]
    stagger: float = 0.0


@dataclass(frozen=True)
class Do:
    """Anything else: `act` may change upstreams, write files, or wait. `document` is what it writes."""

    act: Callable[[Run], Any]
    document: Any = None


@dataclass(frozen=True)
class Until:
    """Repeat `call` until `holds(outcome)`; only the last outcome counts. A scenario fails where that never comes."""

    call: Call
    holds: Callable[[Outcome], Any]
    within: float = 10.0
    every: float = 0.05


@dataclass(frozen=True)
class Then:
    """Steps that depend on what has happened."""

    steps: Callable[[Run], Sequence[Step]]


Step = Call | Several | Together | Do | Until | Then


def times(count: int, step: Step, *, pause: float = 0.0) -> Several:
    return Several([step] * count, pause)


def together(*steps: Step, count: int = 1, stagger: float = 0.0) -> Together:
    return Together(list(steps) * count, stagger)


def pause(seconds: float) -> Do:
    return Do(lambda run: run.sleep(seconds))


def wait_for(holds: Callable[[Run], Any], *, within: float = 10.0) -> Do:
    """Wait until something holds, say that an upstream has seen a third health check."""
    return Do(lambda run: run.wait_for(holds, within))


def write(name: str, document: Any) -> Do:
    """Write a file beside its place and move it there, as a file that Envoy watches must be written."""
    return Do(lambda run: run.site.write(name, document), document)


def overwrite(name: str, document: Any) -> Do:
    """Write a file in its place."""
    return Do(lambda run: run.site.write(name, document, moved=False), document)


def remove(name: str) -> Do:
    return Do(lambda run: run.site.path(name).unlink())


def kill(upstream: str) -> Do:
    return Do(lambda run: run.upstreams[upstream].kill())


def revive(upstream: str) -> Do:
    return Do(lambda run: run.upstreams[upstream].revive())


def script(upstream: str, answers: Script) -> Do:
    """Let an upstream answer otherwise from now on."""
    return Do(lambda run: setattr(run.upstreams[upstream], "script", answers))


def health(upstream: str, answers: Script) -> Do:
    """Let an upstream answer health checks otherwise from now on."""
    return Do(lambda run: setattr(run.upstreams[upstream], "health", answers))


# --- what came of it -------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What the application got. Times are in seconds from the call's start."""

    call: Call
    started: float = 0.0
    """`time.monotonic()`."""
    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: str | None = None
    """`timeout`, `transport-error` (httpx's families), or an exception's name."""
    message: str = ""
    """The exception's text, for whoever reads a failure; never compared."""
    head: float | None = None
    """When the head was there."""
    pieces: list[tuple[float, int]] = field(default_factory=list)
    """When the body came, and how many bytes."""
    elapsed: float = 0.0
    flags: str | None = None
    """Envoy's response flags, `-` for none: of its access log, or of the library's report."""
    details: str | None = None
    """Envoy's response code details, from the same places."""

    @property
    def result(self) -> int | str | None:
        """The status, or what went wrong."""
        return self.status if self.error is None else self.error

    @property
    def text(self) -> str:
        return self.body.decode("latin-1")

    def header(self, name: str) -> str | list[str] | None:
        return one_or_many(self.headers, name)


@dataclass
class Run:
    """One side of a scenario at work, and all that it showed."""

    side: str
    site: Site
    upstreams: dict[str, Server]
    sleep: Callable[[float], None]
    wait_for: Callable[[Callable[[Run], Any], float], None]
    outcomes: list[Outcome] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """For steps and observations to remember things."""

    @property
    def folder(self) -> Path:
        return self.site.folder

    def at(self, upstream: str) -> Server:
        return self.upstreams[upstream]


@dataclass(frozen=True)
class Look:
    """One observation, by name, and what it must be."""

    name: str
    seen: Callable[[Run], Any]
    expected: Any


# --- the whole -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Differs:
    """A difference that is meant: `heading` is the section of docs/parity.md that gives the reason, `looks` replace
    the scenario's of the same names where the library is concerned.

    `options`: arguments of the library's clients, where the difference has a switch that the suite otherwise sets to
    Envoy's way.
    """

    heading: str
    looks: Sequence[Look]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """The same policy, upstreams and calls for Envoy and for the library.

    - `about`: one line, the rule in plain words; `rule`: which section of the semantics it stands for.
    - `policy`: a bootstrap as a dict or as YAML text, without `admin`. Anywhere in it, and in files, `${port:a}` is the
      port of the upstream (or else the listener) `a`, `${file:x}` the path of a file of this run, `${pem:ca.crt}` the
      path of a certificate.
    - `upstreams`: by name; a bare script stands for `Upstream(script)`.
    - `files`: written before the start.
    - `same_ports`: all sides use the same ports, where results depend on them; they then run one after the other.
    - `workers`: Envoy's `--concurrency`.
    - `ignores`: the full name of a field that the library is made to ignore, for `tests/coverage/ignored.py`.
    """

    name: str
    about: str
    policy: Mapping[str, Any] | str
    calls: Sequence[Step]
    expect: Sequence[Look]
    rule: str = ""
    upstreams: Mapping[str, Upstream | Script] = field(default_factory=lambda: {"a": 200})
    files: Mapping[str, Any] = field(default_factory=dict)
    differs: Differs | None = None
    same_ports: bool = False
    workers: int = 1
    limit: float = LIMIT
    ignores: str = ""

    def __post_init__(self) -> None:
        names = [look.name for look in self.expect]
        assert names, f"{self.name}: nothing is looked at"
        assert len(set(names)) == len(names), f"{self.name}: two observations have one name"
        assert self.differs is None or {look.name for look in self.differs.looks} <= set(names), self.name

    def declared(self) -> dict[str, Upstream]:
        """The upstreams, all spelled out."""
        return {
            name: upstream if isinstance(upstream, Upstream) else Upstream(upstream)
            for name, upstream in self.upstreams.items()
        }

    def expected_of_us(self) -> dict[str, Any]:
        """What the library must show, by observation."""
        ours = {look.name: look.expected for look in self.expect}
        if self.differs is not None:
            ours.update({look.name: look.expected for look in self.differs.looks})
        return ours
