"""`type: STATIC`: the endpoints are the hosts."""

from __future__ import annotations

from ..policy.model.cluster import Cluster
from ..upstream.host import HostSpec
from .endpoints import listed_endpoints


def static_hosts(cluster: Cluster) -> list[HostSpec]:
    """Return one host for each endpoint, at the address as it is written.

    Over an engine that does not dial this serves every type of cluster: the names are addresses enough.
    """
    return [endpoint.at(endpoint.name) for endpoint in listed_endpoints(cluster)]
