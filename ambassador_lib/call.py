"""What one request knows of itself: `Call` on its way through the stack, and the story it leaves (`CallReport`)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import httpx

Header = tuple[bytes, bytes]
"""One header line; names are lower case inside the stack."""

INFINITY = float("inf")


class Deadline:
    """A moment that may still move: seconds on the injected clock, `inf` for none.

    Whoever waits under it registers `watch`, and is told when the moment changes.
    """

    __slots__ = ("at", "watch")

    def __init__(self, at: float = INFINITY) -> None:
        self.at = at
        self.watch: Callable[[], None] | None = None

    def set(self, at: float) -> None:
        """Move the deadline."""
        self.at = at
        if self.watch is not None:
            self.watch()

    def __repr__(self) -> str:
        return f"Deadline({self.at:g})"


class Attempt:
    """One try: which endpoint, when, how long, and how it ended.

    `started` is seconds since the call began, `duration` seconds until the response's head or the failure (`None`
    while it runs).
    """

    __slots__ = (
        "_releases",
        "connected",
        "deadline",
        "duration",
        "endpoint",
        "error",
        "not_retried_because",
        "number",
        "retried_because",
        "started",
        "status",
        "try_at",
    )

    def __init__(self, number: int, started: float) -> None:
        self.deadline = Deadline()
        self.try_at = INFINITY
        self.connected = False
        self.number = number
        self.started = started
        self.endpoint: str | None = None
        self.duration: float | None = None
        self.status: int | None = None
        self.error: BaseException | None = None
        self.retried_because: str | None = None
        self.not_retried_because: str | None = None
        self._releases: list[Callable[[], None]] | None = None

    @property
    def outcome(self) -> int | BaseException | None:
        """The status of the response, or the exception; `None` while the try runs or after a cancellation."""
        return self.status if self.status is not None else self.error

    def defer(self, release: Callable[[], None]) -> None:
        """Run `release` when this try is over: its body ended, it failed, it was given up or cancelled."""
        if self._releases is None:
            self._releases = [release]
        else:
            self._releases.append(release)

    def finish(self) -> None:
        """Give back all that the try took, last taken first; safe to call again."""
        releases, self._releases = self._releases, None
        if releases is not None:
            while releases:
                releases.pop()()

    def __repr__(self) -> str:
        return f"Attempt({self})"

    def __str__(self) -> str:
        outcome = self.status if self.status is not None else type(self.error).__name__ if self.error else "unfinished"
        took = "" if self.duration is None else f" in {_seconds(self.duration)}"
        because = ""
        if self.retried_because:
            because = f", retried: {self.retried_because}"
        elif self.not_retried_because:
            because = f", not retried: {self.not_retried_because}"
        return f"#{self.number} {self.endpoint or '-'} {outcome}{took}{because}"


class CallReport:
    """The story of one call: `response.extensions["ambassador"]` and `exception.call`.

    `flags` are Envoy's response flags in the order they were raised, `details` its response code details, `duration`
    is in seconds and `None` until the response's body has ended, `attempts` has one entry per try. `listener`,
    `route` and `cluster` are names, `None` where none was chosen. `str(report)` is one readable line.
    """

    __slots__ = ("attempts", "cluster", "details", "duration", "flags", "listener", "method", "route", "status", "url")

    def __init__(self, method: str, url: httpx.URL | str) -> None:
        self.method = method
        self.url = url
        self.listener: str | None = None
        self.route: str | None = None
        self.cluster: str | None = None
        self.flags: list[str] = []
        self.details = ""
        self.status: int | None = None
        self.duration: float | None = None
        self.attempts: list[Attempt] = []

    def __repr__(self) -> str:
        return f"<CallReport {self}>"

    def __str__(self) -> str:
        tries = "; ".join(map(str, self.attempts)) or "no try"
        flags = f" {','.join(self.flags)}" if self.flags else ""
        took = "" if self.duration is None else f" in {_seconds(self.duration)}"
        where = f" via {self.cluster}" if self.cluster else ""
        return f"{self.method} {self.url} -> {self.status or '-'}{flags} {self.details}{took}{where}: {tries}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


class Timeouts:
    """The bounds of one call, in seconds; `inf` is none.

    `route` starts with the end of the request, `per_try` with the end of the request and a connection in hand, `idle`
    with every byte in either direction. `read` and `write` are the application's own, in front of everything else.
    """

    __slots__ = ("idle", "per_try", "read", "route", "write")

    def __init__(self) -> None:
        self.route = INFINITY
        self.per_try = INFINITY
        self.idle = INFINITY
        self.read = INFINITY
        self.write = INFINITY


class Call:
    """One logical request on its way down the stack; mutable, owned by one caller.

    `headers`, `target` and `authority` start as what the application sent (hop-by-hop headers removed, names lower
    case) and are what the next try will send. What was decided on the way is kept beside them.
    """

    __slots__ = (
        "_releases",
        "app_at",
        "attempt",
        "authority",
        "body",
        "choice",
        "cluster",
        "deadline",
        "destination",
        "edge",
        "end_retry",
        "endpoint",
        "grant",
        "headers",
        "idle_at",
        "internal",
        "is_timeout_retry",
        "listener",
        "method",
        "overrides",
        "random_value",
        "next_try",
        "report",
        "request",
        "request_ended",
        "retry_rules",
        "route",
        "scheme",
        "span",
        "started",
        "suppress_envoy_headers",
        "target",
        "timeouts",
        "tried",
        "virtual_host",
    )

    def __init__(self, request: httpx.Request, started: float) -> None:
        url = request.url
        self.request = request
        self.started = started
        self.method = request.method
        self.scheme = url.scheme
        self.target = url.raw_path.decode("latin-1")
        self.authority = ""
        self.headers: list[Header] = []
        self.body: Any = request.stream
        self.report = CallReport(request.method, url)
        self.attempt = Attempt(0, 0.0)
        self.timeouts = Timeouts()
        self.request_ended: float | None = None
        self.deadline = INFINITY
        self.idle_at = INFINITY
        self.app_at = INFINITY
        self.internal = False
        self.edge = False
        self.overrides: Any = None
        self.random_value: int | None = None
        self.listener: Any = None
        self.virtual_host: Any = None
        self.route: Any = None
        self.choice: Any = None
        self.cluster: Any = None
        self.endpoint: Any = None
        self.destination: Any = None
        self.grant: Any = None
        self.tried: list[Any] = []
        self.next_try: Any = None
        self.end_retry: Callable[[], None] | None = None
        self.retry_rules: Any = None
        self.is_timeout_retry = False
        self.suppress_envoy_headers = False
        self.span: Any = None
        self._releases: list[Callable[[], None]] | None = None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of the header `name` (lower case), or `None`."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def flag(self, flag: str) -> None:
        """Raise a response flag, once."""
        if flag and flag not in self.report.flags:
            self.report.flags.append(flag)

    # --- time -------------------------------------------------------------------------------------------------------

    def begin_try(self, attempt: Attempt) -> None:
        """Make `attempt` the running one, under every bound that is already in force."""
        self.attempt = attempt
        self._rearm()

    def touch(self, now: float) -> None:
        """A byte moved, or is waited for from now on: the idle bounds start anew."""
        timeouts = self.timeouts
        self.idle_at = now + timeouts.idle
        self.app_at = now + (timeouts.write if self.request_ended is None else timeouts.read)
        self._rearm()

    def end_request(self, now: float) -> None:
        """The application's whole request is here: the route's timeout starts (semantics 2)."""
        self.request_ended = now
        self.deadline = now + self.timeouts.route
        if self.attempt.connected:
            self.attempt.try_at = now + self.timeouts.per_try
        self.touch(now)

    def connected(self, now: float) -> None:
        """The running try has a connection: its own timeout starts once the request has ended too."""
        self.attempt.connected = True
        if self.request_ended is not None:
            self.attempt.try_at = now + self.timeouts.per_try
            self._rearm()

    def head_received(self) -> None:
        """The running try has its response's head: its own timeout is over."""
        self.attempt.try_at = INFINITY
        self._rearm()

    def unbound(self) -> None:
        """The answer is ours: nothing that bounds an upstream bounds the reading of it."""
        self.timeouts = Timeouts()
        self.deadline = self.idle_at = self.app_at = self.attempt.try_at = INFINITY
        self._rearm()

    def _rearm(self) -> None:
        attempt = self.attempt
        at = self.deadline
        if attempt.try_at < at:
            at = attempt.try_at
        if self.idle_at < at:
            at = self.idle_at
        if self.app_at < at:
            at = self.app_at
        if at != attempt.deadline.at:
            attempt.deadline.set(at)

    # --- what was taken ---------------------------------------------------------------------------------------------

    def defer(self, release: Callable[[], None]) -> None:
        """Run `release` when the whole call is over, its response's body included."""
        if self._releases is None:
            self._releases = [release]
        else:
            self._releases.append(release)

    def finish(self) -> None:
        """End the running try and give back all that the call took; safe to call again."""
        self.attempt.finish()
        releases, self._releases = self._releases, None
        if releases is not None:
            while releases:
                releases.pop()()


Next = Callable[[Call], Coroutine[Any, Any, "httpx.Response"]]


class Handler(Protocol):
    """One layer: do something around `next`, or instead of it."""

    async def handle(self, call: Call, next: Next) -> httpx.Response: ...
