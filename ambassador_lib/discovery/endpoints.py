"""The endpoints that a policy lists, flattened: what each address found for one of them becomes."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.base import pipe_address
from ..policy.model.cluster import Cluster, LbEndpoint, LocalityLbEndpoints
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

    def at(self, address: str) -> HostSpec:
        """Return the host that this endpoint is at `address`."""
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
        )


def listed_endpoints(cluster: Cluster) -> tuple[ListedEndpoint, ...]:
    """Return the cluster's endpoints in the order of the file.

    In clusters that resolve names, a host without an `Endpoint.hostname` is known by its DNS name; in a STATIC cluster
    it has none (`auto_host_rewrite` then leaves the Host header alone).
    """
    assignment = cluster.load_assignment
    listed = []
    for group in () if assignment is None else assignment.endpoints:
        for source in group.lb_endpoints:
            at, pipe = source.endpoint.address.socket_address, source.endpoint.address.pipe
            if pipe is not None:
                listed.append(ListedEndpoint(pipe_address(pipe.path), 0, source.endpoint.hostname, source, group))
            if at is None:
                continue
            hostname = source.endpoint.hostname or ("" if cluster.type == "STATIC" else at.address)
            listed.append(ListedEndpoint(at.address, at.port_value, hostname, source, group))
    return tuple(listed)
