"""Virtual hosts, routes, rewrites and header mutations (semantics 1.4 to 1.6), through the public transports."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import LocalReplyError, NoRouteError
from ambassador_lib.testing.clock import FakeRandom

from .documents import cluster, endpoint, header, listener, policy, route, vhost
from .harness import Spec, bootstrap, story, told


def chosen(spec: Spec, path: str = "/", **arguments: Any) -> str | None:
    """Return the name of the route that a request takes, `None` for none."""
    try:
        return story(spec.get(path, **arguments)).route
    except NoRouteError:
        return None


def seen_target(spec: Spec) -> str:
    return str(spec.upstream.seen[-1].url.raw_path.decode())


# --- virtual hosts and routes ----------------------------------------------------------------------------------------

DOMAINS = ("api.shop.test", "*.shop.test", "*-eu.shop.test", "api.*", "api.shop.*", "*")


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("api.shop.test", "api.shop.test"),
        ("API.Shop.Test", "api.shop.test"),
        ("www.shop.test", "*.shop.test"),
        ("www-eu.shop.test", "*-eu.shop.test"),
        (".shop.test", "*"),
        ("api.shop.org", "api.shop.*"),
        ("api.example", "api.*"),
        ("api.shop.test:8080", "api.shop.*"),
        ("elsewhere", "*"),
    ],
)
def test_the_most_specific_domain_wins(spec: Spec, host: str, domain: str) -> None:
    """Exact before the longest suffix before the longest prefix before `*`; the port is part of the name."""
    hosts = [vhost(name, routes=[route(name=name)]) for name in reversed(DOMAINS)]
    assert domain == chosen(spec.given(policy(listener(*hosts))), headers={"host": host})


@pytest.mark.parametrize(
    ("match", "hits", "misses"),
    [
        ({"prefix": "/p"}, ["/p", "/pzz", "/p/x?q"], ["/", "/P", "/x/p"]),
        ({"prefix": "/p", "case_sensitive": False}, ["/P/x"], ["/q"]),
        ({"path": "/a/b"}, ["/a/b", "/a/b?q=1"], ["/a/b/", "/a//b"]),
        ({"path_separated_prefix": "/a"}, ["/a", "/a/b", "/a?q"], ["/ab"]),
        ({"safe_regex": {"regex": "/v[12]/.*"}}, ["/v1/x", "/v2/?q"], ["/v3/x", "/x/v1/y"]),
        (
            {"prefix": "/", "query_parameters": [{"name": "k", "string_match": {"exact": "a b"}}]},
            [],
            ["/?k=a%20b", "/"],
        ),
        (
            {"prefix": "/", "query_parameters": [{"name": "k", "string_match": {"exact": "1"}}]},
            ["/?k=1&k=2"],
            ["/?k=2&k=1"],
        ),
        ({"prefix": "/", "query_parameters": [{"name": "k", "present_match": True}]}, ["/?k", "/?k=x"], ["/?K=x"]),
    ],
)
def test_paths_and_queries(spec: Spec, match: dict[str, Any], hits: list[str], misses: list[str]) -> None:
    """Each matcher takes what Envoy's takes and nothing else."""
    spec.given(bootstrap(routes=[route(match=match, name="this")]))
    assert ["this"] * len(hits) == [chosen(spec, path) for path in hits]
    assert [None] * len(misses) == [chosen(spec, path) for path in misses]


@pytest.mark.parametrize(
    ("matcher", "value", "hit"),
    [
        ({"string_match": {"exact": "on"}}, "on", True),
        ({"string_match": {"exact": "on"}}, "ON", False),
        ({"string_match": {"exact": "on", "ignore_case": True}}, "ON", True),
        ({"string_match": {"prefix": "o"}}, "on", True),
        ({"string_match": {"suffix": "n"}, "invert_match": True}, "off", True),
        ({"string_match": {"suffix": "n"}, "invert_match": True}, None, False),
        ({"string_match": {"exact": ""}, "treat_missing_header_as_empty": True}, None, True),
        ({"string_match": {"safe_regex": {"regex": "o."}}}, "one", False),
        ({"range_match": {"start": 5, "end": 8}}, "+7", True),
        ({"range_match": {"start": 5, "end": 8}}, "8", False),
        ({"present_match": False}, None, True),
        ({}, "", True),
    ],
)
def test_headers(spec: Spec, matcher: dict[str, Any], value: str | None, hit: bool) -> None:
    """A header matcher looks at the request as the application sent it."""
    match = {"prefix": "/", "headers": [{"name": "X-Flag", **matcher}]}
    spec.given(bootstrap(routes=[route(match=match, name="flagged"), route(name="rest")]))
    headers = {} if value is None else {"x-flag": value}
    assert ("flagged" if hit else "rest") == chosen(spec, headers=headers)


def test_the_first_match_wins(spec: Spec) -> None:
    """The order of the file decides, not which match is longer."""
    routes = [route(match={"prefix": "/a"}, name="short"), route(match={"path": "/a/b"}, name="long")]
    assert "short" == chosen(spec.given(bootstrap(routes=routes)), "/a/b")


def test_no_route_is_an_error_with_its_reply(spec: Spec) -> None:
    """No virtual host or no route: 404 NR, nothing sent, and no mutation of any level."""
    config = {"response_headers_to_add": [header("x-config", "1")]}
    hosts = vhost("known.test", routes=[route(match={"path": "/only"})])
    spec.given(policy(listener(hosts, config=config)))
    for path, host in (("/", "known.test"), ("/only", "unknown.test")):
        with pytest.raises(NoRouteError) as caught:
            spec.get(path, headers={"host": host})
        response = caught.value.response
        assert response is not None
        assert (404, b"") == (response.status_code, response.content)
        assert "x-config" not in response.headers
        assert (["NR"], "route_not_found") == (told(caught.value).flags, told(caught.value).details)
    assert [] == spec.upstream.seen


# --- clusters --------------------------------------------------------------------------------------------------------


def test_weighted_clusters_share_by_weight(spec: Spec) -> None:
    """One cluster is drawn for each call, and retries stay with it."""
    split = {"clusters": [{"name": "c", "weight": 75}, {"name": "d", "weight": 25}]}
    document = policy(
        listener(vhost(routes=[route(None, weighted_clusters=split, retry_policy={"retry_on": "5xx"})])),
        clusters=[cluster(), cluster("d", groups=[{"lb_endpoints": [endpoint(9)]}])],
    )
    spec.given(document, 503, random=FakeRandom(seed=7))
    reports = [story(spec.get()) for _ in range(200)]
    assert 30 < sum(report.cluster == "d" for report in reports) < 70
    for report in reports:
        expected = "10.0.0.9:80" if report.cluster == "d" else "10.0.0.1:80"
        assert [expected] * 2 == [attempt.endpoint for attempt in report.attempts]


def test_the_cluster_named_by_a_header(spec: Spec) -> None:
    """`cluster_header` takes the first value; absent or unknown is 503 NC."""
    spec.given(policy(listener(vhost(routes=[route(None, cluster_header="x-to")])), clusters=[cluster(), cluster("d")]))
    assert "d" == story(spec.get(headers=[("x-to", "d"), ("x-to", "c")])).cluster
    for headers in ({}, {"x-to": "nobody"}):
        with pytest.raises(LocalReplyError) as caught:
            spec.get(headers=headers)
        response = caught.value.response
        assert response is not None
        assert (503, b"") == (response.status_code, response.content)
        assert (["NC"], "cluster_not_found", None) == (
            told(caught.value).flags, told(caught.value).details, told(caught.value).cluster,
        )  # fmt: skip


@pytest.mark.parametrize(("code", "status"), [("NOT_FOUND", 404), ("INTERNAL_SERVER_ERROR", 500)])
def test_the_status_of_a_missing_cluster_is_the_routes_choice(spec: Spec, code: str, status: int) -> None:
    """`cluster_not_found_response_code` replaces 503."""
    routes = [route(None, cluster_header="x-to", cluster_not_found_response_code=code)]
    response = spec.given(bootstrap(routes=routes), local_replies="response").get()
    assert (status, ["NC"]) == (response.status_code, story(response).flags)


# --- rewrites --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "action", "path", "rewritten"),
    [
        ({"prefix": "/api/"}, {"prefix_rewrite": "/"}, "/api/x?q=1", "/x?q=1"),
        ({"prefix": "/api"}, {"prefix_rewrite": "/"}, "/api/x", "//x"),
        ({"path": "/old"}, {"prefix_rewrite": "/new"}, "/old?q", "/new?q"),
        (
            {"prefix": "/"},
            {"regex_rewrite": {"pattern": {"regex": "/(\\w)"}, "substitution": "/v-\\1"}},
            "/a/b?/c",
            "/v-a/v-b?/c",
        ),
    ],
)  # fmt: skip
def test_paths_are_rewritten(spec: Spec, match: Any, action: Any, path: str, rewritten: str) -> None:
    """The upstream gets the new path with the old query, and is told the original one."""
    spec.given(bootstrap(routes=[route(match=match, **action)]))
    spec.get(path)
    assert rewritten == seen_target(spec)
    assert path == spec.upstream.seen[0].headers["x-envoy-original-path"]


@pytest.mark.parametrize(
    ("action", "sent", "host"),
    [
        ({"host_rewrite_literal": "up.test"}, {}, "up.test"),
        ({"host_rewrite_header": "x-host"}, {"x-host": "named.test"}, "named.test"),
        ({"host_rewrite_header": "x-host"}, {}, "127.0.0.1:15001"),
        ({"auto_host_rewrite": True}, {}, "node.test"),
    ],
)
def test_hosts_are_rewritten(spec: Spec, action: Any, sent: dict[str, str], host: str) -> None:
    """The upstream gets the new Host, and the old one where there is a new one."""
    groups = [{"lb_endpoints": [endpoint(1, hostname="node.test")]}]
    spec.given(policy(listener(vhost(routes=[route(**action)])), clusters=[cluster(groups=groups)]))
    spec.get(headers=sent)
    headers = spec.upstream.seen[0].headers
    original = headers.get("x-envoy-original-host")
    assert (host, None if host == "127.0.0.1:15001" else "127.0.0.1:15001") == (headers["host"], original)


# --- header mutations ------------------------------------------------------------------------------------------------


def at_every_level(kind: str, action: str = "APPEND_IF_EXISTS_OR_ADD", **config: Any) -> Any:
    """Return a policy that adds to `x-level` on each level, in Envoy's order."""

    def add(level: str) -> Any:
        return {f"{kind}_headers_to_add": [header("x-level", level, action)]}

    this = {**route(), **add("route")}
    return policy(listener(vhost(routes=[this], **add("vhost")), config={**add("config"), **config}))


def test_levels_of_header_mutations(spec: Spec) -> None:
    """Route before virtual host before configuration, unless the most specific is to win."""
    for kind in ("request", "response"):
        spec.given(at_every_level(kind), 200)
        response = spec.get()
        headers = spec.upstream.seen[0].headers if kind == "request" else response.headers
        assert ["route", "vhost", "config"] == headers.get_list("x-level")
        spec.given(at_every_level(kind, "OVERWRITE_IF_EXISTS_OR_ADD"), 200)
        response = spec.get()
        headers = spec.upstream.seen[0].headers if kind == "request" else response.headers
        assert ["config"] == headers.get_list("x-level")
    specific = at_every_level("request", "OVERWRITE_IF_EXISTS_OR_ADD", most_specific_header_mutations_wins=True)
    spec.given(specific, 200).get()
    assert ["route"] == spec.upstream.seen[0].headers.get_list("x-level")


def test_removals_come_before_additions(spec: Spec) -> None:
    """A level removes first, so that it may replace what it removes."""
    this = {
        **route(),
        "request_headers_to_remove": ["x-a", "x-gone"],
        "request_headers_to_add": [header("x-a", "%REQ(x-b)%"), header("x-empty", "%REQ(x-none)%")],
    }
    spec.given(bootstrap(routes=[this])).get(headers={"x-a": "old", "x-b": "new", "X-Gone": "1"})
    headers = spec.upstream.seen[0].headers
    assert ["new"] == headers.get_list("x-a")
    assert not {"x-gone", "x-empty"} & set(headers)


@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_local_replies_of_a_route_are_mutated_too(spec: Spec, local_replies: Any) -> None:
    """The response lists change the router's own replies, once a route has matched."""
    spec.given(at_every_level("response"), httpx.ConnectError("refused"), local_replies=local_replies)
    try:
        response: httpx.Response | None = spec.get()
    except httpx.ConnectError as error:
        response = error.response  # type: ignore[attr-defined]
    assert response is not None
    assert ["route", "vhost", "config"] == response.headers.get_list("x-level")


@pytest.mark.parametrize(
    "action",
    [
        {"prefix_rewrite": "/é→"},
        {"path_rewrite": "/é→"},
        {"regex_rewrite": {"pattern": {"regex": "^/$"}, "substitution": "/é→"}},
    ],
)
def test_a_path_that_is_rewritten_to_more_than_ascii_is_encoded(spec: Spec, action: dict[str, Any]) -> None:
    """It could not be sent as it is: the request's line is ASCII."""
    spec.given(bootstrap(route=action), 200).get("/")
    assert spec.upstream.seen[0].url.raw_path == b"/%C3%A9%E2%86%92"


def test_a_host_beyond_ascii_is_sent_as_it_is_written(spec: Spec) -> None:
    """A policy's text is UTF-8."""
    spec.given(bootstrap(route={"host_rewrite_literal": "é→"}), 200).get("/")
    assert dict(spec.upstream.seen[0].headers.raw)[b"host"] == "é→".encode()
