"""One cluster at work: its hosts, their health, who is picked, what is allowed.

Calls read `_pick`, which always belongs to one immutable snapshot; membership and health changes build the next
snapshot under `_lock` and swap it in with one assignment. Outlier sweeps run on the way of a request as soon as
their tick has passed, so nothing here needs a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..runtime.afresh import after_fork
from .balancer import Balancer
from .host import NO_FLAGS, HealthFlag, Host, HostSpec
from .limits import Limits
from .outlier import Outcome, OutlierDetector
from .serving import Serving
from .shedding import Shedding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pybreaker

    from ..algorithms.priority import Level
    from ..policy.model.cluster import Cluster, ClusterLoadAssignment
    from ..runtime.base import Clock, Random
    from .breaker import ClusterBreaker
    from .plan import Locality
    from .zones import FindPeers

__all__ = ["Outcome", "Upstream"]

_NO_RUNTIME: Mapping[str, Any] = {}
FAILURES = HealthFlag.FAILED_ACTIVE_HC | HealthFlag.FAILED_OUTLIER_CHECK
"""What makes Envoy give up the connections to a host, whatever `close_connections_on_host_health_failure` says: that is
about TCP proxying."""


class Upstream(Serving):
    """One cluster at work.

    `health_checked=False` says that nobody runs the cluster's active health checks (a foreign engine underneath), so
    that hosts are not held unhealthy until their first check. `zone` is where the application is, and what finds the
    cluster that it is part of.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock,
        random: Random,
        breaker_listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        breaker_storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None = None,
        health_checked: bool = True,
        runtime: Mapping[str, Any] = _NO_RUNTIME,
        zone: tuple[Locality, FindPeers] | None = None,
    ) -> None:
        self._balancer = Balancer(cluster, random, now=clock.monotonic, runtime=runtime, zone=zone)
        super().__init__(
            cluster,
            Limits.of(cluster, runtime),
            self._balancer.picker(()),
            hashes=self._balancer.hashes,
            subsets=self._balancer.subsets,
        )
        self.hosts: tuple[Host, ...] = ()
        self.assignment = cluster.load_assignment
        """The endpoints as the policy, or discovery, lists them."""
        self.breaker = _breaker(cluster, clock, breaker_listeners, breaker_storage)
        self.health_checked = health_checked and bool(cluster.health_checks)
        """Whether the cluster's active health checks decide on its hosts' health."""
        self._now = clock.monotonic
        self._random = random
        self._runtime = runtime
        self.shedding = Shedding.of(cluster.name, cluster.load_assignment, runtime, random)
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._failure_listeners: tuple[Callable[[Host], None], ...] = ()
        self._lock = threading.Lock()
        if cluster.outlier_detection is not None:
            self.outlier = OutlierDetector(
                cluster.outlier_detection,
                now=clock.monotonic(),
                random=random,
                hosts=lambda: self.hosts,
                set_ejected=self._set_ejected,
                set_degraded=self._set_degraded,
                runtime=runtime,
            )
            self._next_tick = self.outlier.next_tick
            self.counters.outlier_detection = self.outlier.stats
        after_fork(self)

    def start_afresh(self) -> None:
        """In a forked child: let go of what calls of the parent hold; what is known of the hosts stays."""
        self._lock = threading.Lock()
        for priority, limits in self.limits.items():
            self.limits[priority] = limits.afresh()
        for host in self.hosts:
            host.start_afresh()
        if self.outlier is not None:
            self.outlier.start_afresh()
        if self.breaker is not None:
            self.breaker.start_afresh()
        self._pick = self._balancer.picker(self.hosts)

    @property
    def snapshot(self) -> object:
        """What is another object after every change of the hosts or their health."""
        return self._pick

    @property
    def overprovisioning(self) -> int:
        """The overprovisioning factor in percent."""
        return self._balancer.overprovisioning

    @property
    def panic_threshold(self) -> int:
        """The panic threshold in percent."""
        return self._balancer.panic_threshold

    def levels(self) -> list[Level]:
        """Return the health of each priority."""
        return self._balancer.levels(self.hosts)

    def uneject(self, host: Host) -> None:
        """End the host's ejection since an active health check passed, unless the policy keeps it timed."""
        if self.outlier is not None:
            self.outlier.uneject(host)

    def assign(self, assignment: ClusterLoadAssignment) -> None:
        """Take over what discovery says of the endpoints as a whole; their hosts follow with `update_hosts`."""
        self.assignment = assignment
        self._balancer.follow(assignment)
        self.shedding = Shedding.of(self.name, assignment, self._runtime, self._random)

    def update_hosts(self, specs: Sequence[HostSpec], now: float) -> None:
        """Replace the membership; hosts whose address stays keep their state.

        Of an address that is listed twice the first entry counts. In a cluster with active health checks a new host is
        unhealthy until its first check, and one that is no longer listed serves until a check fails.
        """
        with self._lock:
            before = self.hosts
            remaining = {host.key: host for host in before}
            hosts: dict[str, Host] = {}
            for spec in specs:
                if spec.key not in hosts:
                    hosts[spec.key] = self._host_locked(spec, remaining.pop(spec.key, None), now)
            for host in remaining.values():
                if self._outlives_discovery(host):
                    host.flags |= HealthFlag.PENDING_DYNAMIC_REMOVAL
                    hosts[host.key] = host
            changed = self._publish_locked(tuple(hosts.values()), before)
        if changed:
            self._notify()

    def retire(self) -> None:
        """Let the engine keep no connection any more: no new call comes here."""
        for host in self.hosts:
            for limits in self.limits.values():
                limits.forget(host.key)

    def set_flag(self, host: Host, flag: HealthFlag, on: bool) -> None:  # noqa: FBT001
        """Change a host's health; a host that only waited for its health to go is removed with it."""
        with self._lock:
            flags = host.flags | flag if on else host.flags & ~flag
            if flags == host.flags:
                return
            if HealthFlag.FAILED_ACTIVE_HC in host.flags & ~flags:
                host.healthy_since = self._now()
            if flags & ~host.flags & FAILURES:
                for limits in self.limits.values():
                    limits.drain(host.key)
            host.flags = flags
            before = self.hosts
            hosts = before
            if flags & HealthFlag.PENDING_DYNAMIC_REMOVAL and flags & HealthFlag.FAILED_ACTIVE_HC:
                hosts = tuple(other for other in before if other is not host)
            changed = self._publish_locked(hosts, before)
        if changed:
            self._notify()

    def immediate_health_check_fail(self, host: Host) -> None:
        """The host said in traffic that it is about to go (`x-envoy-immediate-health-check-fail`; semantics 6.2).

        It is out at once, left out of every percentage, until active health checks pass; without them it is not heard.
        """
        if not self.health_checked or not host.spec.actively_checked:
            return
        flags = HealthFlag.FAILED_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
        self.set_flag(host, flags, True)
        for listener in self._failure_listeners:
            listener(host)

    def on_immediate_failure(self, listener: Callable[[Host], None]) -> None:
        """Call `listener` with a host that failed by its own word, on the thread that heard it."""
        with self._lock:
            self._failure_listeners = (*self._failure_listeners, listener)

    def on_membership(self, listener: Callable[[], None]) -> None:
        """Call `listener` after hosts have come or gone, on the thread that changed them."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def _set_ejected(self, host: Host, ejected: bool) -> None:  # noqa: FBT001 - as `set_flag`
        self.set_flag(host, HealthFlag.FAILED_OUTLIER_CHECK, ejected)

    def _set_degraded(self, host: Host, degraded: bool) -> None:  # noqa: FBT001 - as `set_flag`
        self.set_flag(host, HealthFlag.DEGRADED_OUTLIER_DETECTION, degraded)

    def _host_locked(self, spec: HostSpec, known: Host | None, now: float) -> Host:
        if known is not None:
            known.describe(spec)
            known.flags &= ~HealthFlag.PENDING_DYNAMIC_REMOVAL
            return known
        host = Host(spec, now, self.name)
        if self.health_checked and spec.actively_checked:
            host.flags |= HealthFlag.FAILED_ACTIVE_HC | self._unchecked_flag
        if self.cluster.type == "LOGICAL_DNS" and len(self.hosts) == 1:
            self._inherit(host, self.hosts[0])
        return host

    @property
    def _unchecked_flag(self) -> HealthFlag:
        common = self.cluster.common_lb_config
        if common is not None and common.ignore_new_hosts_until_first_hc:
            return HealthFlag.PENDING_ACTIVE_HC
        return NO_FLAGS

    @staticmethod
    def _inherit(host: Host, predecessor: Host) -> None:
        # A LOGICAL_DNS cluster is one host whose address moves: what is known of it stays (semantics 8.1).
        host.flags = predecessor.flags
        host.outlier = predecessor.outlier
        host.healthy_since = predecessor.healthy_since

    def _outlives_discovery(self, host: Host) -> bool:
        """Whether an unlisted host goes on (semantics 6.2)."""
        if self.cluster.ignore_health_on_host_removal:
            return False
        if not self.health_checked or self.cluster.type == "LOGICAL_DNS" or not host.spec.actively_checked:
            return False
        return not host.flags & (HealthFlag.FAILED_ACTIVE_HC | HealthFlag.FAILED_EDS_HEALTH)

    def _publish_locked(self, hosts: tuple[Host, ...], before: tuple[Host, ...]) -> bool:
        """Swap the next snapshot in; True when hosts came or went."""
        self.hosts = hosts
        self._pick = self._balancer.picker(hosts)
        gone = set(before) - set(hosts)
        for host in gone:
            for limits in self.limits.values():
                limits.forget(host.key)
        return bool(gone) or len(hosts) != len(before)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def __repr__(self) -> str:
        return f"<Upstream {self.name} hosts={list(self.hosts)}>"


def _breaker(
    cluster: Cluster,
    clock: Clock,
    listeners: Sequence[pybreaker.CircuitBreakerListener],
    storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None,
) -> ClusterBreaker | None:
    if cluster.circuit_breaker is None:
        return None
    # pybreaker is slow to import: only a cluster that has a breaker pays for it.
    from .breaker import ClusterBreaker

    own_storage = None if storage is None else storage(cluster.name)
    return ClusterBreaker(cluster.name, cluster.circuit_breaker, clock=clock, listeners=listeners, storage=own_storage)
