"""How much a cluster takes at a time (`Cluster.circuit_breakers`; semantics 4, retries 3.5).

`Limits` decides, the handler acts: `admit` says at once whether a request may use an idle connection, must open one,
has to wait for its `Ticket`, or is too much; nothing here waits. The connections themselves belong to the engine, which
reports them through `HostLimits` (a `ConnectionGauge`): `opened` before the exchange's `on_connected`, and back in its
pool or `closed` before the grant is released, so that whoever is woken next finds what was promised.

Giving back never blocks (`mailbox`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..algorithms.budget import DEFAULT_MIN_CONCURRENCY, DEFAULT_PERCENT, retry_limit
from ..algorithms.runtime_value import integer, number
from ..policy.model.cluster import CircuitBreakers
from ..policy.model.core import Percent
from .grant import ENDED, GO, Grant, HostLimits, Verdict
from .mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..policy.model.cluster import Cluster
    from ..runtime.base import Ticket

__all__ = ["Grant", "HostLimits", "Limits", "Verdict"]

DEFAULT_MAXIMUM = 1024
DEFAULT_MAX_RETRIES = 3

_DEFAULTS = CircuitBreakers.Thresholds()
_NO_RUNTIME: Mapping[str, Any] = {}
_OVERRIDABLE = ("max_connections", "max_pending_requests", "max_requests", "max_retries", "max_connection_pools")


def overridden(
    thresholds: CircuitBreakers.Thresholds, prefix: str, runtime: Mapping[str, Any]
) -> CircuitBreakers.Thresholds:
    """Return the thresholds as the runtime has them."""
    changes: dict[str, Any] = {
        name: integer(runtime[f"{prefix}.{name}"], getattr(thresholds, name))
        for name in _OVERRIDABLE
        if f"{prefix}.{name}" in runtime
    }
    percent = runtime.get(f"{prefix}.retry_budget.budget_percent")
    least = runtime.get(f"{prefix}.retry_budget.min_retry_concurrency")
    if percent is not None or least is not None:
        budget = thresholds.retry_budget or CircuitBreakers.Thresholds.RetryBudget()
        own = DEFAULT_PERCENT if budget.budget_percent is None else budget.budget_percent.value
        changes["retry_budget"] = CircuitBreakers.Thresholds.RetryBudget(
            budget_percent=Percent(value=number(percent, own)),
            min_retry_concurrency=integer(least, _or_default(budget.min_retry_concurrency, DEFAULT_MIN_CONCURRENCY)),
        )
    return replace(thresholds, **changes) if changes else thresholds


class Limits:
    """The thresholds of one cluster and priority, and what is in use; thread-safe."""

    def __init__(
        self, thresholds: CircuitBreakers.Thresholds = _DEFAULTS, per_host: CircuitBreakers.Thresholds = _DEFAULTS
    ) -> None:
        self._thresholds = thresholds
        self._per_host = per_host
        self.max_host_connections = per_host.max_connections
        """To one host; `None` for any number (`per_host_thresholds`)."""
        self.max_connection_pools = thresholds.max_connection_pools
        """Hosts with connections; `None` for any number."""
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
        self.connections = 0
        """Connections to all hosts, established and in the making."""
        self._hosts: dict[str, HostLimits] = {}
        self._crowded: dict[HostLimits, None] = {}
        self._numbers = 0
        self.mailbox: Mailbox[Any] = Mailbox(self._serve_waiting_locked, self._crowded)
        """Guards all of this; what is given back goes through it."""

    @classmethod
    def of(cls, cluster: Cluster, runtime: Mapping[str, Any] = _NO_RUNTIME) -> dict[str, Limits]:
        """Return the limits by priority; of two thresholds for one priority the first counts.

        Runtime: `circuit_breakers.<cluster>.<default|high>.<threshold>`.
        """
        breakers = cluster.circuit_breakers or CircuitBreakers()
        given = {thresholds.priority: thresholds for thresholds in reversed(breakers.thresholds)}
        per_host = {thresholds.priority: thresholds for thresholds in reversed(breakers.per_host_thresholds)}
        limits: dict[str, Limits] = {}
        for priority in ("DEFAULT", "HIGH"):
            prefix = f"circuit_breakers.{cluster.name}.{priority.lower()}"
            own = overridden(given.get(priority, _DEFAULTS), prefix, runtime)
            limits[priority] = cls(own, per_host.get(priority, _DEFAULTS))
        return limits

    def afresh(self) -> Limits:
        """Return the same thresholds with nothing in use."""
        return Limits(self._thresholds, self._per_host)

    def host(self, key: str) -> HostLimits:
        """Return the limits' part for one host, the same object each time."""
        return self._hosts.get(key) or self._hosts.setdefault(key, HostLimits(self, key))

    def drain(self, key: str) -> None:
        """Give up the connections to a host that has failed, each as soon as it is not in use."""
        host = self._hosts.get(key)
        if host is not None:
            host.drains += 1

    def forget(self, key: str) -> None:
        """Forget a host that is gone: what still runs there is counted on, the next host of that key begins anew."""
        host = self._hosts.pop(key, None)
        if host is not None:
            host.retired = True

    def admit(
        self, host: HostLimits, *, multiplexed: bool, accounts: bool, ticket_factory: Callable[[], Ticket]
    ) -> Grant:
        """Decide on one try; the grant must be released whatever the verdict.

        `multiplexed`: one connection takes any number of requests (HTTP/2). `accounts=False`: the engine reports no
        connections, so that only `max_requests` applies.
        """
        grant = Grant(self, host, multiplexed=multiplexed, counted=accounts)
        mailbox = self.mailbox
        mailbox.lock()
        try:
            if not accounts or _usable(grant):
                self._go_locked(grant)
            else:
                self._open_or_wait_locked(grant, ticket_factory)
        finally:
            mailbox.unlock()
        return grant

    def connected(self, grant: Grant) -> bool:
        """See `Grant.connected`."""
        with self.mailbox:
            if grant.verdict is Verdict.CONNECT:
                grant.host.change_locked(connecting=-1, reserved=-1)
                self.pending -= 1
                self._go_locked(grant)
                self._serve_waiting_locked()
            return grant.verdict is Verdict.GO

    def try_retry(self) -> Callable[[], None] | None:
        """Take a place for a retry and return what gives it back (safe to call again); `None` where none is left.

        Ask while the failed request still holds its grant: a budget counts it.
        """
        with self.mailbox:
            if self.retries >= self._retry_limit():
                return None
            self.retries += 1
        return _RetrySlot(self)

    def release_locked(self, grant: Grant) -> None:
        """Give back what the grant holds by its verdict."""
        host, verdict = grant.host, grant.verdict
        grant.verdict = ENDED
        if verdict is GO:
            self.active -= 1
            if grant.counted:
                host.busy -= 1
        elif verdict is Verdict.CONNECT:
            host.change_locked(connecting=-1)
            self.pending -= 1
        elif verdict is Verdict.WAIT:
            self._leave_queue_locked(grant)
            self.pending -= 1

    def fail_locked(self, grant: Grant) -> None:
        """Release the grant and let all who wait for a connection to its host fail as it did."""
        if grant.verdict is Verdict.CONNECT:
            for waiting in list(grant.host.queue):
                waiting.failure = grant.failure
                waiting.verdict = Verdict.FAILED
                self.pending -= 1
                self._wake_locked(waiting)
        self.release_locked(grant)

    def _open_or_wait_locked(self, grant: Grant, ticket_factory: Callable[[], Ticket]) -> None:
        host = grant.host
        if self.max_connection_pools is not None and not self._has_pool_locked(host, self.max_connection_pools):
            grant.verdict = Verdict.POOLS_OVERFLOW
        elif self.pending >= self.max_pending_requests:
            grant.verdict = Verdict.PENDING_OVERFLOW
        elif self._may_connect(grant):
            self.pending += 1
            self._connect_locked(grant)
        else:
            grant.ticket = ticket_factory()
            self.pending += 1
            self._numbers += 1
            grant.number = self._numbers
            host.queue[grant] = None
            self._crowded[host] = None

    def _may_connect(self, grant: Grant) -> bool:
        """Whether a connection may be opened: always the host's first, and of HTTP/2 no second one."""
        host, most = grant.host, self.max_host_connections
        if host.connections <= 0:
            return True
        return (
            not grant.multiplexed
            and self.connections < self.max_connections
            and (most is None or host.connections < most)
        )

    def _has_pool_locked(self, host: HostLimits, most: int) -> bool:
        """Whether the host has connections already, or may have them beside the other hosts."""
        return host.in_use or sum(other.in_use for other in self._hosts.values()) < most

    def _go_locked(self, grant: Grant) -> None:
        """Make it active, if there is room: the connection is opened all the same where there is none."""
        if self.active >= self.max_requests:
            grant.verdict = Verdict.REQUESTS_OVERFLOW
            return
        grant.verdict = GO
        self.active += 1
        if grant.counted:
            grant.host.busy += 1

    def _connect_locked(self, grant: Grant) -> None:
        grant.verdict = Verdict.CONNECT
        grant.host.change_locked(connecting=1)

    def _leave_queue_locked(self, grant: Grant) -> None:
        queue = grant.host.queue
        queue.pop(grant, None)
        if not queue:
            self._crowded.pop(grant.host, None)

    def _wake_locked(self, grant: Grant) -> None:
        """Tell a waiter that it has a verdict, and holds what goes with it; its ticket is woken after the lock."""
        self._leave_queue_locked(grant)
        if grant.ticket is not None:
            self.mailbox.afterwards(grant.ticket.wake)

    def _serve_waiting_locked(self) -> None:
        """Let waiters go on for as long as there is something for one of them, the longest waiting first."""
        while self._crowded:
            heads = [next(iter(host.queue)) for host in self._crowded]
            able = [grant for grant in heads if _usable(grant) or self._may_connect(grant)]
            if not able:
                return
            grant = min(able, key=lambda head: head.number)
            if _usable(grant):
                self.pending -= 1
                self._go_locked(grant)
            else:
                self._connect_locked(grant)
            self._wake_locked(grant)

    def _retry_limit(self) -> int:
        budget = self.retry_budget
        if budget is None:
            return self.max_retries
        percent = DEFAULT_PERCENT if budget.budget_percent is None else budget.budget_percent.value
        return retry_limit(
            self.active + self.pending, percent, _or_default(budget.min_retry_concurrency, DEFAULT_MIN_CONCURRENCY)
        )

    def __repr__(self) -> str:
        return (
            f"<Limits active={self.active}/{self.max_requests} pending={self.pending}/{self.max_pending_requests}"
            f" connections={self.connections}/{self.max_connections} retries={self.retries}>"
        )


class _RetrySlot:
    """Gives a retry's place back, once however often it is called."""

    __slots__ = ("_held", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = True

    def __call__(self) -> None:
        self._limits.mailbox.post(_RetrySlot._end_locked, self)

    def _end_locked(self) -> None:
        if self._held:
            self._held = False
            self._limits.retries -= 1


def _usable(grant: Grant) -> bool:
    """Whether an established connection takes the request at once; a reserved one serves its own request first."""
    host = grant.host
    return host.open > (host.reserved if grant.multiplexed else host.busy + host.reserved)


def _or_default(value: int | None, default: int) -> int:
    return default if value is None else value
