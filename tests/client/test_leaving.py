"""A host that takes its leave in its answers, over real connections and real health checks."""

from __future__ import annotations

from typing import Any

import httpx

from ambassador_lib.testing import Reaction, Upstream, reply

from .conftest import MakeClient
from .documents import BASE, cluster, policy

CHECK = {
    "timeout": "5s",
    "interval": "600s",
    "no_traffic_interval": "600s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
    "http_health_check": {"path": "/healthy"},
}
LEAVE = "x-envoy-immediate-health-check-fail"


def two(*upstreams: Upstream, **fields: Any) -> dict[str, Any]:
    """Return a policy of one cluster with all `upstreams` as its endpoints."""
    documents = [cluster("up", upstream.port, **fields) for upstream in upstreams]
    endpoints = documents[0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    for document in documents[1:]:
        endpoints += document["load_assignment"]["endpoints"][0]["lb_endpoints"]
    return policy(clusters=[documents[0]])


def leaving(seen: Any) -> Reaction:
    """Answer checks as ever, and all else with the news."""
    return reply() if seen.target == "/healthy" else reply(headers={LEAVE: "true"}, content=b"leaving")


def answers(client: Any, count: int) -> list[httpx.Response]:
    return [client.get(f"{BASE}/x") for _ in range(count)]


def test_a_host_that_says_so_gets_no_more_requests(make_client: MakeClient) -> None:
    """Its one answer reaches the caller with the header; the next checks alone would bring the host back."""
    with Upstream(leaving) as going, Upstream(name="staying") as staying:
        client = make_client(two(going, staying, health_checks=[CHECK]))
        client.ready()
        seen = answers(client, 8)
    assert [response.text for response in seen].count("leaving") == 1
    assert [response.headers[LEAVE] for response in seen if response.text == "leaving"] == ["true"]


def test_without_health_checks_it_says_nothing(make_client: MakeClient) -> None:
    """Nobody could find out that the host is back."""
    with Upstream(leaving) as going, Upstream(name="staying") as staying:
        seen = answers(make_client(two(going, staying)), 8)
    assert [response.text for response in seen].count("leaving") == 4
