"""Retries (semantics 3): what is retried, how often, after how long, and what the upstream is told."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..bootstrap import (
    INTERNAL,
    boot,
    cluster,
    http2,
    locality,
    panic,
    protocol_options,
    retry,
    route,
    router,
    thresholds,
)
from ..expect import Between, OneOf, Re, Where
from ..look import (
    bodies,
    body,
    details,
    flags,
    gaps,
    got,
    got_each,
    hits,
    lines,
    received,
    see,
    sent_each,
    status,
    tally,
    took,
)
from ..model import Call, Scenario, get, post, times, together
from ..upstreams.records import Request
from ..upstreams.replies import REFUSED_STREAM, Reply, Upstream, close, goaway, hang, raw, reset

# --- the truth table (3.2): one scenario a condition, one call a trigger ---------------------------------------------

_RATE_LIMITED = Reply(503, {"x-envoy-ratelimited": "true"})
_MARKED = Reply(200, {"x-retry-me": "1"})

TRIGGERS = {
    **{str(code): (code, code) for code in (500, 501, 502, 503, 504, 599, 404, 409, 418, 429)},
    "marked": (_MARKED, 200),
    "rate-limited": (_RATE_LIMITED, 503),
    "close": (close(), 503),
    "reset": (reset(), 503),
    "garbage": (raw(b"what is HTTP?\r\n\r\n"), 502),
    "half-head": (close("in head"), 502),
    "silence": (hang(), 504),
    "half-body": (close("in body", body=["one", "two"]), "transport-error"),
}
"""What the first answer is, and what the application sees where it is not retried. A retry is answered with 201."""

_GATEWAY = {"502", "503", "504"}
_BROKEN = {"close", "reset", "garbage", "half-head", "silence"}
RETRIED = {
    "5xx": {"500", "501", "599", *_GATEWAY, *_BROKEN},
    "gateway-error": {*_GATEWAY, *_BROKEN},
    "reset": _BROKEN,
    "reset-before-request": set(),
    "connect-failure": set(),
    "refused-stream": set(),
    "envoy-ratelimited": {"rate-limited"},
    "retriable-4xx": {"409"},
    "retriable-status-codes": {"418"},
    "retriable-headers": {"marked"},
    "5XX,gateway_error,no-such-condition": set(),
    " retriable-4xx , 5xx ": {"409", "500", "501", "599", *_GATEWAY, *_BROKEN},
}

CONNECTING = {"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure"}
"""Conditions that a refused or timed-out connection meets."""


def _name(condition: str) -> str:
    return "_".join("".join(letter if letter.isalnum() else " " for letter in condition).split()).lower()


def _one_for_all(condition: str, **fields: object) -> dict[str, object]:
    """A policy with one condition, and with all that other conditions would need."""
    return retry(
        condition,
        1,
        retriable_status_codes=[418],
        retriable_headers=[{"name": "x-retry-me", "present_match": True}],
        **fields,
    )


def _answers(condition: str, retried: Iterable[str]) -> Scenario:
    return Scenario(
        f"retry_on_{_name(condition)}",
        f"retry_on: {condition!r} retries {', '.join(sorted(retried)) or 'no answer and no broken connection'}",
        rule=f"3.2 {condition.strip()}",
        upstreams={"a": {f"/{trigger}": [first, 201] for trigger, (first, _) in TRIGGERS.items()}},
        policy=boot(
            [
                route(prefix="/silence", retry_policy=_one_for_all(condition, per_try_timeout="0.3s")),
                route(retry_policy=_one_for_all(condition)),
            ]
        ),
        calls=[get(f"/{trigger}") for trigger in TRIGGERS],
        expect=[
            status(*(201 if trigger in retried else seen for trigger, (_, seen) in TRIGGERS.items())),
            hits(a=len(TRIGGERS) + len(set(retried))),
        ],
    )


def _connections(condition: str) -> Scenario:
    retried = condition in CONNECTING
    return Scenario(
        f"retry_connecting_on_{_name(condition)}",
        f"retry_on: {condition!r} {'retries' if retried else 'does not retry'} refused and timed-out connections",
        rule=f"3.2 connect refused, connect timeout: {condition.strip()}",
        upstreams={"a": 200, "refused": Upstream(kind="refused"), "full": Upstream(kind="backlog")},
        policy=boot(
            [route("full", "/full", retry_policy=_one_for_all(condition)), route(retry_policy=_one_for_all(condition))],
            [cluster("a", ["refused", "a"]), cluster("full", ["full", "a"], connect_timeout="0.2s")],
        ),
        calls=[times(4, get("/refused")), times(2, get("/full"))],
        expect=[tally({200: 6} if retried else {200: 3, 503: 3}), hits(a=6 if retried else 3)],
    )


STREAMS = {"refused": reset(code=REFUSED_STREAM), "goaway": goaway(), "cancelled": reset(), "failed": reset(code=2)}
STREAMS_RETRIED = {
    "5xx": set(STREAMS),
    "gateway-error": set(STREAMS),
    "reset": set(STREAMS),
    "refused-stream": {"refused", "goaway"},
    "connect-failure": set(),
    "reset-before-request": set(),
}


def _streams(condition: str, retried: Iterable[str]) -> Scenario:
    return Scenario(
        f"retry_http2_on_{_name(condition)}",
        f"retry_on: {condition!r} retries of HTTP/2's resets {', '.join(sorted(retried)) or 'none'}",
        rule=f"3.2 h2 RST_STREAM, GOAWAY: {condition}",
        upstreams={"a": Upstream({f"/{name}": [first, 201] for name, first in STREAMS.items()}, kind="http2")},
        policy=boot([route(retry_policy=_one_for_all(condition))], [cluster("a", **http2())]),
        calls=[get(f"/{name}") for name in STREAMS],
        expect=[status(*(201 if name in retried else 503 for name in STREAMS)), hits(a=4 + len(set(retried)))],
    )


GRPC = {"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}


def _grpc(condition: str, code: int) -> Scenario:
    return Scenario(
        f"retry_on_grpc_{_name(condition)}",
        f"retry_on: {condition!r} retries grpc-status {code} in the head, whatever the HTTP status, and no other",
        rule=f"3.2 gRPC tokens look at the response header: {condition}",
        upstreams={
            "a": {
                **{f"/{one}": [Reply(200, {"grpc-status": str(one)}), 201] for one in (0, 2, *GRPC.values())},
                "/with-418": [Reply(418, {"grpc-status": str(code)}), 201],
            }
        },
        policy=boot([route(retry_policy=retry(condition, 1))]),
        calls=[get(f"/{one}") for one in (0, 2, *GRPC.values(), "with-418")],
        expect=[status(*(201 if one == code else 200 for one in (0, 2, *GRPC.values())), 201), hits(a=10)],
    )


TABLE = [
    *(_answers(condition, retried) for condition, retried in RETRIED.items()),
    *(_connections(condition) for condition in (*sorted(CONNECTING), "refused-stream", "retriable-4xx")),
    *(_streams(condition, retried) for condition, retried in STREAMS_RETRIED.items()),
    *(_grpc(condition, code) for condition, code in GRPC.items()),
]

# --- where the policy comes from (3.1) -------------------------------------------------------------------------------


def _told(**headers: str) -> dict[str, str]:
    return {f"x-envoy-{name.replace('_', '-')}": value for name, value in headers.items()}


ORIGIN = [
    Scenario(
        "retry_none_without_a_policy",
        "without a retry policy nothing is retried",
        rule="3.1",
        upstreams={"a": [503, 200]},
        policy=boot(),
        calls=[get()],
        expect=[status(503), hits(a=1), flags("-"), details("via_upstream")],
    ),
    Scenario(
        "retry_policy_levels",
        "a route's policy replaces the virtual host's as a whole; an empty one switches retries off",
        rule="3.1 whole-message override, no merging",
        upstreams={"a": lambda request: 503},
        policy=boot(
            [route(prefix="/own", retry_policy=retry("gateway-error")), route(prefix="/off", retry_policy={}), route()],
            host={"retry_policy": retry("5xx", 3)},
        ),
        calls=[get("/own"), get("/off"), get("/host")],
        expect=[lines(*["GET /own"] * 2, "GET /off", *["GET /host"] * 4), status(503, 503, 503)],
    ),
    Scenario(
        "retry_policy_of_the_cluster_wins",
        "a cluster's HttpProtocolOptions.retry_policy beats the route's",
        rule="3.1 HPO.retry_policy",
        upstreams={"a": lambda request: 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 4))], [cluster("a", **protocol_options(retry_policy=retry("5xx", 2)))]
        ),
        calls=[get()],
        expect=[status(503), hits(a=3)],
    ),
    Scenario(
        "retry_num_retries_default",
        "num_retries is 1 unless set; 0 means a policy without retries, and the flag URX",
        rule="3.1 num_retries",
        upstreams={"a": 503},
        policy=boot([route(prefix="/zero", retry_policy=retry("5xx", 0)), route(retry_policy=retry("5xx"))]),
        calls=[get("/"), get("/zero")],
        expect=[lines("GET /", "GET /", "GET /zero"), flags("URX", "URX"), details("via_upstream", "via_upstream")],
    ),
    Scenario(
        "retry_exhausted_passes_the_last_answer",
        "once retries are used up the last answer comes through as it is",
        rule="3.5 num_retries left",
        upstreams={"a": lambda request: Reply(500, {"x-n": str(request.number)}, f"boom {request.number}")},
        policy=boot([route(retry_policy=retry("5xx", 2))]),
        calls=[get()],
        expect=[status(500), hits(a=3), body("boom 3"), got({"x-n": "3"}), flags("URX")],
    ),
    Scenario(
        "retry_any_method_and_body",
        "retries ask for neither method nor body: POST, PUT and DELETE are repeated whole",
        rule="3.1 method-agnostic",
        upstreams={"a": [503, 200, 503, 200, 503, 200]},
        policy=boot([route(retry_policy=retry())]),
        calls=[post("/p", b"data"), Call("/u", "PUT", body=b"put"), Call("/d", "DELETE")],
        expect=[
            status(200, 200, 200),
            lines("POST /p", "POST /p", "PUT /u", "PUT /u", "DELETE /d", "DELETE /d"),
            received("data", "data", "put", "put", "", ""),
        ],
    ),
    Scenario(
        "retry_retriable_request_headers",
        "retriable_request_headers: a request without any of them is not retried",
        rule="3.1 retriable_request_headers",
        upstreams={"a": {"*": [503, 200]}},
        policy=boot(
            [route(retry_policy=retry(retriable_request_headers=[{"name": "x-safe", "string_match": {"exact": "y"}}]))]
        ),
        calls=[get("/1", {"x-safe": "y"}), get("/2"), get("/3", {"x-safe": "n"})],
        expect=[status(200, 503, 503), hits(a=4)],
    ),
    Scenario(
        "retry_headers_alone",
        "an internal request's x-envoy-retry-on alone switches on one retry, and is not sent on",
        rule="3.1 without a policy those headers alone enable retries, count 1",
        upstreams={"a": 503},
        policy=boot(manager=INTERNAL),
        calls=[get("/1", _told(retry_on="5xx")), get("/2", _told(retry_on="retriable-4xx"))],
        expect=[lines("GET /1", "GET /1", "GET /2"), sent_each("x-envoy-retry-on", None, None, None)],
    ),
    Scenario(
        "retry_headers_extend_a_policy",
        "x-envoy-retry-on is added to the policy's conditions, x-envoy-max-retries replaces its count",
        rule="3.1 OR-ed, replaced",
        upstreams={"a": {"/409": [409, 409, 200], "/503": 503, "/zero": 503, "/bad": 503, "/below": 503}},
        policy=boot([route(retry_policy=retry("5xx", 1))], manager=INTERNAL),
        calls=[
            get("/409", _told(retry_on="retriable-4xx", max_retries="2")),
            get("/503", _told(max_retries="3")),
            get("/zero", _told(max_retries="0")),
            get("/bad", _told(max_retries="many")),
            get("/below", _told(max_retries="-1")),
        ],
        expect=[
            status(200, 503, 503, 503, 503),
            lines(*["GET /409"] * 3, *["GET /503"] * 4, "GET /zero", *["GET /bad"] * 2, *["GET /below"] * 2),
        ],
    ),
    Scenario(
        "retry_headers_extend_lists",
        "x-envoy-retriable-status-codes and -header-names extend the policy's lists",
        rule="3.1 lists extended",
        upstreams={"a": {"/418": [418, 200], "/404": [404, 200], "/marked": [_MARKED, 201], "/429": [429, 200]}},
        policy=boot(
            [route(retry_policy=retry("retriable-status-codes,retriable-headers", retriable_status_codes=[418]))],
            manager=INTERNAL,
        ),
        calls=[
            get("/418", _told(retriable_status_codes="404")),
            get("/404", _told(retriable_status_codes="405, 404")),
            get("/marked", _told(retriable_header_names="x-other,x-retry-me")),
            get("/429", _told(retriable_status_codes="404")),
        ],
        expect=[status(200, 200, 201, 429), hits(a=7)],
    ),
    Scenario(
        "retry_headers_of_an_outsider",
        "a request that is not internal cannot switch retries on or off",
        rule="1.2 override headers are honoured from internal requests only",
        upstreams={"a": {"/on": [503, 200], "/off": [500, 200]}},
        policy=boot([route(prefix="/off", retry_policy=retry()), route()]),
        calls=[get("/on", _told(retry_on="5xx")), get("/off", _told(max_retries="0"))],
        expect=[status(503, 200), hits(a=3)],
    ),
    Scenario(
        "retry_headers_with_required_request_headers",
        "retriable_request_headers hold for retries that headers ask for, too",
        rule="3.1 no retries at all, even header-enabled ones",
        upstreams={"a": [503, 200]},
        policy=boot(
            [route(retry_policy=retry("reset", retriable_request_headers=[{"name": "x-safe", "present_match": True}]))],
            manager=INTERNAL,
        ),
        calls=[get("/", _told(retry_on="5xx"))],
        expect=[status(503), hits(a=1)],
    ),
    Scenario(
        "retry_rate_limited_is_not_retried_by_others",
        "x-envoy-ratelimited keeps every condition but envoy-ratelimited from retrying; x-envoy-overloaded keeps none",
        rule="3.2 x-envoy-ratelimited blocks, x-envoy-overloaded does not",
        upstreams={
            "a": {
                "/limited": [_RATE_LIMITED, 200],
                "/429": [Reply(429, {"x-envoy-ratelimited": "true"}), 200],
                "/overloaded": [Reply(503, {"x-envoy-overloaded": "true"}), 200],
            }
        },
        policy=boot(
            [
                route(prefix="/429", retry_policy=retry("envoy-ratelimited")),
                route(retry_policy=retry("5xx,gateway-error,retriable-status-codes", retriable_status_codes=[503])),
            ]
        ),
        calls=[get("/limited"), get("/429"), get("/overloaded")],
        expect=[status(503, 200, 200), hits(a=5)],
    ),
    Scenario(
        "retry_retriable_headers_matchers",
        "retriable-headers: any matcher of the list, by value or presence; without the token they do nothing",
        rule="3.1 retriable_headers",
        upstreams={
            "a": {
                "/yes": [Reply(200, {"x-retry": "yes please"}), 201],
                "/no": [Reply(200, {"x-retry": "no"}), 201],
                "/off": [Reply(200, {"x-retry": "yes"}), 201],
            }
        },
        policy=boot(
            [
                route(
                    prefix=prefix,
                    retry_policy=retry(
                        on,
                        retriable_headers=[
                            {"name": "x-none", "present_match": True},
                            {"name": "x-retry", "string_match": {"prefix": "yes"}},
                        ],
                    ),
                )
                for prefix, on in (("/off", "5xx"), ("/", "retriable-headers"))
            ]
        ),
        calls=[get("/yes"), get("/no"), get("/off")],
        expect=[status(201, 200, 200), hits(a=4)],
    ),
    Scenario(
        "retry_local_replies_of_the_router",
        "what the router answers by itself is not retried: no host, overflow",
        rule="3.2 circuit-breaker overflow; 3.6 no host",
        upstreams={"a": 200},
        policy=boot(
            [
                route("none", "/none", retry_policy=retry("5xx", 3)),
                route(retry_policy=retry("5xx,gateway-error,reset", 3)),
            ],
            [cluster("none", []), cluster("a", **thresholds(max_requests=0))],
        ),
        calls=[get("/none"), get("/full")],
        expect=[
            status(503, 503),
            bodies("no healthy upstream", Re(".*reset reason: overflow")),
            hits(a=0),
            flags("UH", "UO"),
        ],
    ),
    Scenario(
        "retry_reply_with_direct_response",
        "a direct response is never retried",
        rule="1.7 route, direct response, … retry state",
        policy=boot(
            [{"match": {"prefix": "/"}, "direct_response": {"status": 503}}], host={"retry_policy": retry("5xx", 3)}
        ),
        calls=[get()],
        expect=[status(503), flags("-"), details("direct_response"), hits(a=0)],
    ),
]

# --- how long it waits (3.3, 3.4) ------------------------------------------------------------------------------------

_LATE = 0.6
"""What a busy machine may add to a wait."""


def _rate_limited(**fields: object) -> dict[str, object]:
    seconds = {"name": "retry-after", "format": "SECONDS"}
    stamp = {"name": "x-reset-at", "format": "UNIX_TIMESTAMP"}
    return {"rate_limited_retry_back_off": {"reset_headers": [seconds, stamp], **fields}}


def _reset_at(ahead: float) -> Reply:
    return Reply(503, {"x-reset-at": str(int(time.time() + ahead))})


def _when(name: str, about: str, answer: object, gap: tuple[float, float], rule: str, **fields: object) -> Scenario:
    return Scenario(
        name,
        about,
        rule=f"3.4 {rule}",
        upstreams={"a": lambda request: answer(request) if request.number == 1 else 200},  # type: ignore[operator]
        policy=boot([route(retry_policy=retry("5xx", 1, base="0.02s", **_rate_limited(**fields)))]),
        calls=[get()],
        expect=[status(200), hits(a=2), gaps(Between(*gap))],
    )


WAITING = [
    Scenario(
        "retry_backoff_default_is_short",
        "the default back-off is below 25, 50, 100, 200 ms for the first four retries",
        rule="3.3 full jitter, doubling",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 4, base=None))]),
        calls=[get()],
        expect=[hits(a=5), took(0.0, 0.375 + _LATE)],
    ),
    Scenario(
        "retry_backoff_spread",
        "a back-off is anywhere between nothing and its bound: over ten waits below 0.4 s the mean is near 0.2 s",
        rule="3.3 uniform, full jitter",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, base="0.4s"), timeout="0s")],
            [cluster("a", **thresholds(max_retries=100))],
        ),
        calls=[together(get(), count=40)],
        # Forty waits uniform in [0, 0.4): mean 0.2, deviation of the mean 0.018.
        expect=[
            tally({503: 40}),
            hits(a=80),
            see("mean", lambda run: sum(one.elapsed for one in run.outcomes) / 40, Between(0.12, 0.28 + _LATE)),
            see("least", lambda run: min(one.elapsed for one in run.outcomes), Between(0, 0.15 + _LATE)),
        ],
    ),
    Scenario(
        "retry_backoff_max_interval",
        "max_interval bounds the doubling: eight retries from 10 ms up to 20 ms stay below 0.15 s",
        rule="3.3 min(2 * interval, max)",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 8, retry_back_off={"base_interval": "0.01s", "max_interval": "0.02s"}))]
        ),
        calls=[get()],
        expect=[hits(a=9), took(0, 0.15 + _LATE)],
    ),
    _when(
        "retry_after_seconds",
        "Retry-After: 1 waits 1 to 1.5 s",
        lambda request: Reply(503, {"retry-after": "1"}),
        (0.95, 1.5 + _LATE),
        "SECONDS, interval + [0, interval/2)",
    ),
    _when(
        "retry_after_invalid",
        "Retry-After: 1.5 is no whole number, and a date is none: exponential back-off",
        lambda request: Reply(503, {"retry-after": "1.5", "x-reset-at": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        (0, _LATE),
        "invalid values fall back",
    ),
    _when(
        "retry_after_zero",
        "Retry-After: 0 is ignored",
        lambda request: Reply(503, {"retry-after": "0"}),
        (0, _LATE),
        "0 is invalid",
    ),
    _when(
        "retry_after_beyond_max_interval",
        "what is longer than max_interval is ignored",
        lambda request: Reply(503, {"retry-after": "3"}),
        (0, _LATE),
        "> max_interval",
        max_interval="2s",
    ),
    _when(
        "retry_after_at_max_interval",
        "what is as long as max_interval is heard",
        lambda request: Reply(503, {"retry-after": "1"}),
        (0.95, 1.5 + _LATE),
        "max_interval itself is allowed",
        max_interval="1s",
    ),
    _when(
        "retry_after_first_value_only",
        "of several Retry-After lines the first counts",
        lambda request: Reply(503, [("retry-after", "1"), ("retry-after", "20")]),
        (0.95, 1.5 + _LATE),
        "first value only",
    ),
    _when(
        "retry_after_next_header",
        "where the first header is no good the next of the list is asked",
        lambda request: Reply(503, {"retry-after": "soon", "x-reset-at": str(int(time.time() + 2))}),
        (0.8, 3.0 + _LATE),
        "reset_headers in order",
    ),
    _when(
        "retry_after_timestamp_past",
        "UNIX_TIMESTAMP in the past is ignored",
        lambda request: _reset_at(-5),
        (0, _LATE),
        "UNIX_TIMESTAMP in the past",
    ),
    _when(
        "retry_after_timestamp",
        "UNIX_TIMESTAMP two seconds ahead waits until then",
        lambda request: _reset_at(2),
        (0.8, 3.0 + _LATE),
        "UNIX_TIMESTAMP",
    ),
    Scenario(
        "retry_after_makes_nothing_retriable",
        "Retry-After does not make a 404 retriable",
        rule="3.4 does not itself make anything retriable",
        upstreams={"a": Reply(404, {"retry-after": "1"})},
        policy=boot([route(retry_policy=retry("5xx", 1, **_rate_limited()))]),
        calls=[get()],
        expect=[status(404), hits(a=1), took(0, _LATE)],
    ),
    Scenario(
        "retry_after_under_route_timeout",
        "the route timeout cuts a long Retry-After",
        rule="3.4 the global timeout still cuts it",
        upstreams={"a": Reply(503, {"retry-after": "20"})},
        policy=boot([route(timeout="0.4s", retry_policy=retry("5xx", 1, **_rate_limited()))]),
        calls=[get()],
        expect=[status(504), hits(a=1), took(0.35, 3), flags("UT"), details("response_timeout")],
    ),
]

# --- who gets a retry, and where it goes (3.5, 3.6) ------------------------------------------------------------------

_PREVIOUS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


def _by_number(request: Request) -> Reply:
    return Reply(503, body=str(request.number))


ADMISSION = [
    Scenario(
        "retry_moves_on",
        "round robin goes on with each try: the retry is the next host's",
        rule="3.6 a fresh pick per attempt",
        upstreams={"a": 200, "b": 503},
        policy=boot([route(retry_policy=retry())], [cluster("a", ["a", "b"])]),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), hits(a=6)],
    ),
    Scenario(
        "retry_overflow_passes_the_answer",
        "without room for a retry (max_retries 0) the upstream's own answer comes through, with UO and not overloaded",
        rule="3.5 UO, no x-envoy-overloaded",
        upstreams={"a": Reply(503, body="mine")},
        policy=boot([route(retry_policy=retry("5xx", 2))], [cluster("a", **thresholds(max_retries=0))]),
        calls=[get()],
        expect=[status(503), body("mine"), hits(a=1), flags("UO"), got({"x-envoy-overloaded": None})],
    ),
    Scenario(
        "retry_exhaustion_is_asked_before_room",
        "no retries left is URX even where there is no room either",
        rule="3.5 order: num_retries before the breaker",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 0))], [cluster("a", **thresholds(max_retries=0))]),
        calls=[get()],
        expect=[status(503), flags("URX")],
    ),
    Scenario(
        "retry_slot_is_held_through_backoff",
        "max_retries 1: a retry that waits for its turn keeps others from retrying",
        rule="3.5 the slot is taken when scheduled",
        upstreams={"a": {"/slow": [Reply(503, {"retry-after": "1"}), 200], "*": 503}},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, **_rate_limited()))], [cluster("a", **thresholds(max_retries=1))]
        ),
        calls=[together(get("/slow"), get("/late"), stagger=0.3), get("/after")],
        expect=[
            status(200, 503, 503),
            see(
                "tries",
                lambda run: sorted(request.path for request in run.at("a").requests),
                [
                    "/after",
                    "/after",
                    "/late",
                    "/slow",
                    "/slow",
                ],
            ),
        ],
    ),
    Scenario(
        "retry_previous_hosts",
        "previous_hosts with enough picks never repeats the host that failed, with RANDOM too",
        rule="3.6 previous_hosts",
        upstreams={"a": 200, "b": 503},
        policy=boot(
            [route(retry_policy=retry(retry_host_predicate=[_PREVIOUS], host_selection_retry_max_attempts=30))],
            [cluster("a", ["a", "b"], lb_policy="RANDOM")],
        ),
        calls=[times(30, get())],
        expect=[status(*[200] * 30), hits(a=30)],
    ),
    Scenario(
        "retry_previous_hosts_single_host",
        "previous_hosts with one host only: the retry goes there all the same",
        rule="3.6 then uses the last pick anyway",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry(retry_host_predicate=[_PREVIOUS]))]),
        calls=[get()],
        expect=[status(200), hits(a=2)],
    ),
    Scenario(
        "retry_stays_on_the_priority",
        "without a retry_priority retries stay on the first priority",
        rule="3.6 without it all retries stay on P0",
        upstreams={"a": 503, "b": 200},
        policy=boot(
            [route(retry_policy=retry("5xx", 3))],
            [cluster("a", localities=[locality("a"), locality("b", priority=1)])],
        ),
        calls=[get()],
        expect=[status(503), hits(a=4, b=0)],
    ),
    Scenario(
        "retry_stays_on_the_weighted_cluster",
        "retries stay on the cluster that was drawn",
        rule="1.6 retries stay on the chosen cluster",
        upstreams={"a": 503, "b": 503},
        policy=boot(
            [
                route(
                    None,
                    retry_policy=retry("5xx", 3),
                    weighted_clusters={"clusters": [{"name": "a", "weight": 50}, {"name": "b", "weight": 50}]},
                )
            ],
            [cluster("a"), cluster("b")],
        ),
        calls=[times(12, get())],
        expect=[
            status(*[503] * 12),
            see("runs", lambda run: [len(run.at(name).requests) % 4 for name in "ab"], [0, 0]),
            see("all", lambda run: sum(len(run.at(name).requests) for name in "ab"), 48),
        ],
    ),
    Scenario(
        "retry_to_an_ejected_cluster",
        "a retry finds no host any more: 503 no healthy upstream",
        rule="3.6 no host available on a retry",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 1))],
            [
                cluster(
                    "a",
                    outlier_detection={"consecutive_5xx": 1, "max_ejection_percent": 100},
                    **panic(0),
                )
            ],
        ),
        calls=[get()],
        expect=[status(503), body("no healthy upstream"), hits(a=1), flags(OneOf("UH", "UH,URX"))],
    ),
    Scenario(
        "retry_budget_share",
        "retry_budget 50 %: of eight requests that fail together four are retried",
        rule="3.5 retry_budget",
        upstreams={"a": lambda request: Reply(503, delay=0.4 if request.number <= 8 else 0.8)},
        policy=boot(
            [route(retry_policy=retry("5xx", 1))],
            [
                cluster(
                    "a",
                    **thresholds(
                        retry_budget={"budget_percent": {"value": 50}, "min_retry_concurrency": 0}, max_retries=0
                    ),
                )
            ],
        ),
        calls=[together(get(), count=8)],
        # The failing request itself still counts as active; as requests end the share shrinks.
        expect=[tally({503: 8}), hits(a=Between(11, 13))],
    ),
    Scenario(
        "retry_budget_min_concurrency",
        "retry_budget 0 %, min_retry_concurrency 2: two retries at a time, no third",
        rule="3.5 max(min_retry_concurrency, …)",
        upstreams={"a": lambda request: Reply(503, delay=0.3)},
        policy=boot(
            [route(retry_policy=retry("5xx", 1))],
            [cluster("a", **thresholds(retry_budget={"budget_percent": {"value": 0}, "min_retry_concurrency": 2}))],
        ),
        calls=[together(get(), count=6)],
        expect=[tally({503: 6}), hits(a=8)],
    ),
    Scenario(
        "retry_budget_alone",
        "retry_budget 50 % without a minimum: a request on its own gets no retry",
        rule="3.5 p=50 %, min=0: 0 other active, 0 retries",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 1))],
            [cluster("a", **thresholds(retry_budget={"budget_percent": {"value": 50}, "min_retry_concurrency": 0}))],
        ),
        calls=[get()],
        expect=[status(503), hits(a=1), flags("UO")],
    ),
]

# --- bodies and headers (3.7, 3.9) -----------------------------------------------------------------------------------

BODIES = [
    Scenario(
        "retry_body_at_the_limit",
        "a body of exactly request_body_buffer_limit can be repeated, one byte more cannot",
        rule="3.7 exactly the limit is fine",
        upstreams={"a": {"*": [503, 200]}},
        policy=boot([route(retry_policy=retry(), more={"request_body_buffer_limit": 1000})]),
        calls=[post("/at", b"x" * 1000), post("/over", b"x" * 1001)],
        expect=[
            status(200, 503),
            see("sizes", lambda run: [len(request.body) for request in run.at("a").requests], [1000, 1000, 1001]),
        ],
    ),
    Scenario(
        "retry_body_default_limit",
        "unless set the limit is 1 MiB",
        rule="3.7 else 1 MiB",
        upstreams={"a": {"*": [503, 200]}},
        policy=boot([route(retry_policy=retry())]),
        calls=[post("/at", b"x" * (1 << 20)), post("/over", b"x" * ((1 << 20) + 1))],
        expect=[status(200, 503), hits(a=3)],
    ),
    Scenario(
        "retry_streamed_body",
        "a streamed body is kept while it is sent, and sent again whole",
        rule="3.7 buffered while a retry is possible",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry())]),
        calls=[post("/", None, chunks=[b"one", b"two", b"three"])],
        expect=[status(200), received("onetwothree", "onetwothree")],
    ),
    Scenario(
        "retry_streamed_body_over_the_limit",
        "a streamed body over the limit goes through once, whole, and is not retried",
        rule="3.7 one byte more: retries dropped, request continues",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry(), more={"request_body_buffer_limit": 10})]),
        calls=[post("/", None, chunks=[b"12345", b"67890", b"!"])],
        expect=[status(503), received("1234567890!")],
    ),
    Scenario(
        "retry_attempt_count",
        "include_request_attempt_count: 1, 2, 3 upstream, over what the application sent; in the response on demand",
        rule="3.9 x-envoy-attempt-count",
        upstreams={"a": [503, 503, 200]},
        policy=boot(
            [route(retry_policy=retry("5xx", 2))],
            host={"include_request_attempt_count": True, "include_attempt_count_in_response": True},
        ),
        calls=[get("/", {"x-envoy-attempt-count": "7"})],
        expect=[status(200), sent_each("x-envoy-attempt-count", "1", "2", "3"), got({"x-envoy-attempt-count": "3"})],
    ),
    Scenario(
        "retry_attempt_count_off",
        "without the option the header is the application's own, and the response has none",
        rule="3.9 only with include_request_attempt_count",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry())]),
        calls=[get("/", {"x-envoy-attempt-count": "7"})],
        expect=[sent_each("x-envoy-attempt-count", "7", "7"), got({"x-envoy-attempt-count": None}), status(200)],
    ),
    Scenario(
        "retry_is_timeout_retry",
        "include_is_timeout_retry_header: on retries only, true after a per-try timeout, else false",
        rule="3.9 x-envoy-is-timeout-retry",
        upstreams={"a": [hang(), 503, 200]},
        policy=boot(
            [route(retry_policy=retry("5xx", 2, per_try_timeout="0.3s"))],
            host={"include_is_timeout_retry_header": True},
        ),
        calls=[get()],
        expect=[status(200), sent_each("x-envoy-is-timeout-retry", None, "true", "false")],
    ),
    Scenario(
        "retry_service_time_spans_tries",
        "x-envoy-upstream-service-time counts earlier tries too, and replaces the upstream's own",
        rule="3.9 x-envoy-upstream-service-time",
        upstreams={"a": [Reply(503, delay=0.3), Reply(200, {"x-envoy-upstream-service-time": "77777"})]},
        policy=boot([route(retry_policy=retry())]),
        calls=[get()],
        expect=[
            status(200),
            got({"x-envoy-upstream-service-time": Where(lambda text: 290 <= int(text) < 3000, "300 ms or more")}),
        ],
    ),
    Scenario(
        "retry_same_request_id",
        "all tries carry one request id, one path and one host",
        rule="11.1 same id on every retry",
        upstreams={"a": [503, 503, 200]},
        policy=boot([route(retry_policy=retry("5xx", 2), prefix_rewrite="/new/", host_rewrite_literal="app.test")]),
        calls=[get("/x?q")],
        expect=[
            see("ids", lambda run: len({request.header("x-request-id") for request in run.at("a").requests}), 1),
            lines(*["GET /new/x?q"] * 3),
            sent_each("host", *["app.test"] * 3),
        ],
    ),
    Scenario(
        "retry_expected_timeout_shrinks",
        "x-envoy-expected-rq-timeout-ms: the per-try timeout, but never more than what is left of the route's",
        rule="2 x-envoy-expected-rq-timeout-ms",
        upstreams={"a": [Reply(503, delay=0.5), 200]},
        policy=boot([route(timeout="1.2s", retry_policy=retry("5xx", 1, per_try_timeout="1s"))]),
        calls=[get()],
        expect=[
            status(200),
            see(
                "expected",
                lambda run: [int(str(one.header("x-envoy-expected-rq-timeout-ms"))) for one in run.at("a").requests],
                [1000, Between(1, 720)],
            ),
        ],
    ),
    Scenario(
        "retry_word_in_the_reply",
        "after a retry the reply says so: 'retried and the latest reset reason'",
        rule="3.9 final-reply summary",
        upstreams={"a": Upstream(kind="refused")},
        policy=boot([route(retry_policy=retry("connect-failure", 1))]),
        calls=[get()],
        expect=[
            status(503),
            body(
                "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
                "remote connection failure"
            ),
            flags("UF,URX"),
            details(Re(r"upstream_reset_before_response_started\{remote_connection_failure\|.*\}")),
        ],
    ),
    Scenario(
        "retry_flags_combine",
        "timeouts of every try: UT and URX, details of the per-try timeout",
        rule="3.9 flags combine",
        upstreams={"a": hang()},
        policy=boot([route(retry_policy=retry("5xx", 1, per_try_timeout="0.15s"))]),
        calls=[get()],
        expect=[status(504), hits(a=2), flags("URX,UT"), details("upstream_per_try_timeout")],
    ),
    Scenario(
        "retry_answer_before_the_upload_ends",
        "a retriable answer that comes before the upload is over is retried with what is there; the rest follows",
        rule="3.7 retried at once with the buffered part",
        upstreams={"a": 200, "early": Upstream(503, early=True)},
        policy=boot([route("both", retry_policy=retry("5xx", 1))], [cluster("both", ["early", "a"])]),
        calls=[times(2, post("/", None, chunks=[b"first", b"second"], pause=0.3))],
        expect=[status(200, 200), received("firstsecond", "firstsecond"), hits(early=OneOf(1, 2))],
    ),
    Scenario(
        "retry_suppressed_headers",
        "suppress_envoy_headers takes x-envoy-expected-rq-timeout-ms and -service-time, not the attempt count",
        rule="9.1 suppress_envoy_headers; 3.9 attempt count survives",
        upstreams={"a": 200},
        policy=boot(
            filters=[router(suppress_envoy_headers=True)],
            host={"include_request_attempt_count": True},
        ),
        calls=[get()],
        expect=[
            sent_each("x-envoy-expected-rq-timeout-ms", None),
            sent_each("x-envoy-attempt-count", "1"),
            got_each("x-envoy-upstream-service-time", None),
        ],
    ),
]

SCENARIOS = [*TABLE, *ORIGIN, *WAITING, *ADMISSION, *BODIES]
