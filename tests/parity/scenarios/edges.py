"""Where a rule begins and ends: the last value that it lets pass, the first that it does not, and what stays beside."""

from __future__ import annotations

import itertools
from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, header, http2, retry, route, router, runtime, thresholds, typed
from ..expect import Between
from ..look import connections, details, flags, got, hits, lines, see, sent, sent_each, status, tally, took
from ..model import Scenario, Several, get, pause, times, together
from ..upstreams.replies import Reply, Upstream
from .hashing import policy_of

# httpx's own: host, accept, accept-encoding, connection, user-agent
_OWN_HEADERS = 5


def _headers(number: int) -> dict[str, str]:
    return {f"x-{index}": "1" for index in range(number - _OWN_HEADERS)}


_ADDRESSES = {
    "10.255.255.255": True, "11.0.0.0": False, "172.15.255.255": False, "172.16.0.0": True, "172.31.255.255": True,
    "172.32.0.0": False, "192.168.0.0": True, "192.169.0.0": False, "127.0.0.1": True, "127.0.0.2": False,
    "169.254.0.1": False, "::1": True, "::2": False, "fd00::1": True, "fc00::1": False,
}  # fmt: skip
"""Whether they are internal."""

REQUESTS = [
    Scenario(
        "request_headers_at_the_limit",
        "a hundred header lines are taken, one more is 431; connection is one of them",
        rule="1.1 max_headers_count",
        policy=boot(),
        calls=[get("/", _headers(100)), get("/", _headers(101))],
        expect=[status(200, 431), details("via_upstream", "http1.too_many_headers"), flags("-", "DPE")],
    ),
    Scenario(
        "request_head_at_the_limit",
        "a head of nearly 60 KiB is taken, one of a little more is 431",
        rule="1.1 max_request_headers_kb",
        policy=boot(),
        calls=[get("/", {"x-large": "x" * 61000}), get("/", {"x-large": "x" * 61440})],
        expect=[status(200, 431), hits(a=1)],
    ),
    Scenario(
        "internal_at_the_edges_of_ranges",
        "internal_address_config: {}: which addresses are private or loopback, and which are nearly",
        rule="1.2 internal_address_config: {} is RFC1918 + loopback",
        policy=boot(manager={"internal_address_config": {}}),
        calls=[get("/", {"x-forwarded-for": address}) for address in _ADDRESSES],
        expect=[sent_each("x-envoy-internal", *["true" if one else None for one in _ADDRESSES.values()])],
    ),
    Scenario(
        "edge_external_address",
        "use_remote_address with an outsider: x-envoy-external-address is the peer's, whatever the request says",
        rule="1.2 x-envoy-external-address overwritten",
        policy=boot(manager={"use_remote_address": True}),
        calls=[get("/", {"x-envoy-external-address": "9.9.9.9"}), get("/", {"x-forwarded-for": "9.9.9.9"})],
        expect=[sent_each("x-envoy-external-address", "127.0.0.1", "127.0.0.1")],
    ),
    Scenario(
        "internal_nobody_behind_trusted_hops",
        "with xff_num_trusted_hops nobody is internal by X-Forwarded-For",
        rule="1.2 trusted address",
        policy=boot(manager={"internal_address_config": {}, "xff_num_trusted_hops": 1}),
        calls=[get("/", {"x-forwarded-for": "10.0.0.1"}), get("/", {"x-forwarded-for": "10.0.0.1, 10.0.0.2"})],
        expect=[sent_each("x-envoy-internal", None, None)],
    ),
    Scenario(
        "path_merge_slashes_alone",
        "merge_slashes alone leaves escapes, dots among them, as they are",
        rule="1.1 merge_slashes",
        policy=boot(manager={"merge_slashes": True}),
        calls=[get("//a///b//?c=//"), get("/a/%2e%2E//%61//b")],
        expect=[status(200, 200), lines("GET /a/b/?c=//", "GET /a/%2e%2E/%61/b")],
    ),
    Scenario(
        "path_normalize_dots",
        "normalize_path resolves dots, escaped ones too, and leaves the query alone",
        rule="1.1 normalize_path: dot segments resolved",
        policy=boot(manager={"normalize_path": True}),
        calls=[get(path) for path in ("/a/%2e%2e/b", "/a/%2E/c?x=/%2e%2e/", "/%2e%2E/d", "/a/b/%2e%2e", "/a/b/%2e")],
        expect=[lines("GET /b", "GET /a/c?x=/%2e%2e/", "GET /d", "GET /a/", "GET /a/b/")],
    ),
    Scenario(
        "via_on_both_ways",
        "via is added to requests and responses, behind what is there",
        rule="1.1 via",
        upstreams={"a": {"/named": Reply(200, {"via": "1.1 up"}), "*": 200}},
        policy=boot(manager={"via": "sidecar"}),
        calls=[get("/plain"), get("/named", {"via": "1.1 app"})],
        expect=[
            sent({"via": "sidecar"}, request=0),
            sent({"via": "1.1 app, sidecar"}, request=1),
            got({"via": "sidecar"}, call=0),
            got({"via": "1.1 up, sidecar"}, call=1),
        ],
    ),
    Scenario(
        "path_normalize_alone",
        "normalize_path alone leaves slashes as they are",
        rule="1.1 normalize_path",
        policy=boot(manager={"normalize_path": True}),
        calls=[get("//a///b"), get("/a/./b/%61//c?x=/./")],
        expect=[status(200, 200), lines("GET //a///b", "GET /a/b/a//c?x=/./")],
    ),
]

TIMES = [
    Scenario(
        "timeout_per_try_above_route",
        "a per_try_timeout above the route's is passed over in what the upstream is told as well",
        rule="2 per_try_timeout ≥ timeout is ignored",
        policy=boot([route(timeout="3s", retry_policy=retry("5xx", 1, per_try_timeout="5s"))]),
        calls=[get()],
        expect=[status(200), sent({"x-envoy-expected-rq-timeout-ms": "3000"})],
    ),
    Scenario(
        "retry_base_below_a_millisecond",
        "a base_interval below 1 ms counts as 1 ms, and up to ten times that are waited",
        rule="0 base_interval < 1 ms; 3.3",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 100, base="0.0001s"))]),
        calls=[get()],
        # On average 4.5 ms each; four standard deviations less.
        expect=[status(503), hits(a=101), took(0.31, 14)],
    ),
]


def _told(**headers: str) -> dict[str, str]:
    return {f"x-envoy-{name.replace('_', '-')}": value for name, value in headers.items()}


_MARKED = Reply(200, {"x-retry-me": "1"})
_CONSUMED = (
    "retry-on", "retry-grpc-on", "max-retries", "retriable-status-codes", "retriable-header-names",
    "upstream-rq-timeout-ms", "upstream-rq-per-try-timeout-ms", "upstream-rq-timeout-alt-response",
    "hedge-on-per-try-timeout", "upstream-alt-stat-name", "upstream-stream-duration-ms",
)  # fmt: skip


def _twice(path: str, policy: dict[str, Any] | None) -> dict[str, Any]:
    return route(prefix=path, retry_policy=policy)


RETRIES = [
    Scenario(
        "retry_headers_beside_a_policy",
        "what x-envoy-retry-on and -grpc-on name is retried, and so is what the policy names",
        rule="3.1 OR-ed",
        upstreams={
            "a": {
                "/policy": [503, 200],
                "/grpc": [Reply(200, {"grpc-status": "14"}, body=b""), 201],
                "/listed": [_MARKED, 202],
                "/minus": 503,
            }
        },
        policy=boot(
            [
                route(
                    retry_policy=retry(
                        "5xx,retriable-headers", 1, retriable_headers=[{"name": "x-retry-me", "present_match": True}]
                    )
                )
            ],
            manager=INTERNAL,
        ),
        calls=[
            get("/policy", _told(retry_on="retriable-4xx")),
            get("/grpc", _told(retry_grpc_on="unavailable")),
            get("/listed", _told(retriable_header_names="x-other")),
            get("/minus", _told(max_retries="-3")),
        ],
        expect=[status(200, 201, 202, 503), hits(a=8)],
    ),
    Scenario(
        "retry_headers_are_consumed",
        "no header that the router reads goes on",
        rule="3.1 all retry headers are consumed",
        policy=boot(manager=INTERNAL),
        calls=[get("/", {f"x-envoy-{name}": "60000" for name in _CONSUMED})],
        expect=[sent(dict.fromkeys([f"x-envoy-{name}" for name in _CONSUMED]))],
    ),
    Scenario(
        "retry_on_as_it_is_written",
        "white space around conditions is nothing, their case is not; what lists name counts with its condition alone",
        rule="3.1 tokens trimmed, case-sensitive; 3.2",
        upstreams={
            "a": {
                "/trimmed": [500, 200],
                "/upper": [500, 200],
                "/listed": [418, 200],
                "/marked": [Reply(500, {"x-retry-me": "1"}), 200],
                "/600": [600, 200],
                "/505": [505, 200],
            }
        },
        policy=boot(
            [
                _twice("/trimmed", retry(" reset ,\t5xx ", 1)),
                _twice("/upper", retry("5XX,Gateway-Error", 1)),
                _twice("/listed", retry("reset,retriable-4xx", 1, retriable_status_codes=[418])),
                _twice(
                    "/marked",
                    retry("gateway-error", 1, retriable_headers=[{"name": "x-retry-me", "present_match": True}]),
                ),
                _twice("/600", retry("5xx,gateway-error", 1)),
                _twice("/505", retry("gateway-error", 1)),
            ]
        ),
        calls=[get(path) for path in ("/trimmed", "/upper", "/listed", "/marked", "/600", "/505")],
        expect=[status(200, 500, 418, 500, 600, 505)],
    ),
    Scenario(
        "retry_any_request_header",
        "of several retriable_request_headers one is enough",
        rule="3.1 retriable_request_headers (any)",
        upstreams={"a": {"/one": [503, 200], "/none": [503, 200]}},
        policy=boot(
            [
                route(
                    retry_policy=retry(
                        "5xx",
                        1,
                        retriable_request_headers=[
                            {"name": name, "present_match": True} for name in ("x-safe", "x-other")
                        ],
                    )
                )
            ]
        ),
        calls=[get("/one", {"x-safe": "1"}), get("/none")],
        expect=[status(200, 503)],
    ),
    Scenario(
        "retry_backoff_full_jitter",
        "a back-off may be next to nothing",
        rule="3.3 full jitter, can be 0",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 20, retry_back_off={"base_interval": "0.1s", "max_interval": "0.1s"}))]
        ),
        calls=[get()],
        expect=[
            see(
                "shortest",
                lambda run: min(
                    round(later.arrived - earlier.arrived, 3)
                    for earlier, later in itertools.pairwise(run.at("a").requests)
                ),
                Between(0, 0.045),
            )
        ],
    ),
    Scenario(
        "retry_backoff_doubles",
        "up to 0.1, 0.2 and 0.4 s are waited, on average 0.35 s in all, and not 0.15",
        rule="3.3 interval(n+1) = min(2*interval(n), max)",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 3, base="0.1s"))], [cluster(**thresholds(max_retries=100))]),
        calls=[together(get(), count=16)],
        expect=[
            see(
                "on average",
                lambda run: round(sum(outcome.elapsed for outcome in run.outcomes) / len(run.outcomes), 3),
                Between(0.22, 1.5),
            )
        ],
    ),
    Scenario(
        "retry_backoff_of_ten_bases",
        "no back-off is longer than ten times base_interval, unless set otherwise",
        rule="3.3 max 10 x base",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 12, base="0.02s"))]),
        calls=[get()],
        expect=[took(0.25, 3.5)],
    ),
    Scenario(
        "retry_backoff_default",
        "25 ms, up to 250 ms",
        rule="3.3 defaults",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 12, base=None))]),
        calls=[get()],
        # 1.19 s on average.
        expect=[took(0.32, 2.8)],
    ),
]


def _after(*names: str, **fields: Any) -> dict[str, Any]:
    """Where a response says when to try again, in seconds."""
    return {"rate_limited_retry_back_off": {"reset_headers": [{"name": name} for name in names], **fields}}


def _times_of(path: str) -> Any:
    return lambda run: sum(one.path == path for one in run.at("a").requests)


_AFTER_ONE = Reply(503, {"retry-after": "1"})

AFTER = [
    Scenario(
        "retry_after_in_order",
        "the first of reset_headers that says something counts; 0 is something, and means exponential back-off",
        rule="3.4 reset_headers in order",
        upstreams={
            "a": {
                "/past": [Reply(503, {"x-at": "1000", "x-b": "1", "x-c": "5"}), 200],
                "/zero": [Reply(503, {"x-at": "never", "x-b": "0", "x-c": "5"}), 200],
            }
        },
        policy=boot(
            [
                route(
                    retry_policy=retry(
                        "5xx",
                        1,
                        rate_limited_retry_back_off={
                            "reset_headers": [
                                {"name": "x-at", "format": "UNIX_TIMESTAMP"},
                                {"name": "x-b"},
                                {"name": "x-c"},
                            ]
                        },
                    )
                )
            ]
        ),
        calls=[get("/past"), get("/zero")],
        expect=[status(200, 200), took(0.95, 4, 0), took(0, 4, 1)],
    ),
    Scenario(
        "retry_after_more_than_five_minutes",
        "without a max_interval nobody waits for more than 300 s: exponential back-off instead",
        rule="3.4 max_interval 300 s",
        upstreams={"a": [Reply(503, {"retry-after": "301"}), 200]},
        policy=boot([route(retry_policy=retry("5xx", 1, **_after("retry-after")))]),
        calls=[get()],
        expect=[status(200), took(0, 8)],
    ),
    Scenario(
        "retry_after_and_a_half",
        "up to half of what was asked for is added",
        rule="3.4 interval + uniform[0, interval/2)",
        upstreams={"a": lambda request: _AFTER_ONE if request.header("x-envoy-attempt-count") == "1" else 200},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, **_after("retry-after")))],
            [cluster(**thresholds(max_retries=100))],
            host={"include_request_attempt_count": True},
        ),
        calls=[together(get(), count=16)],
        expect=[
            tally({200: 16}),
            see(
                "shortest and longest",
                lambda run: [round(of(one.elapsed for one in run.outcomes), 2) for of in (min, max)],
                [Between(0.98, 1.4), Between(1.1, 2.2)],
            ),
        ],
    ),
    Scenario(
        "retry_slot_is_held_through_the_try",
        "a retry has its place until it is answered",
        rule="3.5 held through backoff and the attempt",
        upstreams={"a": {"/slow": [503, Reply(delay=0.8)], "/next": [503, 200]}},
        policy=boot([route(retry_policy=retry("5xx", 1))], [cluster(**thresholds(max_retries=1))]),
        calls=[together(get("/slow"), get("/next"), stagger=0.3)],
        expect=[status(200, 503)],
    ),
    Scenario(
        "retry_budget_counts_who_asks",
        "half of two is one: beside a call that runs another one may be retried, alone it may not",
        rule="3.5 the failing request itself still counts as active",
        upstreams={"a": {"/slow": Reply(delay=0.6), "/beside": [503, 200], "/alone": [503, 200]}},
        policy=boot(
            [route(retry_policy=retry("5xx", 1))],
            [cluster(**thresholds(retry_budget={"budget_percent": {"value": 50}, "min_retry_concurrency": 0}))],
        ),
        calls=[get("/alone"), together(get("/slow"), get("/beside"), stagger=0.2)],
        expect=[status(503, 200, 200)],
    ),
    Scenario(
        "retry_budget_default_percent",
        "beside twenty calls that run some four may be retried at a time: a fifth of 21 or a few more",
        rule="3.5 budget_percent 20 %",
        upstreams={"a": {"/slow": Reply(delay=1.2), "/fails": _AFTER_ONE}},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, **_after("retry-after")))],
            [cluster(**thresholds(retry_budget={"min_retry_concurrency": 0}))],
        ),
        calls=[together(*[get("/slow")] * 20, Several([pause(0.1), together(get("/fails"), count=7, stagger=0.07)]))],
        expect=[see("tries", _times_of("/fails"), Between(7 + 3, 7 + 5))],
    ),
    Scenario(
        "retry_budget_default_concurrency",
        "however small the share, three may be retried at a time",
        rule="3.5 min_retry_concurrency 3",
        upstreams={"a": _AFTER_ONE},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, **_after("retry-after")))],
            [cluster(**thresholds(retry_budget={"budget_percent": {"value": 0}}))],
        ),
        calls=[together(get("/fails"), count=6, stagger=0.03)],
        expect=[see("tries", _times_of("/fails"), 6 + 3)],
    ),
    Scenario(
        "retry_previous_hosts_one_more_pick",
        "by default a host that was tried is refused once: an eighth of the calls fails on it twice",
        rule="3.6 host_selection_retry_max_attempts 1",
        upstreams={"a": 503, "b": 200},
        policy=boot(
            [
                route(
                    retry_policy=retry(
                        "5xx",
                        1,
                        base="0.001s",
                        retry_host_predicate=[
                            {
                                "name": "previous",
                                "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
                            }
                        ],
                    )
                )
            ],
            [cluster("a", ["a", "b"], lb_policy="RANDOM")],
        ),
        calls=[times(160, get())],
        expect=[see("failed", lambda run: sum(one.status == 503 for one in run.outcomes), Between(3, 37))],
    ),
]

_LATE = Reply(delay=0.1)

LIMITS = [
    Scenario(
        "limits_runtime_high",
        "each priority has runtime keys of its own",
        rule="4 runtime circuit_breakers.<cluster>.<default|high>",
        upstreams={"a": Reply(delay=0.3)},
        policy=boot(
            [route(priority="HIGH")],
            [cluster()],
            **runtime(
                circuit_breakers__a__default__max_requests=1,
                circuit_breakers__a__high__max_requests=2,
            ),
        ),
        calls=[together(get(), count=4)],
        expect=[tally({200: 2, 503: 2})],
    ),
    Scenario(
        "limits_per_host_high",
        "per_host_thresholds of HIGH hold for what is sent with it",
        rule="4 per_host_thresholds",
        upstreams={"a": _LATE},
        policy=boot(
            [route(priority="HIGH")],
            [cluster("a", circuit_breakers={"per_host_thresholds": [{"priority": "HIGH", "max_connections": 1}]})],
        ),
        calls=[together(get(), count=3)],
        expect=[tally({200: 3}), connections(a=1)],
    ),
    Scenario(
        "pool_first_come_first_served",
        "who has waited longest for a connection has the next one",
        rule="4 pending is FIFO",
        upstreams={"a": Reply(delay=0.3)},
        policy=boot(clusters=[cluster(**thresholds(max_connections=1))]),
        calls=[together(get("/1"), get("/2"), get("/3"), get("/4"), stagger=0.06)],
        expect=[lines("GET /1", "GET /2", "GET /3", "GET /4"), connections(a=1)],
    ),
    Scenario(
        "pool_of_a_priority",
        "each priority has connections of its own",
        rule="1.6 priority: a separate pool",
        policy=boot([route(prefix="/high", priority="HIGH"), route()]),
        calls=[get("/"), get("/high"), get("/"), get("/high")],
        expect=[connections(a=2)],
    ),
    Scenario(
        "pool_http2_from_the_start",
        "over HTTP/2 calls that come while the first connection is being made wait for it",
        rule="4 1 connection multiplexes",
        upstreams={"a": Upstream(_LATE, kind="http2")},
        policy=boot(clusters=[cluster("a", **http2())]),
        calls=[together(get(), count=6)],
        expect=[tally({200: 6}), connections(a=1)],
    ),
    Scenario(
        "pool_fails_with_its_connection",
        "whoever waits for a connection that cannot be made fails with it",
        rule="4 a connection failure fails the pending requests of that host pool",
        upstreams={"a": Upstream(kind="backlog")},
        policy=boot(clusters=[cluster(connect_timeout="0.7s", **thresholds(max_connections=1))]),
        calls=[together(get(), count=3)],
        expect=[
            tally({503: 3}),
            see("last", lambda run: round(max(outcome.elapsed for outcome in run.outcomes), 2), Between(0.6, 1.3)),
        ],
    ),
    Scenario(
        "least_request_full_scan_of_ten",
        "FULL_SCAN: of ten hosts the idle one is always found",
        rule="7 selection_method",
        upstreams=dict.fromkeys("abcdefghij", Reply(delay=1.0)),
        policy=boot(
            clusters=[
                cluster(
                    "a", list("abcdefghij"), **policy_of("least_request.v3.LeastRequest", selection_method="FULL_SCAN")
                )
            ]
        ),
        calls=[together(*[get()] * 10, stagger=0.03)],
        expect=[hits(**dict.fromkeys("abcdefghij", 1))],
    ),
    Scenario(
        "least_request_two_picks",
        "two picks with replacement: of two hosts the busy one has a quarter of the calls",
        rule="7 LEAST_REQUEST choice_count 2, with replacement",
        upstreams={"a": {"/busy": Reply(delay=2.5), "*": 200}, "b": {"/busy": Reply(delay=2.5), "*": 200}},
        policy=boot(clusters=[cluster("a", ["a", "b"], lb_policy="LEAST_REQUEST")]),
        calls=[together(get("/busy"), Several([pause(0.1), times(150, get())]))],
        expect=[
            see(
                "with the busy one",
                lambda run: min(len(one.requests) for one in run.upstreams.values()),
                Between(16, 62),
            )
        ],
    ),
]

_SUPPRESSING = [router(suppress_envoy_headers=True)]
_BY_REGEX = {"pattern": {"regex": "^/([a-z]+).*$"}, "substitution": "\\1.test"}

FORWARDED = [
    Scenario(
        "rewrite_prefix_as_it_matched",
        "a prefix is swapped letter by letter: slashes may double, and case that did not count does not",
        rule="1.6 prefix_rewrite",
        policy=boot(
            [
                route(prefix="/pre", prefix_rewrite="/"),
                route(match={"prefix": "/fold", "case_sensitive": False}, prefix_rewrite="/new"),
            ]
        ),
        calls=[get("/pre/x?y"), get("/FoLd/X?Y")],
        expect=[lines("GET //x?y", "GET /new/X?Y")],
    ),
    Scenario(
        "rewrites_suppressed",
        "suppress_envoy_headers: nobody is told what path and host were before, however they were rewritten",
        rule="1.6 unless Router.suppress_envoy_headers",
        policy=boot([route(path_rewrite="/new", host_rewrite_literal="new.test")], filters=_SUPPRESSING),
        calls=[get("/old?x")],
        expect=[
            lines("GET /new?x"),
            sent({"host": "new.test", "x-envoy-original-path": None, "x-envoy-original-host": None}),
        ],
    ),
    Scenario(
        "host_rewrite_path_regex_without_query",
        "host_rewrite_path_regex looks at the path alone",
        rule="1.6 host_rewrite_path_regex over path w/o query",
        policy=boot([route(host_rewrite_path_regex=_BY_REGEX)]),
        calls=[get("/name?q=/other"), get("/?q=x")],
        expect=[sent({"host": "name.test"}, request=0), sent({"host": "/"}, request=1)],
    ),
    Scenario(
        "host_rewrite_header_added",
        "host_rewrite_header sees what the policy adds",
        rule="1.6 host_rewrite_header sees added headers",
        policy=boot(
            [route(host_rewrite_header="x-host", more={"request_headers_to_add": [header("x-host", "added.test")]})]
        ),
        calls=[get()],
        expect=[sent({"host": "added.test"})],
    ),
    Scenario(
        "mutations_by_the_older_field",
        "append, deprecated, still tells adding from replacing",
        rule="1.6 append_action; append",
        policy=boot(
            [
                route(
                    more={
                        "request_headers_to_add": [
                            header("x-replaced", "new", append=False),
                            header("x-added", "new", append=True),
                        ]
                    }
                )
            ]
        ),
        calls=[get("/", {"x-replaced": "old", "x-added": "old"})],
        expect=[sent({"x-replaced": "new", "x-added": ["old", "new"]})],
    ),
]

SCENARIOS = [*FORWARDED, *REQUESTS, *TIMES, *RETRIES, *AFTER, *LIMITS]
