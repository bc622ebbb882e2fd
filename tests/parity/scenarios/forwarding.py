"""What a route does with a request: clusters, rewrites, mutations, direct responses, redirects (semantics 1.6)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, direct, endpoint, header, redirect, retry, route, router, weighted
from ..expect import Between
from ..look import (
    bodies,
    body,
    details,
    flags,
    got,
    got_each,
    hits,
    lines,
    see,
    sent,
    sent_each,
    status,
    tally,
)
from ..model import Call, Scenario, get, post, times
from ..upstreams.replies import Reply, Upstream, hang

AB: dict[str, Any] = {"a": 200, "b": 200}
TWO = [cluster("a"), cluster("b")]

CLUSTERS = [
    Scenario(
        "cluster_header",
        "cluster_header names the cluster; without the header, or with a name that is no cluster's: 503, NC",
        rule="1.6 cluster_header",
        upstreams=AB,
        policy=boot([route(None, cluster_header="x-to")], TWO),
        calls=[get("/", {"x-to": "b"}), get("/", [("x-to", "a"), ("x-to", "b")]), get("/", {"x-to": "c"}), get()],
        expect=[
            status(200, 200, 503, 503),
            bodies("b", "a", "", ""),
            flags("-", "-", "NC", "NC"),
            details("via_upstream", "via_upstream", "cluster_not_found", "cluster_not_found"),
        ],
    ),
    Scenario(
        "cluster_not_found_status",
        "cluster_not_found_response_code: 404, 500, and 503 by default",
        rule="1.6 cluster_not_found_response_code",
        policy=boot(
            [
                route(None, "/404", cluster_header="x", cluster_not_found_response_code="NOT_FOUND"),
                route(None, "/500", cluster_header="x", cluster_not_found_response_code="INTERNAL_SERVER_ERROR"),
                route(None, cluster_header="x"),
            ]
        ),
        calls=[get("/404"), get("/500"), get("/")],
        expect=[status(404, 500, 503), bodies("", "", "")],
    ),
    Scenario(
        "cluster_missing_without_validation",
        "validate_clusters: false lets a route name a cluster that is not there; its calls are 503, NC",
        rule="12.1 cluster missing",
        policy=boot([route("nobody")], table={"validate_clusters": False}),
        calls=[get()],
        expect=[status(503), body(""), flags("NC"), got({"content-type": None, "content-length": "0"})],
    ),
    Scenario(
        "weighted_clusters_shares",
        "weighted clusters 1:3 get about their shares",
        rule="1.6 weighted_clusters",
        upstreams=AB,
        policy=boot([route(None, **weighted(a=1, b=3))], TWO),
        calls=[times(400, get())],
        # Mean 100 of 400, deviation 8.7.
        expect=[tally({200: 400}), hits(a=Between(60, 140), b=Between(260, 340))],
    ),
    Scenario(
        "weighted_clusters_zero",
        "a weight of 0 gets nothing",
        rule="1.6 weighted_clusters",
        upstreams=AB,
        policy=boot([route(None, **weighted(a=0, b=1))], TWO),
        calls=[times(30, get())],
        expect=[hits(a=0, b=30)],
    ),
    Scenario(
        "weighted_clusters_headers",
        "a weighted cluster brings header mutations and a host of its own",
        rule="1.6 weighted_clusters.clusters[].*_headers_to_add",
        policy=boot(
            [
                route(
                    None,
                    weighted_clusters={
                        "clusters": [
                            {
                                "name": "a",
                                "weight": 1,
                                "request_headers_to_add": [header("x-wc", "1")],
                                "request_headers_to_remove": ["x-gone"],
                                "response_headers_to_add": [header("x-back", "1")],
                                "host_rewrite_literal": "wc.test",
                            }
                        ]
                    },
                )
            ]
        ),
        calls=[get("/", {"x-gone": "1"})],
        expect=[sent({"x-wc": "1", "x-gone": None, "host": "wc.test"}), got({"x-back": "1"})],
    ),
    Scenario(
        "weighted_clusters_runtime",
        "runtime_key_prefix.<cluster> overrides the weights",
        rule="1.6 runtime_key_prefix",
        upstreams=AB,
        policy=boot(
            [
                route(
                    None,
                    weighted_clusters={
                        "runtime_key_prefix": "split",
                        "clusters": [{"name": "a", "weight": 100}, {"name": "b", "weight": 0}],
                    },
                )
            ],
            TWO,
            layered_runtime={"layers": [{"name": "l", "static_layer": {"split.a": 0, "split.b": 100}}]},
        ),
        calls=[times(10, get())],
        expect=[hits(a=0, b=10)],
    ),
]


def _rewrite(name: str, about: str, action: dict[str, Any], match: dict[str, Any], paths: dict[str, str]) -> Scenario:
    """`paths`: what the application asks for, and what the upstream sees."""
    return Scenario(
        f"rewrite_{name}",
        about,
        rule="1.6 path rewrite",
        policy=boot([route(match=match, **action)]),
        calls=[get(path) for path in paths],
        expect=[lines(*(f"GET {path}" for path in paths.values())), sent_each("x-envoy-original-path", *paths)],
    )


PATHS = [
    _rewrite(
        "prefix",
        "prefix_rewrite exchanges the prefix that matched and keeps the query",
        {"prefix_rewrite": "/new"},
        {"prefix": "/old"},
        {"/old": "/new", "/old/x?q=1": "/new/x?q=1", "/older": "/newer", "/old?q": "/new?q"},
    ),
    _rewrite(
        "prefix_to_root",
        "/pre rewritten to / turns /pre/x into //x",
        {"prefix_rewrite": "/"},
        {"prefix": "/pre"},
        {"/pre/x": "//x", "/pre": "/"},
    ),
    _rewrite(
        "whole_path",
        "prefix_rewrite under an exact path or a regex exchanges the whole path",
        {"prefix_rewrite": "/new"},
        {"safe_regex": {"regex": "/v[0-9]+/.*"}},
        {"/v1/abc?q=1": "/new?q=1"},
    ),
    _rewrite(
        "same",
        "x-envoy-original-path is there even where nothing has changed",
        {"prefix_rewrite": "/same"},
        {"prefix": "/same"},
        {"/same/x": "/same/x"},
    ),
    _rewrite(
        "case_insensitive_prefix",
        "a prefix matched regardless of case is exchanged all the same",
        {"prefix_rewrite": "/new"},
        {"prefix": "/OLD", "case_sensitive": False},
        {"/old/x": "/new/x"},
    ),
    _rewrite(
        "regex",
        "regex_rewrite replaces everywhere in the path, not in the query",
        {"regex_rewrite": {"pattern": {"regex": "a(.)"}, "substitution": "<\\1>"}},
        {"prefix": "/"},
        {"/ab/ac?ad": "/<b>/<c>?ad", "/x": "/x"},
    ),
    _rewrite(
        "regex_anchored",
        "an anchored regex rewrites once",
        {"regex_rewrite": {"pattern": {"regex": "^/service/([^/]+)(/.*)$"}, "substitution": "\\2/instance/\\1"}},
        {"prefix": "/"},
        {"/service/foo/v1/api": "/v1/api/instance/foo"},
    ),
    Scenario(
        "rewrite_separated_prefix",
        "prefix_rewrite under path_separated_prefix",
        rule="1.6 prefix_rewrite",
        policy=boot([route(match={"path_separated_prefix": "/a"}, prefix_rewrite="/b")]),
        calls=[get("/a"), get("/a/x")],
        expect=[lines("GET /b", "GET /b/x")],
    ),
    Scenario(
        "rewrite_nothing",
        "without a rewrite there is no x-envoy-original-path; the application's own passes",
        rule="1.6 x-envoy-original-path",
        policy=boot(),
        calls=[get("/x"), get("/x", {"x-envoy-original-path": "/mine"})],
        expect=[sent_each("x-envoy-original-path", None, "/mine")],
    ),
    Scenario(
        "rewrite_suppressed_header",
        "suppress_envoy_headers: no x-envoy-original-path",
        rule="1.6 unless suppress_envoy_headers",
        policy=boot([route(prefix="/a", prefix_rewrite="/b")], filters=[router(suppress_envoy_headers=True)]),
        calls=[get("/a")],
        expect=[lines("GET /b"), sent_each("x-envoy-original-path", None)],
    ),
]


def _host(name: str, about: str, action: dict[str, Any], call: Call, expected: dict[str, Any]) -> Scenario:
    return Scenario(
        f"host_rewrite_{name}",
        about,
        rule="1.6 host rewrite",
        policy=boot([route(**action)]),
        calls=[call],
        expect=[sent(expected)],
    )


_APP = {"host": "app.test"}

HOSTS = [
    _host(
        "none", "Host stays the application's", {}, get("/", _APP), {"host": "app.test", "x-envoy-original-host": None}
    ),
    _host(
        "literal",
        "host_rewrite_literal",
        {"host_rewrite_literal": "new.test"},
        get("/", _APP),
        {"host": "new.test", "x-envoy-original-host": "app.test", "x-forwarded-host": None},
    ),
    _host(
        "literal_forwarded",
        "append_x_forwarded_host appends the old host to what is there",
        {"host_rewrite_literal": "new.test", "append_x_forwarded_host": True},
        get("/", {**_APP, "x-forwarded-host": "first.test"}),
        {"host": "new.test", "x-forwarded-host": "first.test,app.test"},
    ),
    _host(
        "header",
        "host_rewrite_header takes the host from a header",
        {"host_rewrite_header": "x-host"},
        get("/", {**_APP, "x-host": "from.test"}),
        {"host": "from.test", "x-envoy-original-host": "app.test"},
    ),
    _host(
        "header_missing",
        "host_rewrite_header without the header changes nothing",
        {"host_rewrite_header": "x-host"},
        get("/", _APP),
        {"host": "app.test"},
    ),
    _host(
        "path_regex",
        "host_rewrite_path_regex substitutes over the path without its query",
        {"host_rewrite_path_regex": {"pattern": {"regex": "^/([a-z]+)/.*$"}, "substitution": "\\1.test"}},
        get("/shop/x?q=1", _APP),
        {"host": "shop.test"},
    ),
    _host(
        "path_regex_without_match",
        "where the regex does not match the host becomes the path",
        {"host_rewrite_path_regex": {"pattern": {"regex": "^/([a-z]+)/$"}, "substitution": "\\1.test"}},
        get("/shop", _APP),
        {"host": "/shop"},
    ),
    Scenario(
        "host_rewrite_auto",
        "auto_host_rewrite: the endpoint's hostname, anew for each try; without one nothing changes",
        rule="1.6 auto_host_rewrite",
        upstreams={"a": 503, "b": 503, "c": 200},
        policy=boot(
            [
                route("c", "/c", auto_host_rewrite=True),
                route(auto_host_rewrite=True, retry_policy={"retry_on": "5xx", "num_retries": 1}),
            ],
            [
                cluster("a", [endpoint("a", hostname="a.internal"), endpoint("b", hostname="b.internal")]),
                cluster("c"),
            ],
        ),
        calls=[get("/", _APP), get("/c", _APP)],
        expect=[
            see(
                "hosts",
                lambda run: [run.at(name).requests[0].header("host") for name in "abc"],
                ["a.internal", "b.internal", "app.test"],
            )
        ],
    ),
    Scenario(
        "host_rewrite_auto_dns",
        "auto_host_rewrite of a STRICT_DNS cluster: the name that was resolved",
        rule="1.6 auto_host_rewrite",
        policy=boot(
            [route(auto_host_rewrite=True)],
            [cluster("a", [endpoint("a", host="localhost")], kind="STRICT_DNS", dns_lookup_family="V4_ONLY")],
        ),
        calls=[get("/", _APP)],
        expect=[sent({"host": "localhost"})],
    ),
]


def _levels(**kinds: dict[str, Any]) -> dict[str, Any]:
    """Mutations on the four levels, and one route to a weighted cluster."""
    target = {"name": "a", "weight": 1, **kinds.get("cluster", {})}
    return boot(
        [route(None, weighted_clusters={"clusters": [target]}, more=kinds.get("route"))],
        host=kinds.get("host"),
        table=kinds.get("table"),
    )


MUTATIONS = [
    Scenario(
        "mutations_actions",
        "append_action: append (a line more), if absent, overwrite, overwrite if there",
        rule="1.6 append_action",
        policy=boot(
            [
                route(
                    more={
                        "request_headers_to_add": [
                            header("x-append", "new"),
                            header("x-absent", "new", "ADD_IF_ABSENT"),
                            header("x-absent-too", "new", "ADD_IF_ABSENT"),
                            header("x-over", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
                            header("x-over-too", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
                            header("x-exists", "new", "OVERWRITE_IF_EXISTS"),
                            header("x-exists-not", "new", "OVERWRITE_IF_EXISTS"),
                        ]
                    }
                )
            ]
        ),
        calls=[get("/", {"x-append": "old", "x-absent": "old", "x-over": "old", "x-exists": "old"})],
        expect=[
            sent(
                {
                    "x-append": ["old", "new"],
                    "x-absent": "old",
                    "x-absent-too": "new",
                    "x-over": "new",
                    "x-over-too": "new",
                    "x-exists": "new",
                    "x-exists-not": None,
                }
            )
        ],
    ),
    Scenario(
        "mutations_remove_before_add",
        "on each level headers are removed first, then added",
        rule="1.6 remove first, then add",
        policy=boot(
            [
                route(
                    more={
                        "request_headers_to_remove": ["x-one", "x-gone"],
                        "request_headers_to_add": [header("x-one", "new")],
                    }
                )
            ]
        ),
        calls=[get("/", {"x-one": "old", "x-gone": "1", "x-stays": "1"})],
        expect=[sent({"x-one": "new", "x-gone": None, "x-stays": "1"})],
    ),
    Scenario(
        "mutations_order_of_levels",
        "weighted cluster, route, virtual host, table, in this order",
        rule="1.6 order of levels",
        policy=_levels(
            **{
                level: {
                    "request_headers_to_add": [header("x-level", level)],
                    "response_headers_to_add": [header("x-back", level)],
                }
                for level in ("cluster", "route", "host", "table")
            }
        ),
        calls=[get()],
        expect=[
            sent({"x-level": ["cluster", "route", "host", "table"]}),
            got({"x-back": ["cluster", "route", "host", "table"]}),
        ],
    ),
    Scenario(
        "mutations_most_specific_wins",
        "most_specific_header_mutations_wins reverses the order",
        rule="1.6 most_specific_header_mutations_wins",
        policy=_levels(
            route={"request_headers_to_add": [header("x-level", "route", "OVERWRITE_IF_EXISTS_OR_ADD")]},
            host={"request_headers_to_add": [header("x-level", "host", "OVERWRITE_IF_EXISTS_OR_ADD")]},
            table={
                "request_headers_to_add": [header("x-level", "table", "OVERWRITE_IF_EXISTS_OR_ADD")],
                "most_specific_header_mutations_wins": True,
            },
        ),
        calls=[get()],
        expect=[sent({"x-level": "route"})],
    ),
    Scenario(
        "mutations_least_specific_wins",
        "otherwise the table has the last word",
        rule="1.6 order of levels",
        policy=_levels(
            route={"request_headers_to_add": [header("x-level", "route", "OVERWRITE_IF_EXISTS_OR_ADD")]},
            table={"request_headers_to_add": [header("x-level", "table", "OVERWRITE_IF_EXISTS_OR_ADD")]},
        ),
        calls=[get()],
        expect=[sent({"x-level": "table"})],
    ),
    Scenario(
        "mutations_empty_values",
        "a header that comes out empty is not added, unless keep_empty_value; unknown values are empty, %% is %",
        rule="1.6 keep_empty_value",
        policy=boot(
            [
                route(
                    more={
                        "request_headers_to_add": [
                            header("x-none", "%REQ(x-no-such)%"),
                            header("x-kept", "%REQ(x-no-such)%", keep_empty_value=True),
                            header("x-mixed", "a%REQ(x-no-such)%b"),
                            header("x-percent", "100%%"),
                        ]
                    }
                )
            ]
        ),
        calls=[get()],
        expect=[sent({"x-none": None, "x-kept": "", "x-mixed": "ab", "x-percent": "100%"})],
    ),
    Scenario(
        "mutations_formatters",
        "values may name request headers, method, path, protocol and route",
        rule="1.6 header formatters",
        policy=boot(
            [
                route(
                    prefix_rewrite="/new",
                    more={
                        "name": "my-route",
                        "request_headers_to_add": [
                            header("x-from", "<%REQ(x-in)%>"),
                            header("x-either", "%REQ(x-no-such?x-in)%"),
                            header("x-short", "%REQ(x-in):2%"),
                            header("x-method", "%REQ(:method)%"),
                            header("x-authority", "%REQ(:authority)%"),
                            header("x-route", "%ROUTE_NAME%"),
                            header("x-protocol", "%PROTOCOL%"),
                            header("x-cluster", "%UPSTREAM_CLUSTER%"),
                        ],
                    },
                )
            ]
        ),
        calls=[get("/a", {"x-in": "value", "host": "app.test"})],
        expect=[
            sent(
                {
                    "x-from": "<value>",
                    "x-either": "value",
                    "x-short": "va",
                    "x-method": "GET",
                    "x-authority": "app.test",
                    "x-route": "my-route",
                    "x-protocol": "HTTP/1.1",
                    "x-cluster": "a",
                }
            )
        ],
    ),
    Scenario(
        "mutations_of_responses",
        "response mutations see the response: status, its headers, the request's too; removal before addition",
        rule="1.6 response lists",
        upstreams={"a": Reply(201, {"x-up": "1", "x-gone": "1"})},
        policy=boot(
            [
                route(
                    more={
                        "response_headers_to_remove": ["x-gone"],
                        "response_headers_to_add": [
                            header("x-status", "%RESPONSE_CODE%"),
                            header("x-copy", "%RESP(x-up)%"),
                            header("x-asked", "%REQ(x-in)%"),
                        ],
                    }
                )
            ]
        ),
        calls=[get("/", {"x-in": "value"})],
        expect=[got({"x-status": "201", "x-copy": "1", "x-asked": "value", "x-gone": None, "x-up": "1"})],
    ),
    Scenario(
        "mutations_of_local_replies",
        "response mutations of the route hold for local replies too, once a route has matched",
        rule="1.6 and to router local replies",
        upstreams={"a": Upstream(kind="refused"), "b": hang()},
        policy=boot(
            [
                route("b", "/b", timeout="0.2s"),
                route("none", "/none"),
                direct(200, "x", "/direct"),
                route("a", "/a"),
            ],
            [cluster("a"), cluster("b"), cluster("none", [])],
            host={"response_headers_to_add": [header("x-back", "1")]},
        ),
        calls=[get("/a"), get("/b"), get("/none"), get("/direct"), get("/nowhere")],
        expect=[status(503, 504, 503, 200, 404), got_each("x-back", "1", "1", "1", "1", None)],
    ),
    Scenario(
        "mutations_do_not_route",
        "headers that are added do not change which route or cluster is taken",
        rule="1.6 they never influence either",
        upstreams=AB,
        policy=boot(
            [
                route("b", match={"prefix": "/", "headers": [{"name": "x-level", "present_match": True}]}),
                route("a"),
            ],
            TWO,
            host={"request_headers_to_add": [header("x-level", "host")]},
        ),
        calls=[get()],
        expect=[hits(a=1, b=0), sent({"x-level": "host"})],
    ),
]


def _redirect(name: str, about: str, action: dict[str, Any], path: str, location: str, code: int = 301) -> Scenario:
    return Scenario(
        f"redirect_{name}",
        about,
        rule="1.6 redirect",
        policy=boot([redirect("/old", **action)]),
        calls=[get(path, _APP)],
        expect=[status(code), got({"location": location}), body(""), hits(a=0)],
    )


ANSWERS = [
    Scenario(
        "direct_response",
        "a direct response has its text as text/plain, no upstream, no flag",
        rule="1.6 direct_response",
        policy=boot([direct(418, "short and stout", "/tea"), direct(204, None, "/none"), direct(503, None, "/503")]),
        calls=[get("/tea"), get("/none"), get("/503"), Call("/tea", "HEAD")],
        expect=[
            status(418, 204, 503, 418),
            bodies("short and stout", "", "", ""),
            got_each("content-type", "text/plain", None, None, "text/plain"),
            flags("-", "-", "-", "-"),
            hits(a=0),
        ],
    ),
    Scenario(
        "direct_response_reads_the_body",
        "a request with a body gets its direct response, and the next call is fine",
        rule="1.6 direct_response",
        policy=boot([direct(200, "ok")]),
        calls=[post("/", b"x" * 200_000), post("/", None, chunks=[b"1", b"2"]), get()],
        expect=[status(200, 200, 200), bodies("ok", "ok", "ok")],
    ),
    _redirect(
        "host",
        "host_redirect keeps path and query",
        {"host_redirect": "new.test"},
        "/old/x?q",
        "http://new.test/old/x?q",
    ),
    _redirect(
        "path", "path_redirect, the query appended", {"path_redirect": "/new"}, "/old/x?q", "http://app.test/new?q"
    ),
    _redirect(
        "path_with_query",
        "unless the new path has a query of its own",
        {"path_redirect": "/new?own"},
        "/old?q",
        "http://app.test/new?own",
    ),
    _redirect("prefix", "prefix_rewrite", {"prefix_rewrite": "/new"}, "/old/x?q", "http://app.test/new/x?q"),
    _redirect(
        "regex",
        "regex_rewrite",
        {"regex_rewrite": {"pattern": {"regex": "^/old/(.*)$"}, "substitution": "/\\1/new"}},
        "/old/x?q",
        "http://app.test/x/new?q",
    ),
    _redirect("https", "https_redirect", {"https_redirect": True}, "/old", "https://app.test/old"),
    _redirect("scheme", "scheme_redirect", {"scheme_redirect": "ftp"}, "/old", "ftp://app.test/old"),
    _redirect("port", "port_redirect", {"port_redirect": 8443}, "/old", "http://app.test:8443/old"),
    _redirect("query", "strip_query", {"strip_query": True, "path_redirect": "/new"}, "/old?q", "http://app.test/new"),
    _redirect(
        "code",
        "response_code",
        {"path_redirect": "/new", "response_code": "PERMANENT_REDIRECT"},
        "/old",
        "http://app.test/new",
        308,
    ),
    Scenario(
        "redirect_port_dropped_with_scheme",
        "https_redirect drops the port 80 of the old host, keeps another",
        rule="1.6 redirect",
        policy=boot([redirect("/", https_redirect=True)]),
        calls=[get("/", {"host": "app.test:80"}), get("/", {"host": "app.test:8080"})],
        expect=[got_each("location", "https://app.test/", "https://app.test:8080/")],
    ),
    Scenario(
        "redirect_that_the_application_follows",
        "to the policy it is another request: with its own route, its own id and its own tries",
        rule="14.7",
        upstreams={"a": Reply(302, {"location": "/new"}), "b": [503, 200]},
        policy=boot([route("b", "/new", retry_policy=retry("5xx", 1)), route()], [cluster("a"), cluster("b")]),
        calls=[get("/old", follow=True)],
        expect=[
            status(200),
            hits(a=1, b=2),
            see("ids", lambda run: len({r.header("x-request-id") for name in "ab" for r in run.at(name).requests}), 2),
        ],
    ),
    Scenario(
        "redirect_headers",
        "response mutations hold for redirects",
        rule="1.6 response lists also apply to redirects",
        policy=boot([{**redirect("/", path_redirect="/x"), "response_headers_to_add": [header("x-back", "1")]}]),
        calls=[get("/")],
        expect=[status(301), got({"x-back": "1", "content-length": "0"}), flags("-"), details("direct_response")],
    ),
    Scenario(
        "require_tls",
        "a virtual host that requires TLS redirects to https",
        rule="1.6 VirtualHost.require_tls",
        policy=boot(host={"require_tls": "ALL"}),
        calls=[get("/x?q", _APP)],
        expect=[status(301), got({"location": "https://app.test/x?q"}), hits(a=0)],
    ),
    Scenario(
        "bodies_pass_both_ways",
        "large bodies pass unchanged in both directions",
        rule="14 streamed, not capped",
        upstreams={"a": lambda request: Reply(200, body=request.body[::-1])},
        policy=boot(),
        calls=[post("/", b"0123456789" * 300_000)],
        expect=[see("same", lambda run: run.outcomes[0].body == b"9876543210" * 300_000, True), status(200)],
    ),
    Scenario(
        "bodies_are_streamed",
        "a response is handed over as it comes, not when it is whole",
        rule="14 streamed, not capped",
        upstreams={"a": Reply(body=["one", "two"], pause=0.8)},
        policy=boot(),
        calls=[get()],
        expect=[
            body("onetwo"),
            see("head", lambda run: round(run.outcomes[0].head, 3), Between(0, 0.7)),
            see("last", lambda run: run.outcomes[0].pieces[-1][0], Between(0.75, 5)),
        ],
    ),
    Scenario(
        "trailers_of_responses_are_no_body",
        "trailers of a chunked response do not turn up in its body",
        rule="1.3",
        upstreams={"a": Reply(body=["one", "two"], trailers={"x-trailer": "1"})},
        policy=boot(),
        calls=[times(2, get())],
        expect=[bodies("onetwo", "onetwo"), got({"x-trailer": None}), see("c", lambda run: run.at("a").connections, 1)],
    ),
]

SCENARIOS = [*CLUSTERS, *PATHS, *HOSTS, *MUTATIONS, *ANSWERS]
