"""Envoy's checks of the local cluster, and what of zone aware routing has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Findings

if TYPE_CHECKING:
    from .model.cluster import Cluster
    from .policy import Policy

_SETTINGS = ("routing_enabled", "min_cluster_size", "force_local_zone_min_size")


def check_zones(findings: Findings, policy: Policy) -> None:
    """Check that the local cluster is there and has one priority."""
    manager = policy.cluster_manager
    name = manager.local_cluster_name if manager is not None else ""
    if not name:
        _warn_unused(findings, policy.clusters)
        return
    local = next((cluster for cluster in policy.clusters if cluster.name == name), None)
    if local is None:
        message = f"the local cluster {name!r} must be among static_resources.clusters"
        findings.fault(manager, "local_cluster_name", message)
        return
    for endpoints in local.load_assignment.endpoints if local.load_assignment is not None else ():
        if endpoints.priority:
            findings.fault(endpoints, "priority", "the local cluster's endpoints have priority 0")
    if policy.node is None or policy.node.locality is None:
        findings.warn(manager, "local_cluster_name", "no effect: node.locality does not say where the application is")


def _warn_unused(findings: Findings, clusters: tuple[Cluster, ...]) -> None:
    for cluster in clusters:
        common = cluster.common_lb_config
        zone = common.zone_aware_lb_config if common is not None else None
        for field in _SETTINGS if zone is not None else ():
            if getattr(zone, field) is not None:
                findings.warn(zone, field, "no effect: there is no local_cluster_name")
