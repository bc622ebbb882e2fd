"""Listeners, route tables and clusters that files bring, put to work while calls run (semantics 8.3).

What is written down in the policy wins over what is discovered under its name. Of an update that is wrong in parts the
rest is used, and what it is wrong about stays as it was: as in Envoy, which tells of it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import PolicyError, PolicyFault

if TYPE_CHECKING:
    from .discovery.subscription import End, Subscriptions
    from .live import ListenerAtWork, LiveClusters, LiveListeners
    from .policy import Policy
    from .policy.model import Cluster, Listener
    from .policy.responses import Response


class Discovered:
    """Follows `dynamic_resources`, and does to the clusters and listeners at work what it says."""

    def __init__(
        self, policy: Policy, subscriptions: Subscriptions, clusters: LiveClusters, listeners: LiveListeners
    ) -> None:
        self._dynamic = policy.dynamic_resources
        self._subscriptions = subscriptions
        self._clusters = clusters
        self._listeners = listeners
        self._written_clusters = frozenset(cluster.name for cluster in policy.clusters)
        self._written_listeners = frozenset(listener.name for listener in policy.listeners)
        self._has_started = False

    def start_clusters(self) -> None:
        """Put the clusters to work; raise `PolicyError` where there is no file."""
        if self._dynamic is not None and self._dynamic.cds_config is not None:
            self._subscriptions.follow(self._dynamic.cds_config, "the clusters", self._use_clusters)

    def start_listeners(self) -> None:
        """Put the listeners to work, after the clusters that they may name; later clusters are warmed up first."""
        if self._dynamic is not None and self._dynamic.lds_config is not None:
            self._subscriptions.follow(self._dynamic.lds_config, "the listeners", self._use_listeners)
        self._has_started = True

    def _use_clusters(self, content: bytes, path: str) -> Sequence[PolicyFault]:
        from .policy.responses import read_clusters

        assert self._dynamic is not None, "or there would be no file"
        response = read_clusters(content, path, self._dynamic)

        def put(cluster: Cluster) -> None:
            if cluster.name not in self._written_clusters:
                self._clusters.put(cluster, at_once=not self._has_started)

        refused = _put_each(response, put)
        _drop_others(response, self._clusters.names - self._written_clusters, self._clusters.drop)
        return refused

    def _use_listeners(self, content: bytes, path: str) -> Sequence[PolicyFault]:
        from .policy.responses import read_listeners

        response = read_listeners(content, path, frozenset(self._clusters.upstreams))
        # Those that go make room first: their addresses are free for others.
        _drop_others(response, self._listeners.names, self._listeners.drop)

        def put(listener: Listener) -> None:
            if listener.name not in self._written_listeners:
                self._refuse_taken_address(listener, path)
                self._listeners.put(listener)

        return _put_each(response, put)

    def _refuse_taken_address(self, listener: Listener, path: str) -> None:
        own = _bound(listener)
        for other in self._listeners:
            if other.listener.name != listener.name and own & _bound(other.listener):
                message = f"the listener {listener.name!r} has an address of the listener {other.listener.name!r}"
                raise PolicyError([PolicyFault(f"{path}:1:1", "resources", message)])


def follow_routes(
    made: ListenerAtWork, subscriptions: Subscriptions, clusters: Mapping[str, object], on_change: Callable[[], None]
) -> End:
    """Give a listener the routes that its `rds` names, now and whenever they change; return what ends it."""
    rds = made.listener.http_connection_manager.rds
    assert rds is not None, "asked for by the listener itself"
    name = rds.route_config_name

    def use(content: bytes, path: str) -> Sequence[PolicyFault]:
        from .policy.responses import read_routes

        config = read_routes(content, path, name, frozenset(clusters))
        if config is not None and config != made.config:
            made.use(config)
            on_change()
        return ()

    return subscriptions.follow(rds.config_source, f"the routes {name!r}", use)


def _put_each(response: Response[Any], put: Callable[[Any], None]) -> list[PolicyFault]:
    for name, resource in list(response.resources.items()):
        try:
            put(resource)
        except PolicyError as error:  # such as a file of its own that is not there
            response.refuse(name, error.faults)
    return [fault for faults in response.refused.values() for fault in faults]


def _drop_others(response: Response[Any], names: Iterable[str], drop: Callable[[str], None]) -> None:
    for name in set(names) - response.resources.keys() - response.refused.keys():
        drop(name)


def _bound(listener: Listener) -> set[tuple[str, int]]:
    addresses = (address.socket_address for address in listener.addresses)
    return {(at.address, at.port_value) for at in addresses if at is not None and at.port_value}
