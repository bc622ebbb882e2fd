"""How long things may last: idle times, maximum durations, what bounds the request and connections (semantics 2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, Document, boot, cluster, http_filter, outlier, protocol_options, retry
from ..bootstrap import route as bootstrap_route
from ..bootstrap import router as bootstrap_router
from ..expect import Between, OneOf, Re
from ..look import (
    body,
    connections,
    details,
    flags,
    gaps,
    got,
    got_each,
    hits,
    received,
    sent,
    sent_each,
    status,
    took,
)  # fmt: skip
from ..model import Scenario, get, post, times
from ..upstreams.replies import Reply, Upstream, hang

EXPECTED = "x-envoy-expected-rq-timeout-ms"
TIMEOUT = "x-envoy-upstream-rq-timeout-ms"
LIMIT = "x-envoy-upstream-stream-duration-ms"
GRPC = {"content-type": "application/grpc", "te": "trailers"}
IDLE = "upstream_per_try_idle_timeout"
LATE = Reply(delay=0.3)
"""Longer than 0.15 s, shorter than 0.6 s."""
DRIP = Reply(body=[b"x"] * 6, pause=0.1)
CUT = "transport-error"
ALL = {"numerator": 100}


def on(*, manager: Document | None = None, to: Document | None = None, **action: Any) -> Document:
    """One route with these fields to one cluster with those."""
    return boot([bootstrap_route(**action)], [cluster(**(to or {}))], manager=manager)


def lasting(**action: Any) -> Document:
    return {"max_stream_duration": action}


def limited(duration: str = "0.15s") -> Document:
    """A cluster whose tries may last so long."""
    return protocol_options(common_http_protocol_options={"max_stream_duration": duration})


def slowly(*, pause: float = 0.4, path: str = "/", headers: Any = ()) -> Any:
    """A request that takes its time to come."""
    return post(path, headers=headers, body=None, chunks=[b"one", b"two"], pause=pause)


PER_TRY_IDLE = [
    Scenario(
        "per_try_idle_timeout_retried",
        "a try that is idle is given up, retried as a reset, and told as a timeout",
        rule="2 per-try idle",
        upstreams={"a": [hang(), 200]},
        policy=boot(
            [bootstrap_route(retry_policy=retry("5xx", 1, per_try_idle_timeout="0.2s"))],
            host={"include_is_timeout_retry_header": True},
        ),
        calls=[get()],
        expect=[
            status(200),
            hits(a=2),
            gaps(Between(0.15, 1.0)),
            sent_each("x-envoy-is-timeout-retry", None, "true"),
            sent_each(EXPECTED, "15000", Re("14[0-8]..")),
        ],
    ),
    Scenario(
        "per_try_idle_timeout_exhausted",
        "idle on every try: 504 with details of its own",
        rule="2 per-try idle",
        upstreams={"a": hang()},
        policy=on(retry_policy=retry("gateway-error", 1, per_try_idle_timeout="0.15s")),
        calls=[get()],
        expect=[
            status(504),
            hits(a=2),
            body("upstream request timeout"),
            flags("URX,UT"),
            details(IDLE),
            took(0.25, 1.5),
        ],
    ),
    Scenario(
        "per_try_idle_timeout_without_conditions",
        "per_try_idle_timeout counts in a policy that retries nothing",
        rule="2 per-try idle",
        upstreams={"a": hang()},
        policy=on(retry_policy={"per_try_idle_timeout": "0.15s"}),
        calls=[get()],
        expect=[status(504), hits(a=1), flags("UT"), details(IDLE), took(0.12, 1.0)],
    ),
    Scenario(
        "per_try_idle_timeout_starts_anew",
        "every piece of the response starts per_try_idle_timeout anew",
        rule="2 per-try idle",
        upstreams={"a": DRIP},
        policy=on(retry_policy=retry("5xx", 1, per_try_idle_timeout="0.35s")),
        calls=[get()],
        expect=[status(200), hits(a=1), body("xxxxxx"), took(0.45, 2.0)],
    ),
    Scenario(
        "per_try_idle_timeout_in_the_body",
        "a response that stops in the middle is cut, and not retried",
        rule="2 per-try idle",
        upstreams={"a": Reply(body=[b"x", b"y"], ending="hang", place="in body")},
        policy=on(retry_policy=retry("5xx", 1, per_try_idle_timeout="0.2s")),
        calls=[get()],
        expect=[status(CUT), hits(a=1), flags("UT"), details(IDLE)],
    ),
    Scenario(
        "per_try_idle_timeout_awaits_the_request",
        "a slow upload is not idleness: the timer starts with the end of the request",
        rule="2 per-try idle",
        policy=on(retry_policy={"per_try_idle_timeout": "0.2s"}),
        calls=[slowly()],
        expect=[status(200), received("onetwo")],
    ),
    Scenario(
        "per_try_idle_timeout_before_per_try_timeout",
        "the shorter of per_try_timeout and per_try_idle_timeout strikes; only the former is told upstream",
        rule="2 per-try idle",
        upstreams={"a": hang()},
        policy=on(retry_policy={"per_try_timeout": "0.5s", "per_try_idle_timeout": "0.15s"}),
        calls=[get()],
        expect=[status(504), details(IDLE), took(0.12, 0.45), sent({EXPECTED: "500"})],
    ),
    Scenario(
        "per_try_idle_timeout_is_an_outliers",
        "outlier detection hears of an idle try as of a 504",
        rule="5 feeding",
        upstreams={"a": hang(), "b": 200},
        policy=on(
            retry_policy={"per_try_idle_timeout": "0.1s"},
            to={"endpoints": ["a", "b"], **outlier(consecutive_5xx=1, enforcing_consecutive_5xx=100)},
        ),
        calls=[times(6, get())],
        expect=[hits(a=1, b=5)],
    ),
]

STREAM_IDLE = [
    Scenario(
        "idle_timeout_of_an_unfinished_request",
        "nothing moves before the request is whole: 408 in place of 504, and the connection is closed",
        rule="2 stream idle",
        policy=on(idle_timeout="0.2s"),
        calls=[slowly()],
        expect=[
            status(408),
            body("stream timeout"),
            flags("SI"),
            details("stream_idle_timeout"),
            got({"connection": "close", "content-type": "text/plain"}),
        ],
    ),
    Scenario(
        "idle_timeout_covers_back_off",
        "the stream is idle while a retry waits",
        rule="2 stream idle",
        upstreams={"a": Reply(503, {"retry-after": "2"})},
        policy=on(
            idle_timeout="0.2s",
            retry_policy=retry("5xx", 1, rate_limited_retry_back_off={"reset_headers": [{"name": "retry-after"}]}),
        ),
        calls=[get()],
        expect=[status(504), hits(a=1), body("stream timeout"), flags("SI"), took(0.17, 1.5)],
    ),
    Scenario(
        "idle_timeout_is_no_outliers",
        "outlier detection does not hear of a stream that was idle, nor of one that lasted too long",
        rule="5 feeding",
        upstreams={"a": hang(), "b": 200},
        policy=boot(
            [
                bootstrap_route("idle", "/idle", idle_timeout="0.4s"),
                bootstrap_route("lasting", "/lasting", **lasting(max_stream_duration="0.4s")),
                bootstrap_route("limited", "/limited"),
            ],
            [
                cluster(name, ["a", "b"], **more, **outlier(consecutive_5xx=1, enforcing_consecutive_5xx=100))
                for name, more in {"idle": {}, "lasting": {}, "limited": limited("0.4s")}.items()
            ],
        ),
        calls=[times(4, get("/idle")), times(4, get("/lasting")), times(4, get("/limited"))],
        expect=[hits(a=6, b=6)],
    ),
]

MAX_STREAM_DURATION = [
    Scenario(
        "max_stream_duration_of_the_route",
        "a call that lasts too long: 504 without a flag",
        rule="2 downstream max stream",
        upstreams={"a": hang()},
        policy=on(**lasting(max_stream_duration="0.2s")),
        calls=[get()],
        expect=[
            status(504),
            hits(a=1),
            body("downstream duration timeout"),
            flags("-"),
            details("max_duration_timeout"),
            took(0.17, 1.0),
        ],
    ),
    Scenario(
        "max_stream_duration_of_the_manager",
        "the connection manager's counts where the route has none; the route's own 0 is none",
        rule="2 downstream max stream",
        upstreams={"a": LATE},
        policy=boot(
            [
                bootstrap_route(prefix="/own", **lasting(max_stream_duration="1s")),
                bootstrap_route(prefix="/none", **lasting(max_stream_duration="0s")),
                bootstrap_route(prefix="/empty", **lasting()),
                bootstrap_route(),
            ],
            manager={"common_http_protocol_options": {"max_stream_duration": "0.15s"}},
        ),
        calls=[get("/own"), get("/none"), get("/empty"), get()],
        expect=[status(200, 200, 504, 504), sent_each(EXPECTED, None, None, None, "15000")],
    ),
    Scenario(
        "max_stream_duration_replaces_the_timeout",
        "a max_stream_duration, with whatever in it, switches the route's timeout off",
        rule="2 facts",
        upstreams={"a": LATE},
        policy=boot(
            [
                bootstrap_route(prefix="/long", timeout="0.1s", **lasting(max_stream_duration="2s")),
                bootstrap_route(prefix="/header", timeout="0.1s", **lasting(grpc_timeout_header_max="0.1s")),
                bootstrap_route(timeout="0.1s", **lasting()),
            ]
        ),
        calls=[get("/long"), get("/header"), get("/")],
        expect=[status(200, 200, 200), sent_each(EXPECTED, None, None, None)],
    ),
    Scenario(
        "max_stream_duration_leaves_the_callers_timeout",
        "an internal caller's own timeout counts beside a max_stream_duration",
        rule="2 facts",
        upstreams={"a": hang()},
        policy=on(manager=INTERNAL, **lasting(max_stream_duration="2s")),
        calls=[get(headers={TIMEOUT: "400"})],
        expect=[status(504), details("response_timeout"), sent({EXPECTED: "400"}), took(0.37, 1.8)],
    ),
    Scenario(
        "max_stream_duration_covers_the_body",
        "a response that drips for too long is cut",
        rule="2 downstream max stream",
        upstreams={"a": Reply(body=[b"x"] * 20, pause=0.1)},
        policy=on(**lasting(max_stream_duration="0.3s")),
        calls=[get()],
        expect=[status(CUT), hits(a=1), flags("-"), details("max_duration_timeout"), body(Re("x{1,5}"))],
    ),
    Scenario(
        "max_stream_duration_covers_tries_and_back_off",
        "all tries lie within it, and it is not retried",
        rule="2 downstream max stream",
        upstreams={"a": hang()},
        policy=on(retry_policy=retry("5xx", 10, per_try_timeout="0.15s"), **lasting(max_stream_duration="0.4s")),
        calls=[get()],
        expect=[status(504), hits(a=Between(2, 3)), details("max_duration_timeout"), took(0.37, 1.5)],
    ),
    Scenario(
        "max_stream_duration_of_an_unfinished_request",
        "it starts with the request's head: 408 while the rest is to come",
        rule="2 downstream max stream",
        policy=on(**lasting(max_stream_duration="0.2s")),
        calls=[slowly()],
        expect=[
            status(408),
            body("downstream duration timeout"),
            details("max_duration_timeout"),
            got({"connection": "close"}),
        ],
    ),
    Scenario(
        "max_stream_duration_covers_filters",
        "time passes in filters too: a delay that is longer ends in 504 before anything is sent",
        rule="2 downstream max stream",
        policy=boot(
            [
                bootstrap_route(prefix="/idle", idle_timeout="0.2s"),
                bootstrap_route(**lasting(max_stream_duration="0.2s")),
            ],
            filters=[
                http_filter(
                    "fault", "fault.v3.HTTPFault", delay={"fixed_delay": "1s", "percentage": {"numerator": 100}}
                )
            ],
        ),
        calls=[get(), get("/idle")],
        expect=[
            status(504, 504),
            hits(a=0),
            details("max_duration_timeout", "stream_idle_timeout"),
            took(0.17, 0.9),
            took(0.17, 0.9, call=0),
        ],
    ),
]

GRPC_TIMEOUT = [
    Scenario(
        "grpc_timeout_header_max",
        "a grpc-timeout counts up to the maximum, less the offset, and the upstream is told what is left",
        rule="2 facts",
        policy=boot(
            [
                bootstrap_route(
                    prefix="/capped", **lasting(grpc_timeout_header_max="3s", grpc_timeout_header_offset="1s")
                ),
                bootstrap_route(
                    prefix="/any",
                    **lasting(
                        grpc_timeout_header_max="0s", grpc_timeout_header_offset="0.1s", max_stream_duration="5s"
                    ),
                ),
            ],
        ),
        calls=[
            post("/capped", headers={**GRPC, "grpc-timeout": "2S"}),
            post("/capped", headers={**GRPC, "grpc-timeout": "1H"}),
            post("/any", headers={**GRPC, "grpc-timeout": "1H"}),
            post("/any", headers={**GRPC, "grpc-timeout": "99999999H"}),
            post("/any", headers={**GRPC, "grpc-timeout": "2000001u"}),
            post("/any", headers={**GRPC, "grpc-timeout": "soon"}),
            post("/any", headers=GRPC),
            get("/any", {"grpc-timeout": "9S"}),
        ],
        expect=[
            sent_each(
                "grpc-timeout", "1000m", "2000m", "3599900m", Re("9999999[89]H"), "1901m", "5000m", "5000m", "9S"
            ),
            sent_each(EXPECTED, *[None] * 8),
        ],
    ),
    Scenario(
        "grpc_timeout_header_strikes",
        "a grpc-timeout ends the call: DEADLINE_EXCEEDED to a gRPC caller, 504 to any other",
        rule="2 facts",
        upstreams={"a": hang()},
        policy=on(**lasting(grpc_timeout_header_max="5s")),
        calls=[post(headers={**GRPC, "grpc-timeout": "200m"}), get(headers={"grpc-timeout": "200m"})],
        expect=[
            status(200, 504),
            got_each("grpc-status", "4", None),
            took(0.17, 1.0, call=0),
            took(0.17, 1.0),
            got({"grpc-message": "downstream duration timeout", "content-type": "application/grpc"}, call=0),
            details("max_duration_timeout", "max_duration_timeout"),
        ],
    ),
    Scenario(
        "grpc_timeout_without_a_limit",
        "a route that switches the connection manager's limit off takes grpc-timeout away from gRPC requests",
        rule="2 facts",
        policy=boot(
            [bootstrap_route(prefix="/new", **lasting(max_stream_duration="0s")), bootstrap_route()],
            manager={"common_http_protocol_options": {"max_stream_duration": "5s"}},
        ),
        calls=[
            post("/new", headers={**GRPC, "grpc-timeout": "1S"}),
            get("/new", {"grpc-timeout": "1S"}),
            post("/", headers={**GRPC, "grpc-timeout": "1S"}),
        ],
        expect=[sent_each("grpc-timeout", None, "1S", "1S")],
    ),
    Scenario(
        "grpc_timeout_without_any_limit",
        "where there was no limit to switch off, grpc-timeout goes on",
        rule="2 facts",
        policy=on(**lasting(max_stream_duration="0s")),
        calls=[post(headers={**GRPC, "grpc-timeout": "1S"})],
        expect=[sent({"grpc-timeout": "1S"})],
    ),
    Scenario(
        "max_grpc_timeout",
        "the deprecated max_grpc_timeout: grpc-timeout, less the offset, takes the place of the route's timeout",
        rule="2 facts",
        policy=boot(
            [
                bootstrap_route(prefix="/capped", timeout="1s", max_grpc_timeout="3s", grpc_timeout_offset="0.1s"),
                bootstrap_route(prefix="/any", timeout="1s", max_grpc_timeout="0s"),
            ]
        ),
        calls=[
            post("/capped", headers={**GRPC, "grpc-timeout": "2S"}),
            post("/capped", headers={**GRPC, "grpc-timeout": "10S"}),
            post("/capped", headers={**GRPC, "grpc-timeout": "50m"}),
            post("/capped", headers=GRPC),
            post("/any", headers={**GRPC, "grpc-timeout": "10S"}),
            post("/any", headers=GRPC),
            get("/any", {"grpc-timeout": "10S"}),
        ],
        expect=[
            sent_each("grpc-timeout", "1900m", "3000m", "50m", "3000m", "10000m", None, "10S"),
            sent_each(EXPECTED, "1900", "3000", "50", "3000", "10000", None, "1000"),
        ],
    ),
    Scenario(
        "max_grpc_timeout_strikes",
        "it is a route timeout: UNAVAILABLE, with what the upstream is told getting shorter by the try",
        rule="2 facts",
        upstreams={"a": hang()},
        policy=on(timeout="10s", max_grpc_timeout="5s", retry_policy=retry("5xx", 1, per_try_timeout="0.5s")),
        calls=[post(headers={**GRPC, "grpc-timeout": "900m"})],
        expect=[
            status(200),
            got({"grpc-status": "14", "grpc-message": "upstream request timeout"}),
            details("response_timeout"),
            flags("UT"),
            sent_each("grpc-timeout", "500m", Re("(400|[123]?\\d{1,2})m")),
        ],
    ),
]

UPSTREAM_DURATION = [
    Scenario(
        "upstream_max_stream_duration",
        "a try that lasts longer than its cluster allows: 504 UMSDR",
        rule="2 upstream max stream",
        upstreams={"a": hang()},
        policy=on(to=limited()),
        calls=[get()],
        expect=[
            status(504),
            hits(a=1),
            body("upstream max stream duration reached"),
            flags("UMSDR"),
            details("upstream_max_stream_duration_reached"),
            took(0.12, 1.0),
        ],
    ),
    Scenario(
        "upstream_max_stream_duration_retried",
        "it is retried as a reset, by 5xx, gateway-error and reset alone, and is no timeout in the next try's headers",
        rule="3.2 upstream max stream",
        upstreams={"a": hang()},
        policy=boot(
            [
                bootstrap_route(prefix=f"/{condition}", retry_policy=retry(condition, 1))
                for condition in ("5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "retriable-4xx")
            ],
            [cluster(**limited())],
            host={"include_is_timeout_retry_header": True},
        ),
        calls=[get("/5xx"), get("/gateway-error"), get("/reset"), get("/connect-failure"), get("/refused-stream")],
        expect=[
            hits(a=8),
            flags("UMSDR,URX", "UMSDR,URX", "UMSDR,URX", "UMSDR", "UMSDR"),
            sent({"x-envoy-is-timeout-retry": "false"}, request=1),
        ],
    ),
    Scenario(
        "upstream_max_stream_duration_recovers",
        "each try has the whole of it",
        rule="2 upstream max stream",
        upstreams={"a": [hang(), Reply(delay=0.1)]},
        policy=on(to=limited("0.2s"), retry_policy=retry("5xx", 1)),
        calls=[get()],
        expect=[status(200), hits(a=2), gaps(Between(0.15, 1.0))],
    ),
    Scenario(
        "upstream_max_stream_duration_covers_the_body",
        "a response that drips for too long is cut",
        rule="2 upstream max stream",
        upstreams={"a": Reply(body=[b"x"] * 20, pause=0.1)},
        policy=on(to=limited("0.25s"), retry_policy=retry("5xx", 1)),
        calls=[get()],
        expect=[
            status(CUT),
            hits(a=1),
            flags("UMSDR"),
            details("upstream_max_stream_duration_reached"),
            body(Re("x{1,5}")),
        ],
    ),
    Scenario(
        "upstream_max_stream_duration_of_an_unfinished_request",
        "it starts with the connection in hand: 408 while the request is to come",
        rule="2 upstream max stream",
        policy=on(to=limited("0.2s")),
        calls=[slowly()],
        expect=[
            status(408),
            body("upstream max stream duration reached"),
            flags("UMSDR"),
            got({"connection": "close"}),
        ],
    ),
    Scenario(
        "upstream_max_stream_duration_header",
        "an internal caller's own limit counts instead, 0 is none, nonsense is ignored; it goes no further",
        rule="2 upstream max stream",
        upstreams={"a": LATE},
        policy=boot(
            [
                bootstrap_route(prefix="/"),
            ],
            [cluster(**limited())],
            manager=INTERNAL,
        ),
        calls=[
            get(headers={LIMIT: "2000"}),
            get(headers={LIMIT: "0"}),
            get(headers={LIMIT: "long"}),
            get(headers={LIMIT: "50"}),
            get(headers={LIMIT: "2000", "x-forwarded-for": "9.9.9.9"}),
        ],
        expect=[status(200, 200, 504, 504, 504), took(0.03, 0.28, call=3), sent_each(LIMIT, *[None] * 5)],
    ),
    Scenario(
        "upstream_max_stream_duration_on_any_cluster",
        "the header works where the cluster has no limit",
        rule="2 upstream max stream",
        upstreams={"a": hang()},
        policy=on(manager=INTERNAL),
        calls=[get(headers={LIMIT: "150"})],
        expect=[status(504), flags("UMSDR"), took(0.12, 1.0)],
    ),
]

REQUEST = [
    Scenario(
        "request_timeout_of_a_slow_upload",
        "a request that takes too long to come: 408 without a flag; one that comes at once may wait for its answer",
        rule="2 request_timeout",
        upstreams={"a": LATE},
        policy=on(manager={"request_timeout": "0.2s"}),
        calls=[slowly(), get(), slowly(pause=0.02)],
        expect=[
            status(408, 200, 200),
            body("request timeout", call=0),
            got({"connection": "close"}, call=0),
            flags("-", "-", "-"),
            details("request_overall_timeout", "via_upstream", "via_upstream"),
        ],
    ),
    Scenario(
        "request_timeout_of_grpc",
        "to a gRPC caller it is UNKNOWN",
        rule="12.2",
        policy=on(manager={"request_timeout": "0.2s"}),
        calls=[slowly(headers=GRPC)],
        expect=[status(200), got({"grpc-status": "2", "grpc-message": "request timeout"})],
    ),
    Scenario(
        "answers_before_the_whole_request_close",
        "whoever is answered before his request is whole finds the connection closed; so does who sends nonsense",
        rule="12.1 connection: close",
        upstreams={"a": Upstream(Reply(413, body="no"), early=True)},
        policy=boot(
            [
                bootstrap_route(prefix="/a"),
                {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
            ],
        ),
        calls=[
            post("/a", body=None, chunks=[b"one", b"two"], pause=0.2),
            post("/nowhere", b"body"),
            get("/nowhere"),
            post("/direct", b"body"),
            post("/direct"),
            get("/direct"),
        ],
        expect=[
            status(413, 404, 404, 200, 200, 200),
            got_each("connection", "close", "close", None, "close", None, None),
        ],
    ),
    Scenario(
        "retriable_reply_before_the_whole_request",
        "a retriable reply during the upload is retried at once: with what has come, then with the rest",
        rule="3.7",
        upstreams={"a": Upstream([503, Reply(200, delay=0.8)], early=True)},
        policy=on(retry_policy=retry("5xx", 1)),
        calls=[post(body=None, chunks=[b"one", b"two", b"three"], pause=0.2)],
        expect=[status(200), hits(a=2), gaps(Between(0, 0.38)), received(OneOf("", "one"), "onetwothree")],
    ),
    Scenario(
        "strict_check_headers",
        "an internal caller's control headers that say nonsense: 400 IH, for those that are listed",
        rule="1.7 strict_check_headers",
        policy=boot(
            filters=[
                bootstrap_router(
                    strict_check_headers=[
                        TIMEOUT,
                        "x-envoy-upstream-rq-per-try-timeout-ms",
                        "x-envoy-max-retries",
                        "x-envoy-retry-on",
                        "x-envoy-retry-grpc-on",
                    ]
                )
            ],
            manager=INTERNAL,
        ),
        calls=[
            get(headers={TIMEOUT: "soon"}),
            get(headers={TIMEOUT: "+1000"}),
            get(headers={TIMEOUT: "-1"}),
            get(headers={"x-envoy-upstream-rq-per-try-timeout-ms": "1.5"}),
            get(headers={"x-envoy-max-retries": "many"}),
            get(headers={"x-envoy-max-retries": "4294967296"}),
            get(headers={"x-envoy-retry-on": "5xx, reset,"}),
            get(headers={"x-envoy-retry-on": "5xx,cancelled"}),
            get(headers={"x-envoy-retry-grpc-on": "cancelled"}),
            get(headers={"x-envoy-retry-grpc-on": "5xx"}),
            get(headers=[("x-envoy-max-retries", "1"), ("x-envoy-max-retries", "2")]),
            get(headers={"x-envoy-retriable-status-codes": "all"}),
            get(headers={TIMEOUT: "soon", "x-forwarded-for": "9.9.9.9"}),
        ],
        expect=[
            status(400, 200, 400, 400, 400, 200, 200, 400, 200, 400, 400, 200, 200),
            hits(a=6),
            body(f"invalid header '{TIMEOUT}' with value 'soon'", call=0),
            body("invalid header 'x-envoy-max-retries' with value '1,2'", call=10),
            got({"connection": "close"}, call=0),
            flags(*(("IH" if bad else "-") for bad in (1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0))),
            details(
                *(
                    f"request_headers_failed_strict_check{{{name}}}" if name else "via_upstream"
                    for name in (
                        TIMEOUT,
                        "",
                        TIMEOUT,
                        "x-envoy-upstream-rq-per-try-timeout-ms",
                        "x-envoy-max-retries",
                        "",
                        "",
                        "x-envoy-retry-on",
                        "",
                        "x-envoy-retry-grpc-on",
                        "x-envoy-max-retries",
                        "",
                        "",
                    )
                )
            ),
        ],
    ),
    Scenario(
        "respect_expected_rq_timeout",
        "an internal caller's x-envoy-expected-rq-timeout-ms is the route's timeout, before the header that else is",
        rule="2 respect_expected_rq_timeout",
        upstreams={"a": LATE},
        policy=boot(
            [bootstrap_route(timeout="0.15s")],
            filters=[bootstrap_router(respect_expected_rq_timeout=True)],
            manager=INTERNAL,
        ),
        calls=[
            get(headers={EXPECTED: "2000"}),
            get(headers={EXPECTED: "100", TIMEOUT: "2000"}),
            get(headers={TIMEOUT: "2000"}),
            get(headers={EXPECTED: "long", TIMEOUT: "2000"}),
            get(headers={EXPECTED: "0"}),
            get(headers={EXPECTED: "2000", "x-forwarded-for": "9.9.9.9"}),
        ],
        expect=[
            status(200, 504, 200, 504, 200, 504),
            sent_each(EXPECTED, "2000", "100", "2000", "150", "0", "150"),
            sent_each(TIMEOUT, None, "2000", None, "2000", None, None),
        ],
    ),
    Scenario(
        "expected_rq_timeout_from_the_caller",
        "an internal caller's own x-envoy-expected-rq-timeout-ms is replaced, and goes on where nothing replaces it",
        rule="2 x-envoy-expected-rq-timeout-ms",
        policy=boot([bootstrap_route(prefix="/none", timeout="0s"), bootstrap_route(timeout="3s")], manager=INTERNAL),
        calls=[get("/none", {EXPECTED: "77"}), get("/", {EXPECTED: "77"})],
        expect=[sent_each(EXPECTED, "77", "3000")],
    ),
    Scenario(
        "timeout_alternate_response",
        "an internal caller may ask for 204 in place of a timeout's 504, and for no other",
        rule="2 facts",
        upstreams={"a": hang()},
        policy=boot(
            [
                bootstrap_route(prefix="/try", retry_policy={"per_try_timeout": "0.1s"}),
                bootstrap_route(prefix="/limited", idle_timeout="0.1s"),
                bootstrap_route(timeout="0.1s"),
            ],
            manager=INTERNAL,
        ),
        calls=[get(path, {"x-envoy-upstream-rq-timeout-alt-response": "yes"}) for path in ("/", "/try", "/limited")],
        expect=[status(204, 204, 504), body("", call=0), flags("UT", "UT", "SI")],
    ),
]

CONNECTIONS = [
    Scenario(
        "max_connection_duration",
        "a connection that is too old is given no further request; what runs on it is finished",
        rule="2 connection age",
        upstreams={"a": {"/long": Reply(body=[b"x"] * 6, pause=0.1), "*": 200}},
        policy=on(to=protocol_options(common_http_protocol_options={"max_connection_duration": "0.4s"})),
        calls=[get(), get("/long"), get(), get()],
        expect=[status(200, 200, 200, 200), body("xxxxxx", call=1), connections(a=2)],
    ),
    Scenario(
        "connection_idle_timeout",
        "a connection that nobody used for so long is not used again",
        rule="2 connection idle",
        policy=on(to=protocol_options(common_http_protocol_options={"idle_timeout": "0.2s"})),
        calls=[times(2, get()), times(2, get(), pause=0.4)],
        expect=[status(200, 200, 200, 200), connections(a=2)],
    ),
]

SCENARIOS = [
    *PER_TRY_IDLE, *STREAM_IDLE, *MAX_STREAM_DURATION, *GRPC_TIMEOUT, *UPSTREAM_DURATION, *REQUEST, *CONNECTIONS,
]  # fmt: skip
