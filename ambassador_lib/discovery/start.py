"""Starting discovery: from a cluster's `type` to hosts in its `Upstream`, and to what the control thread watches."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..engine.transport_sockets import TransportSockets
from ..engine.wire import Network
from ..policy.model.cluster import Cluster
from ..runtime.base import Clock, Random
from ..runtime.gate import Gate
from ..runtime.shared import control_thread
from ..upstream.upstream import Upstream
from .eds import Eds
from .logical_dns import LogicalDns
from .refresh import NameRefresh, Names
from .resolver import Resolver
from .static import static_hosts
from .strict_dns import StrictDns
from .subscription import End, Subscriptions

if TYPE_CHECKING:
    from ..runtime.control import ControlThread, Watch
    from .health_check import HealthChecker

log = logging.getLogger("ambassador_lib.discovery")

_WAYS: dict[str, Callable[[Cluster], Names]] = {"STRICT_DNS": StrictDns, "LOGICAL_DNS": LogicalDns}


class Discovery:
    """What runs for one cluster. `gate` is closed until its hosts are known and checked for the first time."""

    def __init__(self, gate: Gate, watches: Iterable[Watch] = (), end: End | None = None) -> None:
        self.gate = gate
        self._watches = tuple(watches)
        self._end = end
        # A client that is dropped without being closed takes its watches along: they hold the upstream, not this.
        self._finalizer = weakref.finalize(self, _abandon, self._watches)
        self._finalizer.atexit = False

    def stop(self, timeout: float = 1.0) -> bool:
        """End what was started and let waiting calls go; True when all has ended within `timeout` (real) seconds.

        With 0 it is only told to end, and nothing blocks. Safe to repeat.
        """
        self._finalizer.detach()
        end, self._end = self._end, None
        if end is not None:
            end()
        for watch in self._watches:
            watch.cancel(0)
        self.gate.open()
        until = time.monotonic() + timeout
        for watch in self._watches:
            watch.cancel(max(0.0, until - time.monotonic()))
        return all(watch.ended for watch in self._watches)

    def __repr__(self) -> str:
        return f"<Discovery {self.gate!r} {list(self._watches)}>"


def _abandon(watches: Iterable[Watch]) -> None:
    for watch in watches:
        watch.abandon()


def start(
    upstream: Upstream,
    *,
    clock: Clock,
    random: Random,
    resolver: Resolver | None = None,
    dials: bool = True,
    sockets: TransportSockets | None = None,
    control: ControlThread | None = None,
    subscriptions: Subscriptions | None = None,
    network: Callable[[], Network] | None = None,
) -> Discovery:
    """Find the cluster's hosts and keep them current until `stop`.

    What needs no lookup is published before this returns, and a cluster with nothing to watch starts no thread. Where
    the engine does not dial (`dials=False`), names stand for themselves and no health checks run. `network` makes what
    health checks dial with, in place of sockets.
    """
    cluster = upstream.cluster
    gate = Gate()
    way = _WAYS.get(cluster.type)
    names: Names | None = None
    end = None
    if cluster.type == "EDS":
        assert subscriptions is not None, "a cluster of EDS needs somebody who follows its file"
        end = Eds(upstream, clock=clock, random=random, control=control).follow(subscriptions)
    elif not dials or way is None:
        upstream.update_hosts(static_hosts(cluster), clock.monotonic())
    else:
        names = way(cluster)
        upstream.update_hosts(names.hosts(), clock.monotonic())
    if cluster.wait_for_warm_on_init is False:
        gate.open()
    checker = None
    if dials and cluster.health_checks:
        from .health_check import HealthChecker

        checker = HealthChecker(upstream, clock=clock, random=random, sockets=sockets, network=network)
    warm_up = _WarmUp(gate, names.names if names is not None else (), checker)
    makers = []
    if checker is not None:
        makers.append((f"{cluster.name} health checks", checker.run))
    if names is not None and names.names:
        resolver = resolver or resolver_for(cluster, clock)
        makers += [
            (f"{cluster.name} {refresh.name}", refresh.run)
            for refresh in _refreshes(upstream, names, resolver, warm_up, clock=clock, random=random)
        ]
    warm_up.look()
    if not makers:
        return Discovery(gate, end=end)
    control = control_thread(control)
    watches = [control.watch(make, name=name, clock=clock, random=random) for name, make in makers]
    return Discovery(gate, watches, end)


def resolver_for(cluster: Cluster, clock: Clock) -> Resolver:
    """Return the configured servers' resolver, or the system's."""
    config = cluster.dns_resolution_config
    if config is None or not config.resolvers:
        from .system_resolver import SystemResolver

        return SystemResolver(clock)
    from .nameservers import NameserverResolver

    return NameserverResolver(config)


def _refreshes(
    upstream: Upstream, names: Names, resolver: Resolver, warm_up: _WarmUp, *, clock: Clock, random: Random
) -> list[NameRefresh]:
    def publish() -> None:
        upstream.update_hosts(names.hosts(), clock.monotonic())

    return [
        NameRefresh(
            name,
            upstream.cluster,
            names,
            resolver,
            clock=clock,
            random=random,
            on_hosts=publish,
            on_answered=warm_up.on_answered,
        )
        for name in names.names
    ]


class _WarmUp:
    """Opens the gate when every name had its first answer, good or bad, and every host its first checks.

    Envoy goes on after the first of several names; but a sidecar has long been up when the application's first call
    comes, and so that call finds all of them here, too.
    """

    def __init__(self, gate: Gate, names: Iterable[str], checker: HealthChecker | None) -> None:
        self._gate = gate
        self._unanswered = set(names)
        self._checker = checker
        if checker is not None:
            checker.on_checked = self.look

    def on_answered(self, name: str) -> None:
        """Take note that a lookup of `name` is over."""
        self._unanswered.discard(name)
        self.look()

    def look(self) -> None:
        """Open the gate if nothing is awaited any more."""
        if self._gate.is_open or self._unanswered:
            return
        if self._checker is None or self._checker.all_checked:
            self._gate.open()
