"""What one request knows of itself: `Call` on its way through the stack, and the story it leaves (`CallReport`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._native import mypyc_attr

if TYPE_CHECKING:
    import httpx

Header = tuple[bytes, bytes]
"""One header line; names are lower case inside the stack."""

INFINITY: Final = float("inf")


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


@mypyc_attr(allow_interpreted_subclasses=True)
class Place:
    """Something that a try took, and gives back with `release` when it is over: safe to call again."""

    __slots__ = ()

    def release(self) -> None:
        """Give it back, from any thread."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Busy:
    """What counts its requests in flight: `active`, changed by `+=` and `-=` only, within which the interpreter lets no
    other thread in."""

    __slots__ = ("active",)

    def __init__(self) -> None:
        self.active = 0


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Attempt:
    """One try: which endpoint, when, how long, and how it ended.

    `started` is seconds since the call began, `duration` seconds until the response's head or the failure (`None`
    while it runs).
    """

    __slots__ = (
        "__weakref__", "connected", "duration", "end_retry", "endpoint", "error", "host", "idle_at", "interim",
        "judged", "line", "not_retried_because", "number", "over_at", "place", "retried_because", "span", "started",
        "status", "try_at",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.started = 0.0
        self.duration: float | None = None
        self.endpoint: str | None = None
        self.status: int | None = None
        self.error: BaseException | None = None
        self.retried_because: str | None = None
        self.not_retried_because: str | None = None
        self.connected = False
        self.try_at = INFINITY
        """When its own timeout strikes, on the injected clock."""
        self.idle_at = INFINITY
        """When it has been idle for too long."""
        self.over_at = INFINITY
        """When its stream has lasted for too long."""
        self.interim = False
        """Whether a 1xx came before the response: nothing is tried again after it."""
        self.judged = False
        """Whether outlier detection was told already how it went."""
        self.line: Any = None
        """Where the metrics count it while it runs, if anybody reads them."""
        self.span: Any = None
        """Its span while it runs, if it is recorded."""

        # What it took, to be given back when it is over: its body ended, it failed, it was given up or cancelled.
        self.place: Place | None = None
        """Its place below the cluster's thresholds."""
        self.host: Busy | None = None
        """The host that counts it among its requests in flight."""
        self.end_retry: Callable[[], None] | None = None
        """What gives back its place among the cluster's retries."""

    @property
    def outcome(self) -> int | BaseException | None:
        """The status of the response, or the exception; `None` while the try runs or after a cancellation."""
        return self.status if self.status is not None else self.error

    def finish(self) -> None:
        """Give back all that the try took, last taken first; safe to call again."""
        if (place := self.place) is not None:
            self.place = None
            place.release()
        if (host := self.host) is not None:
            self.host = None
            if host.active:  # one that began before a fork is counted no longer
                host.active -= 1
        if (end_retry := self.end_retry) is not None:
            self.end_retry = None
            end_retry()

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


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class CallReport:
    """The story of one call: `response.extensions["ambassador"]` and `exception.call`.

    `flags` are Envoy's response flags in the order they were raised, `details` its response code details, `duration`
    is in seconds and `None` until the response's body has ended, `attempts` has one entry per try. `listener`,
    `route` and `cluster` are names, `None` where none was chosen. `str(report)` is one readable line.
    """

    listener: str | None = None
    route: str | None = None
    cluster: str | None = None
    status: int | None = None
    duration: float | None = None

    def __init__(self, method: str, url: httpx.URL | str) -> None:
        self.method = method
        self.url = url
        self.details = ""
        self.flags: list[str] = []
        self.attempts: list[Attempt] = []

    def __repr__(self) -> str:
        return f"<CallReport {self}>"

    def __str__(self) -> str:
        tries = "; ".join(map(str, self.attempts)) or "no try"
        parts = [
            f"{self.method} {self.url} -> {self.status or '-'}",
            ",".join(self.flags),
            self.details,
            "" if self.duration is None else f"in {_seconds(self.duration)}",
            f"via {self.cluster}" if self.cluster else "",
        ]
        return f"{' '.join(filter(None, parts))}: {tries}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)  # `fork` copies; alone, `serializable` forgets all
class Call:
    """One logical request on its way down the stack; mutable, owned by one caller.

    `headers`, `target` and `authority` start as what the application sent (hop-by-hop headers removed, names lower
    case) and are what the next try will send. What was decided on the way is kept beside them. `is_clean`: none of the
    headers has a name that only layers set (`OWN`), which need not look for one then.

    Its bounds are seconds, `inf` for none: the route's timeout starts with the end of the request, the per-try timeout
    with the end of the request and a connection in hand, the idle timeout with every byte in either direction; `read`
    and `write` are the application's own, in front of everything else. Few policies set the others, which count only
    where `has_rare_bounds`: how long the call may last, how long its request may take to come, how long a try may be
    idle or last. `deadline` is the nearest of them all.
    """

    __slots__ = (
        "__dict__", "__weakref__", "_releases", "app_at", "attempt", "attempted_priorities", "authority", "body",
        "body_limit", "buffered", "bytes_sent", "choice", "cluster", "deadline", "destination", "edge", "endpoint",
        "grant", "has_rare_bounds", "headers", "idle_at", "idle_timeout", "internal", "is_clean", "listener",
        "method", "on_connected", "on_exchange", "on_host", "overrides", "per_try_timeout", "read_timeout",
        "redirection", "report", "request", "request_ended", "responds", "retry_rules", "route", "route_at",
        "route_timeout", "scheme", "set_cookies", "span", "started", "suppress_envoy_headers", "target",
        "tells_grpc_timeout", "upstream_filters", "virtual_host", "write_timeout",
    )  # fmt: skip

    # What every call looks at has its own place above and its default in the constructor: to read a default off the
    # class costs eight times as much as to store it. Those that few calls look at stand here.
    find_route: Callable[[Call], tuple[Any, Any]] | None = None
    generation = 0
    """How many copies lie between this call and the application's: 0 for its own."""
    random_value: int | None = None

    notes: Any = None
    is_complete = True
    """Whether the answer was given whole, once the call is over."""

    code: int | None = None
    """The response's status as far as it is on record; `None` while no reply of the sidecar's own is being made."""
    local_body = b""
    """The body of a reply of the sidecar's own, while `local_reply_config` makes another of it."""

    next_try: Attempt | None = None
    end_retry: Callable[[], None] | None = None
    tried: Sequence[Any] = ()
    """The hosts of the tries, where a retry's choice of a host depends on them."""
    is_timeout_retry = False
    is_last = False
    """Whether the application asked for its connection to be closed (`connection: close`)."""

    names_operation = False
    """Whether the request names its operation itself."""
    traced = False
    """Whether the connection manager's `tracing` decided for this call."""

    duration_at = INFINITY
    request_at = INFINITY
    per_try_idle_timeout = INFINITY
    max_stream_duration = INFINITY

    def __init__(self, request: httpx.Request, started: float, target: str = "", scheme: str = "") -> None:
        self.request = request
        self.started = started
        self.method = request.method
        self.scheme = scheme or request.url.scheme
        self.target = target or request.url.raw_path.decode("latin-1")
        self.authority = ""
        self.headers: list[Header] = []
        self.body: Any = request.stream
        self.report = CallReport(request.method, request.url)
        self.attempt = NO_TRY
        self.deadline = Deadline()

        self.listener: Any = None
        self.is_clean = self.internal = self.edge = self.suppress_envoy_headers = False
        self.overrides: Any = None
        self.virtual_host: Any = None
        self.route: Any = None
        self.choice: Any = None
        self.cluster: Any = None
        self.retry_rules: Any = None
        self.endpoint: Any = None
        self.destination: Any = None
        self.grant: Any = None
        self.span: Any = None

        self.redirection: Any = None
        """Where internal redirects have led the call, on a route that follows them."""
        self.responds: Any = None
        self.upstream_filters: Any = None
        self.attempted_priorities: Any = None
        self.set_cookies: tuple[bytes, ...] = ()
        """Cookies that the application is given along with the response."""
        self.tells_grpc_timeout = False
        """Whether each try's time is told to the upstream as `grpc-timeout`."""
        self.on_host: Callable[[], None] | None = None
        """Called when the next try has a host, once: mirrors start then."""
        self.on_connected: Callable[[float], None] | None = None
        """Called when a try has a connection."""
        self.on_exchange: Callable[[Any], None] | None = None
        """Given each exchange before it is sent, so that somebody else can break it off."""

        self.buffered = 0
        """As many bytes are buffered before the first try, so that they may be sent again in any case."""
        self.body_limit: float = INFINITY
        """Bytes of the request's body that may be sent again."""
        self.bytes_sent: int = 0
        """How much of the response's body the application has been given."""

        self.route_timeout = self.per_try_timeout = self.idle_timeout = INFINITY
        self.read_timeout = self.write_timeout = INFINITY
        self.request_ended: float | None = None
        self.route_at = self.idle_at = self.app_at = INFINITY
        self.has_rare_bounds = False
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

    def start_again(self) -> None:
        """Forget what was decided after the choice of the route: the call has been sent elsewhere.

        What the try and the filters took is given back; they are asked again.
        """
        self.finish()
        self.attempt = NO_TRY
        self.redirection.tries = len(self.report.attempts)
        self.report.flags.clear()
        self.tried = ()
        self.next_try = self.end_retry = self.overrides = self.random_value = self.on_host = None
        self.is_timeout_retry = self.is_clean = False
        self.per_try_timeout = self.per_try_idle_timeout = self.max_stream_duration = INFINITY
        self.request_ended = None
        self.route_at = self.idle_at = self.app_at = INFINITY
        self.rearm()

    # --- tries beside one another ---------------------------------------------------------------------------------

    def fork(self, attempt: Attempt) -> Call:
        """Return a view of the call for one try that others run beside: its bounds follow `keep_up`."""
        view = copy.copy(self)
        view.attempt = attempt
        view.on_host, self.on_host = self.on_host, None  # mirrored with the first try
        view.headers = self.headers.copy()
        view.deadline = Deadline(self.deadline.at)
        view.grant = view.endpoint = view.destination = None
        view._releases = None  # noqa: SLF001 - its own copy
        view.next_try = None
        return view

    def keep_up(self, view: Call) -> None:
        """Let a view know the call's bounds, which may have moved."""
        if view.request_ended is None and self.request_ended is not None and view.attempt.connected:
            view.attempt.idle_at = self.request_ended + view.per_try_idle_timeout
        view.request_ended = self.request_ended
        view.route_at, view.idle_at, view.app_at = self.route_at, self.idle_at, self.app_at
        view.duration_at, view.request_at = self.duration_at, self.request_at
        view.rearm()

    def adopt(self, view: Call) -> None:
        """Go on as the try of a view has left it: the others do not count any more."""
        self.keep_up(view)
        self.attempt = view.attempt
        self.authority, self.headers = view.authority, view.headers
        self.endpoint, self.destination, self.grant = view.endpoint, view.destination, view.grant
        self.deadline = view.deadline
        self.set_cookies = view.set_cookies

    # --- time -------------------------------------------------------------------------------------------------------

    def begin_try(self, attempt: Attempt) -> None:
        """Make `attempt` the running one, under every bound that is already in force."""
        previous, self.attempt = self.attempt, attempt
        if previous.try_at != INFINITY or self.has_rare_bounds:
            self.rearm()

    def touch(self, now: float) -> None:
        """A byte moved, or is waited for from now on: the idle bounds start anew."""
        self.idle_at = now + self.idle_timeout
        self.app_at = now + (self.write_timeout if self.request_ended is None else self.read_timeout)
        if self.has_rare_bounds and self.attempt.idle_at != INFINITY:
            self.attempt.idle_at = now + self.per_try_idle_timeout
        self.rearm()

    def wait_for_application(self) -> None:
        """The next of the request's bytes are the application's to bring: its own timeout, on us, does not run."""
        self.app_at = INFINITY
        self.rearm()

    def end_request(self, now: float) -> None:
        """The application's whole request is here: the route's timeout starts (semantics 2)."""
        self.request_ended = now
        self.route_at = now + self.route_timeout
        self.idle_at = now + self.idle_timeout
        self.app_at = now + self.read_timeout
        if self.has_rare_bounds:
            self.request_at = INFINITY
        if self.attempt.connected:
            self.attempt.try_at = now + self.per_try_timeout
            self.attempt.idle_at = now + self.per_try_idle_timeout
        self.rearm()

    def connected(self, now: float) -> None:
        """The running try has a connection: its own timeout starts once the request has ended too."""
        attempt = self.attempt
        attempt.connected = True
        if self.request_ended is not None and self.per_try_timeout != INFINITY:
            had_none = attempt.try_at == INFINITY
            attempt.try_at = at = now + self.per_try_timeout
            if not had_none:
                self.rearm()
            elif at < (deadline := self.deadline).at:  # all other bounds stand
                deadline.at = at
                if deadline.watch is not None:
                    deadline.watch()
        if self.has_rare_bounds:
            attempt.over_at = now + self.max_stream_duration
            if self.request_ended is not None:
                attempt.idle_at = now + self.per_try_idle_timeout
            self.rearm()
        if self.on_connected is not None:
            self.on_connected(now)

    def is_over(self, now: float) -> bool:
        """Whether a bound has passed that runs on whatever moves."""
        return now >= self.route_at or (
            self.has_rare_bounds and (now >= self.duration_at or now >= self.attempt.over_at)
        )

    def head_received(self) -> None:
        """The running try has its response's head: its own timeout is over."""
        at = self.attempt.try_at
        if at != INFINITY:
            self.attempt.try_at = INFINITY
            if at <= self.deadline.at:
                self.rearm()

    def hold_back(self, seconds: float) -> None:
        """What keeps the response's body waiting is ours: the route's timeout bounds the upstream alone."""
        self.route_at += seconds
        self.rearm()

    def unbound(self) -> None:
        """The answer is ours: nothing that bounds an upstream bounds the reading of it."""
        self.idle_timeout = self.read_timeout = self.write_timeout = INFINITY
        self.route_at = self.idle_at = self.app_at = INFINITY
        self.has_rare_bounds = False
        if self.attempt is not NO_TRY:
            self.attempt.try_at = INFINITY
        self.rearm()

    def rearm(self) -> None:
        """Let the deadline be the nearest of all bounds."""
        at = self.route_at
        if self.attempt.try_at < at:  # noqa: PLR1730 - `min` costs three times as much, four times a call
            at = self.attempt.try_at
        if self.idle_at < at:  # noqa: PLR1730
            at = self.idle_at
        if self.app_at < at:  # noqa: PLR1730
            at = self.app_at
        if self.has_rare_bounds:
            at = min(at, self.duration_at, self.request_at, self.attempt.idle_at, self.attempt.over_at)
        deadline = self.deadline
        if at != deadline.at:
            deadline.at = at
            if deadline.watch is not None:
                deadline.watch()

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


NO_TRY: Final = Attempt(0)
"""Stands for the running try before the first one; never changed."""

Answer = Coroutine[Any, Any, "httpx.Response"]
Next = Callable[[Call], Answer]


class Handler(Protocol):
    """One layer: do something around `next`, or instead of it.

    `handle` is `async def` where the layer looks at what comes back, or waits. A layer that only decides on the way
    down is a plain `def` that returns `next(call)`: a frame less for every call.
    """

    def handle(self, call: Call, next: Next) -> Answer: ...
