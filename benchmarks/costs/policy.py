"""The policy of the measured stack: every layer of the first version is on."""

from __future__ import annotations

from typing import Any

URL = "http://127.0.0.1:15001/v1/charges?page=2"

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def all_layers() -> dict[str, Any]:
    """Return a bootstrap with routing, timeouts, retries, both kinds of breakers, ejection and header mutations."""
    return {
        "static_resources": {
            "listeners": [_listener()],
            "clusters": [_cluster("billing", 21_001, 21_002), _cluster("other", 21_003, 21_004)],
        }
    }


def _listener() -> dict[str, Any]:
    manager = {
        "@type": _HCM,
        "stat_prefix": "billing",
        "route_config": {"virtual_hosts": [_virtual_host()]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    return {
        "name": "billing_listener",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15_001}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _virtual_host() -> dict[str, Any]:
    retries = {
        "retry_on": "5xx,reset,connect-failure",
        "num_retries": 3,
        "per_try_timeout": "1.5s",
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"},
    }
    return {
        "name": "billing",
        "domains": ["*"],
        "include_request_attempt_count": True,
        "routes": [
            {"match": {"prefix": "/other"}, "route": {"cluster": "other"}},
            {
                "match": {"prefix": "/v1/"},
                "route": {
                    "cluster": "billing",
                    "prefix_rewrite": "/api/",
                    "host_rewrite_literal": "billing.internal",
                    "timeout": "10s",
                    "retry_policy": retries,
                },
                "request_headers_to_add": [{"header": {"key": "x-team", "value": "payments"}}],
                "response_headers_to_remove": ["x-powered-by"],
            },
        ],
    }


def _cluster(name: str, *ports: int) -> dict[str, Any]:
    thresholds = {
        "max_connections": 200,
        "max_pending_requests": 100,
        "max_requests": 500,
        "max_retries": 50,
    }
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}} for port in ports
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [thresholds]},
        "outlier_detection": {"consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s"},
        "metadata": {"filter_metadata": {"ambassador_lib": {"circuit_breaker": {"failure_rate": "0.5"}}}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
