"""The policy of the kit's tests: one listener, retries, a breaker, and a cluster of two endpoints far away."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

CHARGES = "http://127.0.0.1:15001/charges"
TYPES = "type.googleapis.com/envoy.extensions.filters"


def policy(*others: str, route: Document | None = None, **cluster: Any) -> Document:
    """Return a bootstrap whose listener leads to `billing_upstream`; `/<other>` leads to the cluster of that name."""
    retries = {"retry_on": "5xx,reset,connect-failure", "num_retries": 2, "per_try_timeout": "1s"}
    routes = [{"match": {"prefix": f"/{name}"}, "route": {"cluster": name}} for name in others]
    to_billing = {"cluster": "billing_upstream", "timeout": "5s", "retry_policy": retries, **(route or {})}
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": {
            "name": "routes",
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [*routes, {"match": {"prefix": "/"}, "route": to_billing}]}
            ],
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "app",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    clusters = [billing(**cluster), *(plain(name) for name in others)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def billing(**fields: Any) -> Document:
    """Return the cluster `billing_upstream`: two endpoints, outlier detection and a breaker."""
    breaker = {"failure_rate": 0.5, "minimum_requests": 10, "window": "10s", "open_for": "30s"}
    return {
        **plain("billing_upstream", 2),
        "outlier_detection": {"consecutive_5xx": 3, "base_ejection_time": "30s", "max_ejection_percent": 50},
        "metadata": {"filter_metadata": {"ambassador_lib": {"circuit_breaker": breaker}}},
        **fields,
    }


def plain(name: str, endpoints: int = 1) -> Document:
    """Return a STATIC cluster of addresses that lead nowhere."""
    found = [
        {"endpoint": {"address": {"socket_address": {"address": f"192.0.2.{number}", "port_value": 443}}}}
        for number in range(1, endpoints + 1)
    ]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": found}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}
