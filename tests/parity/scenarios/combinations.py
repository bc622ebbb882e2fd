"""Rules that meet: each holds alone elsewhere in this folder, here they must hold together."""

from __future__ import annotations

from ..bootstrap import INTERNAL, boot, cluster, header, http2, outlier, panic, retry, route, thresholds
from ..look import bodies, details, flags, hits, lines, received, sent, sent_each, status, took
from ..model import Scenario, get, pause, post, times
from ..upstreams.replies import Reply, Upstream, hang

SCENARIOS = [
    Scenario(
        "combined_hedge_of_a_streamed_body",
        "a hedged try carries the whole of a streamed body again, and the first good answer wins",
        rule="3.7, 3.8",
        upstreams={"a": [hang(), 200]},
        policy=boot(
            [
                route(
                    retry_policy=retry("5xx", 1, per_try_timeout="0.2s"),
                    hedge_policy={"hedge_on_per_try_timeout": True},
                )
            ]
        ),
        calls=[post(body=None, chunks=[b"one", b"two"], pause=0.05)],
        expect=[status(200), hits(a=2), received("onetwo", "onetwo"), took(0.2, 5)],
    ),
    Scenario(
        "combined_internal_redirect_then_retry",
        "the route that an internal redirect leads to retries by its own policy, with the new path",
        rule="1.6 internal_redirect_policy, 3.1",
        upstreams={"a": {"/old": Reply(302, {"location": "http://x.test/new"}), "/new": [503, 200]}},
        policy=boot(
            [
                route("a", "/new", retry_policy=retry("5xx", 1)),
                route("a", "/old", internal_redirect_policy={}),
            ]
        ),
        calls=[get("/old")],
        expect=[status(200), lines("GET /old", "GET /new", "GET /new"), flags("-")],
    ),
    Scenario(
        "combined_retry_then_internal_redirect",
        "a redirect that a retry brings is followed, and the tries before it do not count for the next route",
        rule="1.6 internal_redirect_policy, 3.5",
        upstreams={"a": {"/old": [503, Reply(302, {"location": "http://x.test/new"})], "/new": [503, 200]}},
        policy=boot(
            [
                route("a", "/new", retry_policy=retry("5xx", 1)),
                route("a", "/old", internal_redirect_policy={}, retry_policy=retry("5xx", 1)),
            ]
        ),
        calls=[get("/old")],
        expect=[status(200), lines("GET /old", "GET /old", "GET /new", "GET /new")],
    ),
    Scenario(
        "combined_weighted_mutations_on_a_retry",
        "a retry carries the chosen cluster's headers once, not once a try, and its rewritten path",
        rule="1.6 weighted_clusters, header mutation; 3.6",
        upstreams={"a": [503, 503, 200], "b": 200},
        policy=boot(
            [
                route(
                    None,
                    prefix_rewrite="/v2",
                    retry_policy=retry("5xx", 2),
                    weighted_clusters={
                        "clusters": [
                            {"name": "a", "weight": 1, "request_headers_to_add": [header("x-side", "a")]},
                            {"name": "b", "weight": 0, "request_headers_to_add": [header("x-side", "b")]},
                        ]
                    },
                )
            ],
            [cluster("a"), cluster("b")],
        ),
        calls=[get("/x")],
        expect=[
            status(200),
            hits(a=3, b=0),
            sent_each("x-side", "a", "a", "a"),
            sent_each("x-envoy-original-path", "/x", "/x", "/x"),
        ],
    ),
    Scenario(
        "weighted_clusters_by_header",
        "with header_name the number in the header, modulo the sum of the weights, picks in the order of the list",
        rule="1.6 weighted_clusters.header_name",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            [
                route(
                    None,
                    weighted_clusters={
                        "header_name": "x-pick",
                        "clusters": [{"name": "a", "weight": 2}, {"name": "b", "weight": 1}],
                    },
                )
            ],
            [cluster("a"), cluster("b")],
        ),
        calls=[get("/", {"x-pick": str(number)}) for number in (0, 1, 2, 3, 5, 301)],
        expect=[bodies("a", "a", "b", "a", "b", "a")],
    ),
    Scenario(
        "combined_budget_by_priority",
        "each priority has its own room for retries: none for DEFAULT, a budget for HIGH",
        rule="3.5 retry_budget; 4 HIGH priority",
        upstreams={"a": {"/low": [503, 200], "/high": [503, 200]}},
        policy=boot(
            [
                route("a", "/high", priority="HIGH", retry_policy=retry("5xx", 1)),
                route("a", "/low", retry_policy=retry("5xx", 1)),
            ],
            [
                cluster(
                    "a",
                    circuit_breakers={
                        "thresholds": [
                            {"max_retries": 0},
                            {"priority": "HIGH", "max_retries": 0, "retry_budget": {"min_retry_concurrency": 1}},
                        ]
                    },
                )
            ],
        ),
        calls=[get("/low"), get("/high")],
        expect=[status(503, 200), flags("UO", "-"), lines("GET /low", "GET /high", "GET /high")],
    ),
    Scenario(
        "combined_split_outlier_connect_failures_under_retry",
        "in split mode each refused try counts for the host that refused, and the ejected host is left alone",
        rule="5 split mode; 3.6",
        upstreams={"a": 200, "b": Upstream(kind="refused")},
        policy=boot(
            [route("a", "/after"), route(retry_policy=retry("connect-failure", 1))],
            [
                cluster(
                    "a",
                    ["a", "b"],
                    **panic(0),
                    **outlier(
                        split_external_local_origin_errors=True,
                        consecutive_local_origin_failure=1,
                        enforcing_consecutive_local_origin_failure=100,
                        max_ejection_percent=50,
                    ),
                )
            ],
        ),
        calls=[times(2, get()), pause(0.3), times(6, get("/after"))],
        expect=[status(*[200] * 8), hits(a=8), flags(*["-"] * 8)],
    ),
    Scenario(
        "combined_http2_timeouts_of_a_streamed_body",
        "over HTTP/2 too neither the route's nor the try's timeout runs before the body is sent",
        rule="2 upload time is free",
        upstreams={"a": Upstream({"/quick": 200, "/hang": hang()}, kind="http2")},
        policy=boot(
            [
                route("a", "/quick", timeout="0.7s", retry_policy=retry("", per_try_timeout="0.6s")),
                route("a", "/hang", timeout="0.6s", retry_policy=retry("", per_try_timeout="0.2s")),
            ],
            [cluster("a", **http2())],
        ),
        calls=[
            post("/quick", None, chunks=[b"one", b"two", b"three", b"four"], pause=0.3),
            post("/hang", None, chunks=[b"one", b"two", b"three"], pause=0.25),
        ],
        expect=[status(200, 504), details("via_upstream", "upstream_per_try_timeout"), took(0.6, 5)],
    ),
    Scenario(
        "combined_callers_timeout_and_retries",
        "an internal caller's headers replace the route's timeout and count, and what a try is told shrinks to its own",
        rule="1.2, 2, 3.1",
        upstreams={"a": [503, 503, 200]},
        policy=boot([route(timeout="9s", retry_policy=retry("gateway-error", 0))], manager=INTERNAL),
        calls=[
            get(
                headers={
                    "x-envoy-upstream-rq-timeout-ms": "5000",
                    "x-envoy-upstream-rq-per-try-timeout-ms": "2000",
                    "x-envoy-max-retries": "2",
                }
            )
        ],
        expect=[
            status(200),
            hits(a=3),
            sent_each("x-envoy-expected-rq-timeout-ms", "2000", "2000", "2000"),
            sent({"x-envoy-max-retries": None, "x-envoy-upstream-rq-per-try-timeout-ms": None}),
        ],
    ),
    Scenario(
        "combined_default_budget",
        "an empty retry_budget is a budget: max_retries no longer counts",
        rule="3.5 retry_budget: {} = 20 %/3",
        upstreams={"a": [503, 200]},
        policy=boot(
            [route(retry_policy=retry("5xx", 1))], [cluster("a", **thresholds(max_retries=0, retry_budget={}))]
        ),
        calls=[get()],
        expect=[status(200), hits(a=2), flags("-")],
    ),
]
