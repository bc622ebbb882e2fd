"""The policy of the failure scenarios: the same file for Envoy and for the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"

TIMEOUT = 1.0
"""Seconds that a call may take; httpx without a policy is given the same."""


def policy(listen: int, upstreams: Sequence[int], *, breaker: bool) -> dict[str, Any]:
    """Return a bootstrap with retries elsewhere, timeouts and ejection. `breaker`: with one by error rate as well,
    which Envoy ignores."""
    manager = {
        "@type": f"{_EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "failures",
        "route_config": {"virtual_hosts": [{"name": "service", "domains": ["*"], "routes": [_route()]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_EXTENSIONS}.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "service",
        "address": _address(listen),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(upstreams, breaker=breaker)]}}


def _route() -> dict[str, Any]:
    retries = {
        "retry_on": "5xx,reset,connect-failure",
        "num_retries": 2,
        "per_try_timeout": "0.2s",
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.05s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }
    route = {"cluster": "service", "timeout": f"{TIMEOUT:g}s", "retry_policy": retries}
    return {"match": {"prefix": "/"}, "route": route}


def _cluster(upstreams: Sequence[int], *, breaker: bool) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in upstreams]
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 1000)
    cluster: dict[str, Any] = {
        "name": "service",
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {"thresholds": [limits]},
        "outlier_detection": {
            "consecutive_5xx": 3,
            "interval": "1s",
            "base_ejection_time": "30s",
            "max_ejection_percent": 67,
        },
    }
    if breaker:
        settings = {"failure_rate": "0.5", "minimum_requests": 20, "window": "2s", "open_for": "0.5s"}
        cluster["metadata"] = {"filter_metadata": {"ambassador_lib": {"circuit_breaker": settings}}}
    return cluster


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
