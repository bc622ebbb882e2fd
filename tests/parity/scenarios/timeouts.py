"""Timeouts (semantics 2): when each starts, what it covers, and what the application sees."""

from __future__ import annotations

from ..bootstrap import INTERNAL, boot, cluster, http2, protocol_options, retry, route
from ..expect import Between, Re
from ..look import (
    bodies,
    body,
    connections,
    details,
    flags,
    got,
    hits,
    lines,
    see,
    sent,
    sent_each,
    status,
    took,
)
from ..model import Scenario, get, pause, post, times
from ..upstreams.replies import Reply, Upstream, hang

SLOW = 4.0
"""Upper bound where nothing but a busy machine can be slow."""
GIVEN_UP = "upstream request timeout"


def _ms(name: str, value: object) -> dict[str, str]:
    return {f"x-envoy-upstream-rq-{name}-ms": str(value)}


ROUTE = [
    Scenario(
        "timeout_route",
        "the route timeout: 504, its text as text/plain, UT, response_timeout",
        rule="2 route",
        upstreams={"a": hang()},
        policy=boot([route(timeout="0.3s")]),
        calls=[get()],
        expect=[
            status(504),
            body(GIVEN_UP),
            took(0.25, SLOW),
            flags("UT"),
            details("response_timeout"),
            got({"content-type": "text/plain", "content-length": "24", "x-envoy-upstream-service-time": None}),
        ],
    ),
    Scenario(
        "timeout_route_default",
        "unless set it is 15 s: it is said upstream, and has not struck after 1 s",
        rule="2 route default 15 s",
        upstreams={"a": Reply(delay=1.0)},
        policy=boot(),
        calls=[get()],
        expect=[status(200), sent({"x-envoy-expected-rq-timeout-ms": "15000"})],
    ),
    Scenario(
        "timeout_route_zero",
        "0 switches it off, and nothing is said upstream",
        rule="2 route 0 = off",
        upstreams={"a": Reply(delay=0.6)},
        policy=boot([route(timeout="0s")]),
        calls=[get()],
        expect=[status(200), sent({"x-envoy-expected-rq-timeout-ms": None})],
    ),
    Scenario(
        "timeout_route_below_a_millisecond",
        "0.0001s becomes 0 ms, which is no timeout at all",
        rule="0 millisecond truncation",
        upstreams={"a": Reply(delay=0.3)},
        policy=boot([route(timeout="0.0001s")]),
        calls=[get()],
        expect=[status(200), sent({"x-envoy-expected-rq-timeout-ms": None})],
    ),
    Scenario(
        "timeout_route_is_not_retried",
        "the route timeout is never retried, and covers all tries and their back-offs",
        rule="2 route: never retried, all backoffs",
        upstreams={"a": [503, hang()]},
        policy=boot([route(timeout="0.5s", retry_policy=retry("5xx,gateway-error,reset", 5))]),
        calls=[get()],
        expect=[status(504), hits(a=2), took(0.45, SLOW), flags("UT"), details("response_timeout")],
    ),
    Scenario(
        "timeout_route_in_backoff",
        "during a back-off it strikes as well: 504, not the answer in hand",
        rule="2 global timeout during backoff",
        upstreams={"a": Reply(503, {"retry-after": "20"})},
        policy=boot(
            [
                route(
                    timeout="0.4s",
                    retry_policy=retry(
                        "5xx", 3, rate_limited_retry_back_off={"reset_headers": [{"name": "retry-after"}]}
                    ),
                )
            ]
        ),
        calls=[get()],
        expect=[status(504), body(GIVEN_UP), hits(a=1), took(0.35, SLOW)],
    ),
    Scenario(
        "timeout_route_covers_the_body",
        "the route timeout covers the response's body: it breaks off, the status having been seen",
        rule="2 includes the body",
        upstreams={"a": Reply(body=[b"x"] * 40, pause=0.1)},
        policy=boot([route(timeout="0.5s")]),
        calls=[get()],
        expect=[
            status("transport-error"),
            see("head", lambda run: run.outcomes[0].status, 200),
            see("came", lambda run: len(run.outcomes[0].body), Between(1, 8)),
            flags("UT"),
            details("response_timeout"),
        ],
    ),
    Scenario(
        "timeout_route_begins_after_the_upload",
        "neither the route nor the per-try timeout runs while the request is still on its way",
        rule="2 upload time is free",
        upstreams={"a": 200},
        policy=boot([route(timeout="0.4s", retry_policy=retry("5xx", 1, per_try_timeout="0.3s"))]),
        calls=[post("/", None, chunks=[b"1", b"2", b"3", b"4"], pause=0.3)],
        expect=[status(200), hits(a=1), took(0.85, SLOW)],
    ),
    Scenario(
        "timeout_route_covers_connecting",
        "the route timeout runs while a connection is made",
        rule="2 covers pool wait, connect",
        upstreams={"a": Upstream(kind="backlog")},
        policy=boot([route(timeout="0.3s")], [cluster("a", connect_timeout="5s")]),
        calls=[get()],
        expect=[status(504), body(GIVEN_UP), took(0.25, SLOW), flags("UT")],
    ),
    Scenario(
        "timeout_of_an_internal_request",
        "x-envoy-upstream-rq-timeout-ms replaces the route's, 0 is none, what is no number is passed over",
        rule="2 header value 0 = infinite; non-integer is ignored",
        upstreams={"a": {"/slow": Reply(delay=0.6), "/hang": hang()}},
        policy=boot([route(timeout="0.3s")], manager=INTERNAL),
        calls=[
            get("/slow", _ms("timeout", 5000)),
            get("/slow", _ms("timeout", 0)),
            get("/hang", _ms("timeout", 100)),
            get("/hang", _ms("timeout", "1.5")),
            get("/hang", _ms("timeout", "soon")),
        ],
        expect=[
            status(200, 200, 504, 504, 504),
            sent_each("x-envoy-expected-rq-timeout-ms", "5000", None, "100", "300", "300"),
        ],
    ),
    Scenario(
        "timeout_of_an_outsider",
        "a request that is not internal cannot change it",
        rule="1.2",
        upstreams={"a": Reply(delay=0.4)},
        policy=boot(),
        calls=[get("/", {**_ms("timeout", 100), **_ms("per-try-timeout", 100)})],
        expect=[status(200), sent({"x-envoy-expected-rq-timeout-ms": "15000"})],
    ),
    Scenario(
        "timeout_alternative_response",
        "x-envoy-upstream-rq-timeout-alt-response of an internal request: 204 instead of 504",
        rule="2 alternate response",
        upstreams={"a": hang()},
        policy=boot([route(timeout="0.2s")], manager=INTERNAL),
        calls=[get("/", {"x-envoy-upstream-rq-timeout-alt-response": "1"})],
        expect=[status(204), body(""), flags("UT")],
    ),
    Scenario(
        "timeout_then_next_call",
        "a call that was given up leaves nothing behind: the next one is answered on a connection of its own",
        rule="2",
        upstreams={"a": [Reply(200, body="late", delay=0.5), Reply(200, body="mine")]},
        policy=boot([route(timeout="0.2s")]),
        calls=[get(), get(), pause(0.5), get()],
        expect=[status(504, 200, 200), bodies(GIVEN_UP, "mine", "mine"), connections(a=2)],
    ),
]

TRIES = [
    Scenario(
        "timeout_per_try",
        "per_try_timeout ends one try, which is retried; the last one is 504 upstream_per_try_timeout",
        rule="2 per try",
        upstreams={"a": {"/once": [hang(), 200], "/ever": hang()}},
        policy=boot([route(retry_policy=retry("reset", 1, per_try_timeout="0.2s"))]),
        calls=[get("/once"), get("/ever")],
        expect=[
            status(200, 504),
            bodies("a", GIVEN_UP),
            lines("GET /once", "GET /once", "GET /ever", "GET /ever"),
            flags("-", "URX,UT"),
            details("via_upstream", "upstream_per_try_timeout"),
        ],
    ),
    Scenario(
        "timeout_per_try_without_condition",
        "per_try_timeout holds in a retry policy that retries nothing",
        rule="2 inside an otherwise empty retry_policy",
        upstreams={"a": hang()},
        policy=boot([route(retry_policy={"per_try_timeout": "0.2s"})]),
        calls=[get()],
        expect=[status(504), hits(a=1), took(0.15, SLOW), details("upstream_per_try_timeout")],
    ),
    Scenario(
        "timeout_per_try_not_below_route",
        "a per_try_timeout that is not shorter than the route's is passed over",
        rule="2 per_try_timeout ≥ timeout is ignored",
        upstreams={"a": hang()},
        policy=boot([route(timeout="0.3s", retry_policy=retry("5xx", 3, per_try_timeout="0.3s"))]),
        calls=[get()],
        expect=[status(504), hits(a=1), details("response_timeout"), sent({"x-envoy-expected-rq-timeout-ms": "300"})],
    ),
    Scenario(
        "timeout_per_try_without_route_timeout",
        "with timeout 0 the per-try timeout still works",
        rule="2 with timeout: 0s per-try still works",
        upstreams={"a": [hang(), 200]},
        policy=boot([route(timeout="0s", retry_policy=retry("5xx", 1, per_try_timeout="0.2s"))]),
        calls=[get()],
        expect=[status(200), hits(a=2), sent({"x-envoy-expected-rq-timeout-ms": "200"}, request=0)],
    ),
    Scenario(
        "timeout_per_try_ends_with_the_head",
        "per_try_timeout is about the head: a slow body is none of its business",
        rule="2 per try: until response headers",
        upstreams={"a": Reply(body=["one", "two"], pause=0.6)},
        policy=boot([route(retry_policy=retry("5xx", 1, per_try_timeout="0.3s"))]),
        calls=[get()],
        expect=[status(200), body("onetwo"), hits(a=1)],
    ),
    Scenario(
        "timeout_per_try_does_not_bound_connecting",
        "per_try_timeout begins with the connection: connecting fails at connect_timeout, as UF",
        rule="2 per_try_timeout does not bound connecting",
        upstreams={"a": Upstream(kind="backlog")},
        policy=boot([route(retry_policy={"per_try_timeout": "0.1s"})], [cluster("a", connect_timeout="0.5s")]),
        calls=[get()],
        expect=[status(503), took(0.45, SLOW), flags("UF"), body(Re(".*connection timeout"))],
    ),
    Scenario(
        "timeout_per_try_of_an_internal_request",
        "x-envoy-upstream-rq-per-try-timeout-ms replaces the policy's",
        rule="2 per try header",
        upstreams={"a": {"/long": [Reply(delay=0.5)], "/short": [hang(), 200]}},
        policy=boot([route(retry_policy=retry("5xx", 1, per_try_timeout="0.3s"))], manager=INTERNAL),
        calls=[get("/long", _ms("per-try-timeout", 5000)), get("/short", _ms("per-try-timeout", 100))],
        expect=[
            status(200, 200),
            hits(a=3),
            see("expected", lambda run: run.at("a").requests[1].header("x-envoy-expected-rq-timeout-ms"), "100"),
        ],
    ),
]

IDLE = [
    Scenario(
        "timeout_idle",
        "idle_timeout of the route: nothing moves, 504 stream timeout, SI, and no retry",
        rule="2 stream idle",
        upstreams={"a": hang()},
        policy=boot([route(idle_timeout="0.3s", retry_policy=retry("5xx", 3))]),
        calls=[get()],
        expect=[
            status(504),
            body("stream timeout"),
            hits(a=1),
            took(0.25, SLOW),
            flags("SI"),
            details("stream_idle_timeout"),
        ],
    ),
    Scenario(
        "timeout_idle_moves_with_the_body",
        "each piece of the body starts it anew",
        rule="2 stream idle: last data event",
        upstreams={"a": Reply(body=[b"x"] * 6, pause=0.25)},
        policy=boot([route(idle_timeout="0.9s")]),
        calls=[get()],
        expect=[status(200), body("xxxxxx"), took(1.2, 10)],
    ),
    Scenario(
        "timeout_idle_of_the_manager",
        "stream_idle_timeout of the connection manager holds where the route has none of its own",
        rule="2 RouteAction.idle_timeout over HCM.stream_idle_timeout",
        upstreams={"a": Reply(delay=0.8)},
        policy=boot(
            [route(prefix="/own", idle_timeout="5s"), route(prefix="/off", idle_timeout="0s"), route()],
            manager={"stream_idle_timeout": "0.3s"},
        ),
        calls=[get("/own"), get("/off"), get("/")],
        expect=[status(200, 200, 504), flags("-", "-", "SI")],
    ),
    Scenario(
        "timeout_idle_in_the_body",
        "after the head it breaks the body off",
        rule="2 after response headers the stream is reset",
        upstreams={"a": hang("in body", body=["one", "two"])},
        policy=boot([route(idle_timeout="0.3s")]),
        calls=[get()],
        expect=[status("transport-error"), body("one"), flags("SI"), details("stream_idle_timeout")],
    ),
    Scenario(
        "timeout_application",
        "a timeout of the application itself ends its wait; the upstream is let go of",
        rule="14 httpx's own timeouts",
        upstreams={"a": hang()},
        policy=boot(),
        calls=[get(timeout=0.3), pause(0.2)],
        expect=[
            status("timeout"),
            took(0.25, SLOW),
            see("let go", lambda run: run.at("a").requests[0].gone is not None, True),
        ],
    ),
    Scenario(
        "timeout_connection_idle",
        "an upstream connection that is idle for HttpProtocolOptions.idle_timeout is closed quietly",
        rule="2 connection idle",
        policy=boot(clusters=[cluster("a", **protocol_options(common_http_protocol_options={"idle_timeout": "0.2s"}))]),
        calls=[get(), get(), pause(0.8), get()],
        expect=[status(200, 200, 200), connections(a=2)],
    ),
    Scenario(
        "connection_requests_bounded",
        "max_requests_per_connection 2: six calls take three connections",
        rule="4 max_requests_per_connection",
        policy=boot(
            clusters=[cluster("a", **protocol_options(common_http_protocol_options={"max_requests_per_connection": 2}))]
        ),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), connections(a=3)],
    ),
]

CONNECTING = [
    Scenario(
        "timeout_connecting",
        "connect_timeout: 503 connection timeout, UF",
        rule="2 connect",
        upstreams={"a": Upstream(kind="backlog")},
        policy=boot(clusters=[cluster("a", connect_timeout="0.3s")]),
        calls=[get()],
        expect=[
            status(503),
            body("upstream connect error or disconnect/reset before headers. reset reason: connection timeout"),
            took(0.25, SLOW),
            flags("UF"),
            details(Re(r"upstream_reset_before_response_started\{connection_timeout.*\}")),
        ],
    ),
    Scenario(
        "timeout_connecting_next_host",
        "a connection that times out is retried on the next host",
        rule="2 connect: as connect-failure",
        upstreams={"a": 200, "full": Upstream(kind="backlog")},
        policy=boot(
            [route(retry_policy=retry("connect-failure", 1))],
            [cluster("a", ["a", "full"], connect_timeout="0.2s")],
        ),
        calls=[times(2, get())],
        expect=[status(200, 200), hits(a=2)],
    ),
    Scenario(
        "timeout_http2",
        "over HTTP/2 a timeout ends the stream, not the connection",
        rule="2 route",
        upstreams={"a": Upstream({"/slow": hang(), "*": 200}, kind="http2")},
        policy=boot([route(timeout="0.3s")], [cluster("a", **http2())]),
        calls=[get("/1"), get("/slow"), get("/2")],
        expect=[status(200, 504, 200), connections(a=1), flags("-", "UT", "-")],
    ),
]

SCENARIOS = [*ROUTE, *TRIES, *IDLE, *CONNECTING]
