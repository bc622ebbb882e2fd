"""An application's own policy, pointed at upstreams of the kit: only endpoints are swapped, and what TLS needs.

Everything else of a cluster is what production runs: its way of balancing, localities, priorities, weights and
metadata of endpoints, health checks, breakers, timeouts, the order of endpoints. `Pointing` maps clusters by their
names, wherever they come from: the file that a test names, one that the application reads itself, or one that a
discovery file brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ..discovery.resolver import is_address
from ..policy.model.cluster import (
    Cluster,
    ClusterLoadAssignment,
    DnsResolutionConfig,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from ..policy.model.core import Address, SocketAddress
from .mapped_files import discovered_clusters, read_endpoints
from .mapped_tls import Peers, simulated_tls, tls_contexts
from .misuse import MisuseError, nearest, where

if TYPE_CHECKING:
    from ..policy import Policy

NAMED = ("STRICT_DNS", "LOGICAL_DNS")
"""Types of clusters whose endpoints are names to be looked up."""


class Target(Protocol):
    """What a mapping asks of an upstream, real or simulated."""

    name: str
    is_simulated: bool

    can_grow: bool
    """False where the number of its endpoints was given when it was made."""

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """Host and port of each endpoint."""

    def grow(self, count: int) -> None:
        """Have at least `count` endpoints."""


class Pointing:
    """Which upstream stands in for which cluster; a cluster that nobody names is refused when it is called."""

    def __init__(self) -> None:
        self._targets: dict[str, Any] = {}
        self._pointed: dict[str, Cluster] = {}
        self._peers: dict[int, Peers] = {}
        self.misuses: list[str] = []
        """What was told to somebody who may have caught it."""

    def target(self, cluster: str) -> Any:
        """Return the upstream that stands in for a cluster, `None` for none."""
        return self._targets.get(cluster)

    @property
    def targets(self) -> list[Any]:
        """The upstreams, each once."""
        return list({id(target): target for target in self._targets.values()}.values())

    def add(self, upstreams: Mapping[str, Any], policy: Policy) -> None:
        """Map clusters of `policy`, over what was said before; `MisuseError` for names that it does not have, and for
        real upstreams beside simulated ones."""
        __tracebackhide__ = True
        clusters = {cluster.name: cluster for cluster in (*policy.clusters, *discovered_clusters(policy))}
        for name, target in upstreams.items():
            _check_target(name, target)
            if name not in clusters:
                raise MisuseError(f"the policy has no cluster {name!r} to be mapped: {nearest(name, clusters)}")
            if (aggregate := clusters[name].aggregate) is not None:
                members = ", ".join(map(repr, aggregate.clusters))
                raise MisuseError(f"the cluster {name!r} has no endpoints of its own: map its members {members}")
        kinds = {is_simulated(target) for target in (*self._targets.values(), *upstreams.values())}
        if len(kinds) > 1:
            raise MisuseError(
                "real and simulated upstreams are mixed, and only one of them can have the time that passes: make all "
                "with `upstreams(...)` or all with `simulated_upstreams(...)`"
            )
        targets = {**self._targets, **upstreams}
        _check_aggregates(clusters.values(), targets)
        for name, target in upstreams.items():
            if self._targets.get(name) is not target:
                self._pointed.pop(name, None)
        self._targets = targets

    def pointed(self, policy: Policy) -> Policy:
        """Return the policy with its mapped clusters pointed at their upstreams, and the others as they are."""
        clusters = tuple(self.cluster(cluster) or cluster for cluster in policy.clusters)
        return policy.in_force(policy.listeners, clusters)

    def cluster(self, cluster: Cluster) -> Cluster | None:
        """Return what stands in for a cluster; `None` where nobody does. Applied again, it changes nothing."""
        if cluster.aggregate is not None:
            return cluster
        target = self._targets.get(cluster.name)
        if target is None or cluster == self._pointed.get(cluster.name):
            return None if target is None else cluster
        name = _name(cluster)
        moved = _moved(cluster, target) if name is None else _moved_by_name(cluster, name, target)
        pointed = self._pointed[cluster.name] = self._secured(moved, target)
        return pointed

    def refuse(self, name: str) -> NoReturn:
        """A call goes to a cluster that nobody mapped."""
        at = where()
        message = (
            f"a call{f' at {at}' if at else ''} went to the cluster {name!r}, for which no upstream stands in: say "
            f"`upstreams={{{name!r}: ...}}`, {_mapped(self._targets)}"
        )
        self.misuses.append(message)
        raise MisuseError(message)

    def _secured(self, cluster: Cluster, target: Any) -> Cluster:
        if cluster.transport_socket is None and not cluster.transport_socket_matches:
            if not is_simulated(target):
                self._peers.setdefault(id(target), Peers(target)).plain(cluster.name)
            return cluster
        if is_simulated(target):
            return simulated_tls(cluster)
        peers = self._peers.setdefault(id(target), Peers(target))
        if not tls_contexts(cluster):  # raw buffers
            peers.plain(cluster.name)
            return cluster
        return peers.secured(cluster)


def is_simulated(target: Any) -> bool:
    """Whether an upstream is one without sockets."""
    return bool(getattr(target, "is_simulated", False))


def _check_target(name: str, target: Any) -> None:
    if not all(hasattr(target, wanted) for wanted in ("requests", "addresses", "grow")):
        raise MisuseError(
            f"upstreams={{{name!r}: {target!r}}}: must be an upstream of the kit, such as `upstreams.{_as_name(name)}` "
            f"or `simulated_upstreams.{_as_name(name)}`"
        )


def _check_aggregates(clusters: Iterable[Cluster], mapped: Mapping[str, Any]) -> None:
    for cluster in clusters:
        if cluster.aggregate is None:
            continue
        missing = [name for name in cluster.aggregate.clusters if name not in mapped]
        if missing and len(missing) < len(cluster.aggregate.clusters):
            raise MisuseError(
                f"the cluster {cluster.name!r} fails over to {', '.join(map(repr, missing))}, which "
                f"{'is' if len(missing) == 1 else 'are'} not mapped: add to `upstreams={{...}}`"
            )


def without_files(cluster: Cluster) -> Cluster:
    """Return a cluster that a mock answers for: without certificates, and with an endpoint where its file is away."""
    if cluster.type == "EDS" and read_endpoints(cluster) is None:
        nowhere = _at(None, "192.0.2.1", 80)  # TEST-NET-1, RFC 5737
        assignment = ClusterLoadAssignment(
            cluster_name=cluster.name, endpoints=(LocalityLbEndpoints(lb_endpoints=(nowhere,)),)
        )
        cluster = replace(cluster, type="STATIC", eds_cluster_config=None, load_assignment=assignment)
    return simulated_tls(cluster)


def _provide(target: Any, count: int) -> None:
    if target.can_grow:
        target.grow(max(1, count))


def _as_name(cluster: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in cluster)


def _mapped(names: Iterable[str]) -> str:
    known = ", ".join(map(repr, names))
    return f"beside {known}" if known else "where nothing is mapped so far"


def _name(cluster: Cluster) -> str | None:
    """Return the one name that all hosts of the cluster are found by; `None` for addresses and for several names."""
    if cluster.type not in NAMED or cluster.load_assignment is None:
        return None
    found = {
        "" if lb.endpoint.address.socket_address is None else lb.endpoint.address.socket_address.address
        for group in cluster.load_assignment.endpoints
        for lb in group.lb_endpoints
    }
    name = found.pop() if len(found) == 1 else ""
    return name if name and not is_address(name) and name != "localhost" else None


def _moved_by_name(cluster: Cluster, name: str, target: Any) -> Cluster:
    """The name stays, and so does looking it up: the kit answers, with the hosts of the upstream."""
    _provide(target, 1)
    assignment = cluster.load_assignment
    assert assignment is not None, "the name stands in there"
    port = target.addresses[0][1]
    kept = next(group for group in assignment.endpoints if group.lb_endpoints)
    group = replace(kept, lb_endpoints=(_at(kept.lb_endpoints[0], name, port),))
    moved = replace(cluster, load_assignment=replace(assignment, endpoints=(group,)))
    if is_simulated(target):
        target.serves(name)
        return replace(moved, dns_resolution_config=None)
    target.dns.serves(name)
    host, number = target.dns.address
    server = Address(socket_address=SocketAddress(address=host, port_value=number))
    config = DnsResolutionConfig(resolvers=(server,), no_default_search_domain=True)
    return replace(moved, dns_resolution_config=config)


def _moved(cluster: Cluster, target: Any) -> Cluster:
    """Addresses become those of the upstream, one by one; what a discovery file says of endpoints is taken now."""
    assignment = cluster.load_assignment
    if cluster.type == "EDS":
        assignment = read_endpoints(cluster) or assignment
        cluster = replace(cluster, type="STATIC", eds_cluster_config=None)
    groups = assignment.endpoints if assignment is not None else ()
    if cluster.type in NAMED:  # several names, each of an endpoint: what is known by its name stays so
        cluster = replace(cluster, type="STATIC")
        groups = tuple(replace(group, lb_endpoints=tuple(map(_called_by_name, group.lb_endpoints))) for group in groups)
    count = sum(len(group.lb_endpoints) for group in groups)
    _provide(target, count)
    moved = _spread(groups, list(target.addresses))
    base = assignment or ClusterLoadAssignment(cluster_name=cluster.name)
    return replace(cluster, load_assignment=replace(base, endpoints=moved))


def _spread(
    groups: Sequence[LocalityLbEndpoints], addresses: Sequence[tuple[str, int]]
) -> tuple[LocalityLbEndpoints, ...]:
    """Give each endpoint its address. A number of endpoints that a test gave wins: too many of the policy's are left
    out, and the last is repeated where there are too few."""
    left = list(addresses)
    moved = []
    for group in groups:
        here, left = left[: len(group.lb_endpoints)], left[len(group.lb_endpoints) :]
        placed = tuple(_at(lb, host, port) for lb, (host, port) in zip(group.lb_endpoints, here, strict=False))
        moved.append(replace(group, lb_endpoints=placed))
    if left:
        model = next((lb for group in reversed(moved) for lb in reversed(group.lb_endpoints)), None)
        more = tuple(_at(model, host, port) for host, port in left)
        if model is None:
            moved = [LocalityLbEndpoints(lb_endpoints=more)]
        else:
            last = max(index for index, group in enumerate(moved) if group.lb_endpoints)
            moved[last] = replace(moved[last], lb_endpoints=(*moved[last].lb_endpoints, *more))
    return tuple(moved)


def _at(lb: LbEndpoint | None, host: str, port: int) -> LbEndpoint:
    address = Address(socket_address=SocketAddress(address=host, port_value=port))
    if lb is None:
        return LbEndpoint(endpoint=Endpoint(address=address))
    check = lb.endpoint.health_check_config
    if check is not None:  # checked where it is called: the upstream has no other door
        check = replace(check, port_value=0, address=None)
    moved = replace(lb.endpoint, address=address, additional_addresses=(), health_check_config=check)
    return replace(lb, endpoint=moved)


def _called_by_name(lb: LbEndpoint) -> LbEndpoint:
    address = lb.endpoint.address.socket_address
    if address is None or lb.endpoint.hostname:
        return lb
    return replace(lb, endpoint=replace(lb.endpoint, hostname=address.address))
