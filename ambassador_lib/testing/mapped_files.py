"""What discovery files say while a policy is mapped: clusters, and endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..policy import Policy
    from ..policy.model.cluster import Cluster, ClusterLoadAssignment


def discovered_clusters(policy: Policy) -> list[Cluster]:
    """Return the clusters that a file brings, where it can be read; when it cannot, the client will tell."""
    dynamic = policy.dynamic_resources
    source = dynamic.cds_config.path_config_source if dynamic is not None and dynamic.cds_config is not None else None
    if dynamic is None or source is None:
        return []
    from ..policy.responses import read_clusters

    try:
        content = Path(source.path).read_bytes()
    except OSError:
        return []
    return list(read_clusters(content, source.path, dynamic).resources.values())


def read_endpoints(cluster: Cluster) -> ClusterLoadAssignment | None:
    """Return what the cluster's file says of endpoints just now, `None` where there is no such file."""
    config = cluster.eds_cluster_config
    source = config.eds_config.path_config_source if config is not None and config.eds_config is not None else None
    if config is None or source is None:
        return None
    from ..policy.responses import read_assignment

    try:
        content = Path(source.path).read_bytes()
    except OSError:
        return None
    return read_assignment(content, source.path, config.service_name or cluster.name)
