"""How much a cluster takes at a time (`Cluster.circuit_breakers`; semantics 4, retries 3.5).

`Limits` decides, the handler acts: `admit` says at once whether a request may use an idle connection, must open one,
has to wait for its `Ticket`, or is too much; nothing here waits. The connections themselves belong to the engine, which
reports them through `HostLimits` (a `ConnectionGauge`): `opened` before the exchange's `on_connected`, and back in its
pool or `closed` before the grant is released, so that whoever is woken next finds what was promised.

Requests in the states of a `Verdict` hold:

    GO        a busy connection (HTTP/1.1) and an active request
    CONNECT   a connection in the making and a pending request, until `Grant.connected`
    WAIT      a pending request and a place in the host's queue
    others    nothing

Giving back never blocks. It may run anywhere, even in the `finally` of an abandoned coroutine that the garbage
collector ends while this very thread is inside a locked section. Therefore what is given back is posted as mail, and
who holds the lock, or comes next, reads it.
"""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from ..algorithms.budget import DEFAULT_MIN_CONCURRENCY, DEFAULT_PERCENT, retry_limit
from ..policy.model.cluster import CircuitBreakers, Cluster
from ..runtime.base import Ticket

DEFAULT_MAXIMUM = 1024
DEFAULT_MAX_RETRIES = 3

_DEFAULTS = CircuitBreakers.Thresholds()


class Verdict(enum.Enum):
    """What a request may do."""

    GO = enum.auto()
    """Send it: a connection is idle (or takes more streams), or connections are not counted."""
    CONNECT = enum.auto()
    """Send it on a new connection, and call `Grant.connected` when that is there."""
    WAIT = enum.auto()
    """Wait for `Grant.ticket`, then look at the verdict again."""
    PENDING_OVERFLOW = enum.auto()
    """Refused: `max_pending_requests`."""
    REQUESTS_OVERFLOW = enum.auto()
    """Refused: `max_requests`."""
    FAILED = enum.auto()
    """The connection that the request waited for could not be made: `Grant.failure` says why."""


class HostLimits:
    """The connections to one host, and who waits for one. The engine's gauge for that host."""

    __slots__ = ("_limits", "busy", "connecting", "key", "open", "queue", "reserved")

    def __init__(self, limits: Limits, key: str) -> None:
        self._limits = limits
        self.key = key
        self.open = 0
        """Established connections."""
        self.busy = 0
        """Requests in state GO; over HTTP/1.1 each has a connection."""
        self.connecting = 0
        """Requests in state CONNECT."""
        self.reserved = 0
        """Established connections that belong to one of those, which has not said `connected` yet."""
        self.queue: OrderedDict[Grant, None] = OrderedDict()

    def opened(self) -> None:
        """A connection was established."""
        self._limits.post(self._opened_locked)

    def closed(self) -> None:
        """A connection was closed."""
        self._limits.post(self._closed_locked)

    @property
    def connections(self) -> int:
        """Connections established and in the making."""
        return self.open + self.connecting - self.reserved

    @property
    def idle(self) -> int:
        """Established connections (HTTP/1.1) that nobody uses."""
        return self.open - self.busy - self.reserved

    def _opened_locked(self) -> None:
        self.open += 1
        self.reserved = min(self.reserved + 1, self.connecting)

    def _closed_locked(self) -> None:
        self.open -= 1
        self.reserved = min(self.reserved, max(0, self.open))

    def __repr__(self) -> str:
        return (
            f"<HostLimits {self.key} open={self.open} busy={self.busy} connecting={self.connecting}"
            f" waiting={len(self.queue)}>"
        )


class Grant:
    """What one try was allowed, and has to `release` when its body has ended, it failed, or it was cancelled."""

    __slots__ = ("_limits", "_released", "counted", "failure", "host", "multiplexed", "number", "ticket", "verdict")

    def __init__(self, limits: Limits, host: HostLimits, *, multiplexed: bool, counted: bool) -> None:
        self.verdict = Verdict.WAIT
        self.ticket: Ticket | None = None
        """To wait for while the verdict is WAIT."""
        self.failure: BaseException | None = None
        self.host = host
        self.multiplexed = multiplexed
        self.counted = counted
        """Whether connections are modelled."""
        self.number = 0
        self._limits = limits
        self._released = False

    @property
    def refused(self) -> bool:
        """Whether a threshold was full."""
        return self.verdict is Verdict.PENDING_OVERFLOW or self.verdict is Verdict.REQUESTS_OVERFLOW

    def connected(self) -> bool:
        """A connection is in hand; False where `max_requests` is full, so that nothing may be sent on it.

        May be called for every verdict that lets the request through, and again.
        """
        return self.verdict is Verdict.GO or self._limits.connected(self)

    def connect_failed(self, error: BaseException) -> None:
        """The new connection could not be made: release, and fail all that wait for one to this host.

        Envoy fails a pool's pending requests together; to try them one after the other would keep the last waiting for
        as many connect timeouts as there are requests.
        """
        if not self._released:
            self._released = True
            self._limits.post(lambda: self._limits.fail_locked(self, error))

    def release(self) -> None:
        """Give everything back; safe to call again, from any thread, and while waiting."""
        if not self._released:
            self._released = True
            self._limits.post(lambda: self._limits.release_locked(self))

    def __repr__(self) -> str:
        return f"<Grant {self.verdict.name} {self.host.key}{' released' if self._released else ''}>"


class Limits:
    """The thresholds of one cluster and priority, and what is in use; thread-safe."""

    def __init__(self, thresholds: CircuitBreakers.Thresholds = _DEFAULTS) -> None:
        self.max_connections = _or_default(thresholds.max_connections, DEFAULT_MAXIMUM)
        self.max_pending_requests = _or_default(thresholds.max_pending_requests, DEFAULT_MAXIMUM)
        self.max_requests = _or_default(thresholds.max_requests, DEFAULT_MAXIMUM)
        self.max_retries = _or_default(thresholds.max_retries, DEFAULT_MAX_RETRIES)
        self.retry_budget = thresholds.retry_budget
        self.active = 0
        """Requests that have a connection."""
        self.pending = 0
        """Requests that wait for one, connecting included."""
        self.retries = 0
        """Retries under way, sleeping included."""
        self._hosts: dict[str, HostLimits] = {}
        self._connected: dict[HostLimits, None] = {}
        self._crowded: dict[HostLimits, None] = {}
        self._numbers = 0
        self._woken: list[Ticket] = []
        self._mail: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, cluster: Cluster) -> dict[str, Limits]:
        """Return the limits by priority; of two thresholds for one priority the first counts."""
        given = cluster.circuit_breakers.thresholds if cluster.circuit_breakers is not None else ()
        limits = {thresholds.priority: cls(thresholds) for thresholds in reversed(given)}
        return {priority: limits.get(priority) or cls() for priority in ("DEFAULT", "HIGH")}

    @property
    def connections(self) -> int:
        """Connections to all hosts, established and in the making."""
        return sum(host.connections for host in self._connected)

    def host(self, key: str) -> HostLimits:
        """Return the limits' part for one host, the same object each time."""
        return self._hosts.get(key) or self._hosts.setdefault(key, HostLimits(self, key))

    def forget(self, key: str) -> None:
        """The host is gone: what still runs there is counted on, but the next host of that key begins anew."""
        self._hosts.pop(key, None)

    def admit(
        self, host: HostLimits, *, multiplexed: bool, accounts: bool, ticket_factory: Callable[[], Ticket]
    ) -> Grant:
        """Decide on one try; the grant must be released whatever the verdict.

        `multiplexed`: one connection takes any number of requests (HTTP/2). `accounts=False`: the engine reports no
        connections, so that only `max_requests` applies.
        """
        grant = Grant(self, host, multiplexed=multiplexed, counted=accounts)
        self._lock.acquire()
        try:
            self._read_mail_locked()
            self._admit_locked(grant, ticket_factory)
        finally:
            self._unlock()
        return grant

    def connected(self, grant: Grant) -> bool:
        """See `Grant.connected`."""
        self._lock.acquire()
        try:
            self._read_mail_locked()
            if grant.verdict is Verdict.CONNECT:
                self._stop_connecting_locked(grant)
                self._go_locked(grant)
                self._serve_waiting_locked()
            return grant.verdict is Verdict.GO
        finally:
            self._unlock()

    def try_retry(self) -> Callable[[], None] | None:
        """Take a place for a retry and return what gives it back (safe to call again); `None` where none is left.

        Ask while the failed request still holds its grant: a budget counts it.
        """
        self._lock.acquire()
        try:
            self._read_mail_locked()
            if self.retries >= self._retry_limit():
                return None
            self.retries += 1
        finally:
            self._unlock()
        return _Once(lambda: self.post(self._end_retry_locked))

    def post(self, change: Callable[[], None]) -> None:
        """Have `change` made under the lock, now or by whoever holds it; never blocks."""
        self._mail.append(change)
        while self._mail and self._lock.acquire(blocking=False):
            try:
                self._read_mail_locked()
            finally:
                self._unlock(again=False)

    def release_locked(self, grant: Grant) -> None:
        """Give back what the grant holds by its verdict."""
        host, verdict = grant.host, grant.verdict
        if verdict is Verdict.GO:
            self.active -= 1
            if grant.counted:
                host.busy -= 1
        elif verdict is Verdict.CONNECT:
            self._stop_connecting_locked(grant)
        elif verdict is Verdict.WAIT:
            self._leave_queue_locked(grant)
            self.pending -= 1

    def fail_locked(self, grant: Grant, error: BaseException) -> None:
        """Release the grant and everybody who waits for a connection to its host."""
        if grant.verdict is Verdict.CONNECT:
            for waiting in list(grant.host.queue):
                waiting.failure = error
                self.pending -= 1
                self._wake_locked(waiting, Verdict.FAILED)
        self.release_locked(grant)

    def _admit_locked(self, grant: Grant, ticket_factory: Callable[[], Ticket]) -> None:
        host = grant.host
        if not grant.counted or self._usable(host, grant.multiplexed):
            self._go_locked(grant)
        elif self.pending >= self.max_pending_requests:
            grant.verdict = Verdict.PENDING_OVERFLOW
        elif self._may_connect(host, grant.multiplexed):
            self.pending += 1
            self._connect_locked(grant)
        else:
            grant.ticket = ticket_factory()
            self.pending += 1
            self._numbers += 1
            grant.number = self._numbers
            host.queue[grant] = None
            self._crowded[host] = None

    def _usable(self, host: HostLimits, multiplexed: bool) -> bool:
        return host.open > 0 if multiplexed else host.idle > 0

    def _may_connect(self, host: HostLimits, multiplexed: bool) -> bool:
        """A host without a connection may always open one; one HTTP/2 connection in the making serves everybody."""
        if host.connections <= 0:
            return True
        return not multiplexed and self.connections < self.max_connections

    def _go_locked(self, grant: Grant) -> None:
        """Make it active, if there is room: the connection is opened all the same where there is none."""
        if self.active >= self.max_requests:
            grant.verdict = Verdict.REQUESTS_OVERFLOW
            return
        grant.verdict = Verdict.GO
        self.active += 1
        if grant.counted:
            grant.host.busy += 1

    def _connect_locked(self, grant: Grant) -> None:
        grant.verdict = Verdict.CONNECT
        grant.host.connecting += 1
        self._connected[grant.host] = None

    def _stop_connecting_locked(self, grant: Grant) -> None:
        host = grant.host
        host.connecting -= 1
        host.reserved = max(0, min(host.reserved - (grant.verdict is Verdict.CONNECT), host.connecting))
        self.pending -= 1

    def _leave_queue_locked(self, grant: Grant) -> None:
        queue = grant.host.queue
        queue.pop(grant, None)
        if not queue:
            self._crowded.pop(grant.host, None)

    def _wake_locked(self, grant: Grant, verdict: Verdict) -> None:
        """Hand a waiter its verdict, with all that it holds from now on; the ticket is woken after the lock."""
        self._leave_queue_locked(grant)
        grant.verdict = verdict
        if grant.ticket is not None:
            self._woken.append(grant.ticket)

    def _serve_waiting_locked(self) -> None:
        """Let waiters go on for as long as there is something for one of them, the longest waiting first."""
        while self._crowded:
            heads = [next(iter(host.queue)) for host in self._crowded]
            able = [
                grant
                for grant in heads
                if self._usable(grant.host, grant.multiplexed) or self._may_connect(grant.host, grant.multiplexed)
            ]
            if not able:
                return
            grant = min(able, key=lambda head: head.number)
            if self._usable(grant.host, grant.multiplexed):
                self.pending -= 1
                self._go_locked(grant)
            else:
                self._connect_locked(grant)
            self._wake_locked(grant, grant.verdict)

    def _retry_limit(self) -> int:
        budget = self.retry_budget
        if budget is None:
            return self.max_retries
        percent = DEFAULT_PERCENT if budget.budget_percent is None else budget.budget_percent.value
        return retry_limit(
            self.active + self.pending, percent, _or_default(budget.min_retry_concurrency, DEFAULT_MIN_CONCURRENCY)
        )

    def _end_retry_locked(self) -> None:
        self.retries -= 1

    def _read_mail_locked(self) -> None:
        """Make the posted changes in their order, then see who can go on."""
        if self._mail:
            while self._mail:
                self._mail.popleft()()
            self._serve_waiting_locked()

    def _unlock(self, *, again: bool = True) -> None:
        woken = self._woken
        if woken:
            self._woken = []
        self._lock.release()
        for ticket in woken:
            ticket.wake()
        if again and self._mail:
            self.post(_nothing)

    def __repr__(self) -> str:
        return (
            f"<Limits active={self.active}/{self.max_requests} pending={self.pending}/{self.max_pending_requests}"
            f" connections={self.connections}/{self.max_connections} retries={self.retries}>"
        )


class _Once:
    """Calls `work` the first time only."""

    __slots__ = ("_work",)

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def __call__(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work()


def _nothing() -> None:
    pass


def _or_default(value: int | None, default: int) -> int:
    return default if value is None else value
