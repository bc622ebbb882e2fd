"""Filters of clusters, which run once a try (`HttpProtocolOptions.http_filters`, `Router.upstream_http_filters`)."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from .documents import OPTIONS, ROUTER, TYPE, bootstrap
from .harness import Spec
from .test_filter_header_mutation import add, mutation, on_route
from .test_filters import FORWARD, setting

CODEC = {"name": "codec", "typed_config": {"@type": f"{TYPE}.filters.http.upstream_codec.v3.UpstreamCodec"}}
RETRY = {"retry_policy": {"retry_on": "5xx", "num_retries": 1}}


def chain(*configs: dict[str, Any]) -> list[dict[str, Any]]:
    return [*({"name": "f0", "typed_config": config} for config in configs), CODEC]


def of_cluster(*configs: dict[str, Any]) -> dict[str, Any]:
    http1 = {"explicit_http_config": {"http_protocol_options": {}}}
    options = {"@type": f"type.googleapis.com/{OPTIONS}", **http1, "http_filters": chain(*configs)}
    return {"typed_extension_protocol_options": {OPTIONS: options}}


def of_router(*configs: dict[str, Any]) -> dict[str, Any]:
    router = copy.deepcopy(ROUTER)
    router["typed_config"]["upstream_http_filters"] = chain(*configs)
    return {"http_filters": [router]}


def sent(spec: Spec, name: str) -> list[list[str]]:
    return [request.headers.get_list(name) for request in spec.upstream.seen]


@pytest.mark.parametrize("place", ["cluster", "router"])
def test_they_run_once_a_try_on_headers_that_all_tries_share(spec: Spec, place: str) -> None:
    """They see the rewritten path, the endpoint and the try's own headers; what they add is there for the next."""
    config = mutation(add("x-m", "%REQ(:path)% %REQ(x-envoy-attempt-count)% %UPSTREAM_HOST%"))
    parts = {"cluster": of_cluster(config)} if place == "cluster" else {"manager": of_router(config)}
    routes = [{"match": {"prefix": "/p"}, "route": {"cluster": "c", "prefix_rewrite": "/z", **RETRY}}]
    spec.given(bootstrap(routes=routes, vhost={"include_request_attempt_count": True}, **parts), 503, 200)
    assert 200 == spec.get("/p").status_code
    first, second = "/z 1 10.0.0.1:80", "/z 2 10.0.0.1:80"
    assert [[first], [first, second]] == sent(spec, "x-m")


def test_they_may_take_away_what_the_router_says_of_a_try(spec: Spec) -> None:
    """The expected timeout is written before they run, for each try."""
    config = mutation({"remove": "x-envoy-expected-rq-timeout-ms"})
    spec.given(bootstrap(cluster=of_cluster(config), route=RETRY), 503, 200).get()
    assert [[], []] == sent(spec, "x-envoy-expected-rq-timeout-ms")
    kept = mutation(add("x-m", "1"))
    spec.given(bootstrap(cluster=of_cluster(kept), route=RETRY), 503, 200).get()
    assert [1, 1] == list(map(len, sent(spec, "x-envoy-expected-rq-timeout-ms")))


def test_a_clusters_filters_take_the_place_of_the_routers(spec: Spec) -> None:
    """Even the codec alone does."""
    manager = of_router(mutation(add("x-m", "router")))
    spec.given(bootstrap(manager=manager, cluster=of_cluster())).get()
    spec.given(bootstrap(manager=manager, cluster=of_cluster(mutation(add("x-m", "cluster"))))).get()
    assert [["cluster"]] == sent(spec, "x-m")
    spec.given(bootstrap(manager=manager)).get()
    assert [["router"]] == sent(spec, "x-m")


def test_retries_look_at_what_they_leave_of_a_response(spec: Spec) -> None:
    """A header that they add makes the try retriable; the application sees the response as changed."""
    retry = {"retry_on": "retriable-headers", "num_retries": 1, "retriable_headers": [{"name": "x-again"}]}
    config = mutation(response=[add("x-again", "1"), {"remove": "x-gone"}])
    policy = bootstrap(cluster=of_cluster(config), route={"retry_policy": retry})
    spec.given(policy, httpx.Response(200, headers={"x-gone": "1"}), httpx.Response(200))
    response = spec.get()
    assert 2 == len(spec.upstream.seen)
    assert ("1", None) == (response.headers.get("x-again"), response.headers.get("x-gone"))


@pytest.mark.parametrize(
    ("on", "expected"),
    [({}, ["filter"]), (on_route(add("x-m", "route")), ["filter", "route"]), (setting(disabled=True), [])],
)
def test_levels_set_something_for_them_as_for_any_filter(spec: Spec, on: Any, expected: list[str]) -> None:
    """By their names, and off is off."""
    config = mutation(add("x-m", "filter"))
    spec.given(bootstrap(cluster=of_cluster(config), routes=[{**FORWARD, **on}])).get()
    assert [expected] == sent(spec, "x-m")
