"""Envoy's checks of how a cluster spreads its load, and what of it has no effect."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from ..algorithms.runtime_value import DENOMINATORS
from .findings import Findings
from .model.balancing import LbSubsetConfig
from .model.cluster import CircuitBreakers, Cluster, ClusterLoadAssignment

DEFAULT_MINIMUM_RING = 1024
DEFAULT_MAXIMUM_RING = 8 * 1024 * 1024
DEFAULT_TABLE_SIZE = 65537

ZONE_KEYS = (
    "upstream.zone_routing.enabled", "upstream.zone_routing.min_cluster_size",
    "upstream.zone_routing.force_local_zone.min_size",
)  # fmt: skip
ROUTER_KEYS = frozenset(
    {"upstream.use_retry", "upstream.base_retry_backoff_ms", "upstream.healthy_panic_threshold", *ZONE_KEYS}
)
"""Runtime keys that all clusters share."""

_BREAKER_KEYS = (
    "max_connections", "max_pending_requests", "max_requests", "max_retries", "max_connection_pools",
    "retry_budget.budget_percent", "retry_budget.min_retry_concurrency",
)  # fmt: skip
_OUTLIER_TIMES = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")


def cluster_runtime_keys(cluster: Cluster) -> Iterator[str]:
    """Yield the runtime keys that a cluster reads."""
    yield f"upstream.maintenance_mode.{cluster.name}"
    for priority in ("default", "high"):
        yield from (f"circuit_breakers.{cluster.name}.{priority}.{field}" for field in _BREAKER_KEYS)
    if cluster.outlier_detection is not None:
        for field in dataclasses.fields(cluster.outlier_detection):
            if "int" in str(field.type):
                yield f"outlier_detection.{field.name}"
            elif field.name in _OUTLIER_TIMES:
                yield f"outlier_detection.{field.name}_ms"
    least, settings = cluster.least_request_lb_config, cluster.round_robin_lb_config
    if least is not None and least.active_request_bias is not None:
        yield least.active_request_bias.runtime_key
    for config in (least, settings):
        if config is not None and config.slow_start_config is not None:
            aggression = config.slow_start_config.aggression
            if aggression is not None:
                yield aggression.runtime_key


def check_balancing(findings: Findings, cluster: Cluster) -> None:
    """Check a cluster's load balancer, subsets, limits of hosts and shares to drop."""
    _check_hashing(findings, cluster)
    if cluster.lb_subset_config is not None:
        _check_subsets(findings, cluster, cluster.lb_subset_config)
    if cluster.circuit_breakers is not None:
        _check_host_limits(findings, cluster.circuit_breakers)
    if cluster.load_assignment is not None and cluster.load_assignment.policy is not None:
        check_drops(findings, cluster.load_assignment.policy)
    _warn_unused(findings, cluster)


def _check_hashing(findings: Findings, cluster: Cluster) -> None:
    ring = cluster.ring_hash_lb_config
    if cluster.lb_policy == "RING_HASH" and ring is not None:
        least = DEFAULT_MINIMUM_RING if ring.minimum_ring_size is None else ring.minimum_ring_size
        most = DEFAULT_MAXIMUM_RING if ring.maximum_ring_size is None else ring.maximum_ring_size
        if least > most:
            findings.fault(ring, "minimum_ring_size", f"{least} is more than maximum_ring_size ({most})")
    table = cluster.maglev_lb_config
    size = table.table_size if cluster.lb_policy == "MAGLEV" and table is not None else None
    if size is not None and not _is_prime(size):
        findings.fault(table, "table_size", f"{size} is not a prime number")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _check_subsets(findings: Findings, cluster: Cluster, config: LbSubsetConfig) -> None:
    if cluster.lb_policy == "CLUSTER_PROVIDED":
        findings.fault(cluster, "lb_subset_config", "CLUSTER_PROVIDED cannot be combined with lb_subset_config")
    common = cluster.common_lb_config
    if config.locality_weight_aware and (common is None or common.locality_weighted_lb_config is None):
        message = "locality_weight_aware needs common_lb_config.locality_weighted_lb_config"
        findings.fault(config, "locality_weight_aware", message)
    for selector in config.subset_selectors:
        keys, fallback = set(selector.keys), set(selector.fallback_keys_subset)
        if selector.fallback_policy != "KEYS_SUBSET":
            if fallback:
                findings.fault(selector, "fallback_keys_subset", "can be set for fallback_policy KEYS_SUBSET only")
        elif not fallback:
            findings.fault(selector, "fallback_keys_subset", "cannot be empty")
        elif not fallback <= keys:
            findings.fault(selector, "fallback_keys_subset", "must be a subset of keys")
        elif fallback == keys:
            findings.fault(selector, "fallback_keys_subset", "cannot be equal to keys")


def _check_host_limits(findings: Findings, breakers: CircuitBreakers) -> None:
    for thresholds in breakers.per_host_thresholds:
        for field in ("max_pending_requests", "max_requests", "max_retries", "retry_budget", "max_connection_pools"):
            if getattr(thresholds, field) is not None:
                findings.fault(thresholds, field, "per_host_thresholds take max_connections alone")


def check_drops(findings: Findings, policy: ClusterLoadAssignment.Policy) -> None:
    """Check `drop_overloads`: Envoy takes one category."""
    if len(policy.drop_overloads) > 1:
        findings.fault(policy, "drop_overloads", f"{len(policy.drop_overloads)} categories: Envoy takes one")
    for drop in policy.drop_overloads:
        share = drop.drop_percentage
        if share is not None and share.numerator > DENOMINATORS[share.denominator]:
            findings.fault(share, "numerator", "more than everything")


def _warn_unused(findings: Findings, cluster: Cluster) -> None:
    for policy, field in (
        ("LEAST_REQUEST", "least_request_lb_config"),
        ("ROUND_ROBIN", "round_robin_lb_config"),
        ("RING_HASH", "ring_hash_lb_config"),
        ("MAGLEV", "maglev_lb_config"),
    ):
        if getattr(cluster, field) is not None and cluster.lb_policy != policy:
            findings.warn(cluster, field, f"no effect: lb_policy is {cluster.lb_policy}")
    common = cluster.common_lb_config
    hashes = cluster.lb_policy in ("RING_HASH", "MAGLEV")
    if common is not None and common.consistent_hashing_lb_config is not None and not hashes:
        findings.warn(common, "consistent_hashing_lb_config", f"no effect: lb_policy is {cluster.lb_policy}")
    if cluster.lb_subset_config is not None and not cluster.lb_subset_config.subset_selectors:
        findings.warn(cluster.lb_subset_config, "subset_selectors", "no effect: without selectors there are no subsets")
