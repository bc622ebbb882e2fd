"""Policies as parsed documents, the smallest around the part that a case is about."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

TYPE = "type.googleapis.com/envoy.extensions"
MANAGER = f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROUTER: Document = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
}


def policy(*listeners: Document, clusters: list[Document] | None = None) -> Document:
    """Return a bootstrap; without arguments a listener on port 15001 that routes everything to the cluster `c`."""
    return {
        "static_resources": {
            "listeners": list(listeners) or [listener(vhost())],
            "clusters": [cluster()] if clusters is None else clusters,
        }
    }


def listener(
    *hosts: Document,
    name: str = "main",
    address: str = "127.0.0.1",
    port: int = 15001,
    config: Document | None = None,
    manager: Document | None = None,
) -> Document:
    """Return a listener with these virtual hosts; `config` and `manager` add to what stands around them."""
    connection_manager = {
        "@type": MANAGER,
        "stat_prefix": "s",
        "route_config": {"virtual_hosts": list(hosts), **(config or {})},
        "http_filters": [ROUTER],
        **(manager or {}),
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}]
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }


def vhost(*domains: str, routes: list[Document] | None = None, to: str = "c", **fields: Any) -> Document:
    """Return a virtual host, for every domain if none is given, that routes everything to the cluster `to`."""
    return {
        "name": domains[0] if domains else "v",
        "domains": list(domains) or ["*"],
        "routes": [route(to)] if routes is None else routes,
        **fields,
    }


def route(to: str | None = "c", *, match: Document | None = None, name: str = "", **action: Any) -> Document:
    """Return a route to the cluster `to`; other ways to name a cluster are part of the action, with `to=None`."""
    target = {} if to is None else {"cluster": to}
    return {"name": name, "match": match or {"prefix": "/"}, "route": {**target, **action}}


def cluster(name: str = "c", *, endpoints: int = 1, groups: list[Document] | None = None, **fields: Any) -> Document:
    """Return a STATIC cluster with this many endpoints (10.0.0.1 and so on), or with these groups of them."""
    members = [endpoint(n) for n in range(1, endpoints + 1)]
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": members}] if groups is None else groups,
        },
        **fields,
    }


def endpoint(number: int, *, hostname: str = "", **fields: Any) -> Document:
    """Return the endpoint 10.0.0.`number`:80."""
    address = {"socket_address": {"address": f"10.0.0.{number}", "port_value": 80}}
    named = {"hostname": hostname} if hostname else {}
    return {"endpoint": {"address": address, **named}, **fields}


def options(*, protocol: str = "http_protocol_options", **common: Any) -> Document:
    """Return a cluster's protocol options, these among the common ones."""
    choice = {"explicit_http_config": {protocol: {}}, "common_http_protocol_options": common}
    return {"typed_extension_protocol_options": {OPTIONS: {"@type": f"type.googleapis.com/{OPTIONS}", **choice}}}


def breaker(**fields: Any) -> Document:
    """Return the metadata that gives a cluster a breaker."""
    return {"filter_metadata": {"ambassador_lib": {"circuit_breaker": fields}}}


def header(key: str, value: str, action: str | None = None) -> Document:
    """Return one header to add."""
    option: Document = {"header": {"key": key, "value": value}}
    return option if action is None else {**option, "append_action": action}


def bootstrap(
    *,
    route: Document | None = None,
    routes: list[Document] | None = None,
    vhost: Document | None = None,
    cluster: Document | None = None,
    manager: Document | None = None,
    endpoints: int = 1,
) -> Document:
    """Return a policy with one listener, one virtual host and the cluster `c`, each with what a case adds to it."""
    if routes is None:
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": "c", **(route or {})}}]
    host = {"name": "v", "domains": ["*"], "routes": routes, **(vhost or {})}
    return policy(
        listener(host, manager=manager),
        clusters=[_cluster(endpoints=endpoints, **(cluster or {}))],
    )


_cluster = cluster
