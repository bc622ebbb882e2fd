"""Policies of any size: so many endpoints, routes or clusters, of which a call uses the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..costs.policy import all_layers

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "http://127.0.0.1:15001"
DIFFERENT = 64
"""Calls go to so many URLs: one alone would be answered from whatever remembers the last one."""


def with_endpoints(count: int) -> dict[str, Any]:
    """Return a policy whose cluster has so many endpoints."""
    document = all_layers()
    cluster = _clusters(document)[0]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [_endpoint(number) for number in range(count)]}]
    return document


def with_routes(count: int) -> dict[str, Any]:
    """Return a policy with so many routes, of which the last one is taken."""
    document = all_layers()
    host = _virtual_host(document)
    last = host["routes"][-1]
    others = [
        {"match": {"prefix": f"/service-{number}/"}, "route": {"cluster": "other"}} for number in range(count - 1)
    ]
    host["routes"] = [*others, last]
    return document


def with_clusters(count: int) -> dict[str, Any]:
    """Return a policy with so many clusters, of which the last one is taken."""
    document = all_layers()
    clusters = _clusters(document)
    billing = clusters[0]
    others = [{**billing, "name": f"service-{number}"} for number in range(count - 1)]
    for other in others:
        other["load_assignment"] = {**billing["load_assignment"], "cluster_name": other["name"]}
    document["static_resources"]["clusters"] = [*others, billing]
    host = _virtual_host(document)
    host["routes"] = [route for route in host["routes"] if route["route"]["cluster"] == "billing"]
    return document


def with_everything(count: int) -> dict[str, Any]:
    """Return a policy with so many endpoints and a tenth as many routes, of which the last one is taken."""
    document = with_routes(max(1, count // 10))
    _clusters(document)[0]["load_assignment"] = _clusters(with_endpoints(count))[0]["load_assignment"]
    return document


DOCUMENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "endpoints": with_endpoints,
    "routes": with_routes,
    "clusters": with_clusters,
    "everything": with_everything,
}


def urls() -> list[str]:
    """Return the URLs that are called in turn."""
    return [f"{HOST}/v1/charges?page={number}" for number in range(DIFFERENT)]


def _endpoint(number: int) -> dict[str, Any]:
    address = f"127.1.{number // 250}.{number % 250 + 1}"
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 21_001}}}}


def _clusters(document: dict[str, Any]) -> list[dict[str, Any]]:
    clusters: list[dict[str, Any]] = document["static_resources"]["clusters"]
    return clusters


def _virtual_host(document: dict[str, Any]) -> dict[str, Any]:
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    host: dict[str, Any] = manager["route_config"]["virtual_hosts"][0]
    return host
