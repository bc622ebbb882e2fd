"""Policies, as parsed documents."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

TYPES = "type.googleapis.com/envoy.extensions.filters"
BASE = "http://127.0.0.1:15001"


def policy(*listeners: Document, clusters: list[Document] | None = None) -> Document:
    """Return a bootstrap; without arguments one listener on port 15001 that routes everything to cluster `up`."""
    return {
        "static_resources": {
            "listeners": list(listeners) or [listener(virtual_host())],
            "clusters": [cluster("up")] if clusters is None else clusters,
        }
    }


def listener(*virtual_hosts: Document, address: str = "127.0.0.1", port: int = 15001, name: str = "app") -> Document:
    """Return a listener with the given virtual hosts."""
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": {"name": "routes", "virtual_hosts": list(virtual_hosts)},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"}}
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }


def virtual_host(*domains: str, to: str = "up", prefix: str = "/", **route: Any) -> Document:
    """Return a virtual host, for every domain if none is given, that sends `prefix` to the cluster `to`."""
    return {
        "name": domains[0] if domains else "all",
        "domains": list(domains) or ["*"],
        "routes": [{"match": {"prefix": prefix}, "route": {"cluster": to, **route}}],
    }


def cluster(name: str, port: int = 9, **fields: Any) -> Document:
    """Return a STATIC cluster of one endpoint on the loopback address."""
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        **fields,
    }
