"""The endpoints that a policy lists, flattened: what each address found for one of them becomes."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.base import pipe_address
from ..policy.model.cluster import Cluster, ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints
from ..upstream.host import HostSpec


@dataclass(frozen=True, slots=True)
class ListedEndpoint:
    """One `LbEndpoint` with what it inherits from its locality. `name` is an IP address, a DNS name or a unix
    socket's path."""

    name: str
    port: int
    hostname: str
    source: LbEndpoint
    group: LocalityLbEndpoints

    def at(self, address: str, *others: str) -> HostSpec:
        """Return the host that this endpoint is at `address`, and at `others` where that one does not answer."""
        additional = (more.address.socket_address for more in self.source.endpoint.additional_addresses)
        alternates = [(other, self.port) for other in others]
        alternates += [(at.address, at.port_value) for at in additional if at is not None]
        weight = self.source.load_balancing_weight
        locality = self.group.locality
        return HostSpec(
            address=address,
            port=self.port,
            hostname=self.hostname,
            weight=1 if weight is None else weight,
            priority=self.group.priority,
            locality=("", "", "") if locality is None else (locality.region, locality.zone, locality.sub_zone),
            locality_weight=self.group.load_balancing_weight,
            health_status=self.source.health_status,
            metadata=self.source.metadata,
            health_check_config=self.source.endpoint.health_check_config,
            alternates=tuple(alternates),
        )


def listed_endpoints(cluster: Cluster) -> tuple[ListedEndpoint, ...]:
    """Return the cluster's endpoints in the order of the file.

    In clusters that resolve names, a host without an `Endpoint.hostname` is known by its DNS name; in a STATIC cluster
    it has none (`auto_host_rewrite` then leaves the Host header alone).
    """
    assignment = cluster.load_assignment
    return () if assignment is None else listed(assignment, resolved=cluster.type != "STATIC")


def listed(assignment: ClusterLoadAssignment, *, resolved: bool = False) -> tuple[ListedEndpoint, ...]:
    """Return the endpoints in their order; where names are `resolved`, each is also the host's own."""
    found = []
    for group in assignment.endpoints:
        for source in group.lb_endpoints:
            at, pipe = source.endpoint.address.socket_address, source.endpoint.address.pipe
            if pipe is not None:
                found.append(ListedEndpoint(pipe_address(pipe.path), 0, source.endpoint.hostname, source, group))
            if at is None:
                continue
            hostname = source.endpoint.hostname or (at.address if resolved else "")
            found.append(ListedEndpoint(at.address, at.port_value, hostname, source, group))
    return tuple(found)
