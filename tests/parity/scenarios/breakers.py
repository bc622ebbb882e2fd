"""Circuit breakers and the connection pool (semantics 4)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, http2, retry, route, thresholds
from ..look import body, connections, details, flags, got, got_each, hits, see, status, tally, took
from ..model import Scenario, get, kill, pause, revive, times, together, wait_for
from ..upstreams.replies import Reply, Upstream, close, hang, reset

OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
SLOW = Reply(delay=0.6)


def _busy(count: int) -> Any:
    return wait_for(lambda run: len(run.at("a").requests) >= count)


def _full(name: str, about: str, policy: dict[str, Any], passed: int, of: int, **fields: Any) -> Scenario:
    """`of` calls at once, of which `passed` are served."""
    return Scenario(
        f"breaker_{name}",
        about,
        policy=policy,
        calls=[together(get(), count=of)],
        expect=[tally({200: passed, 503: of - passed}), hits(a=passed)],
        **{"upstreams": {"a": SLOW}, **fields},
    )


REQUESTS = [
    _full(
        "max_requests",
        "max_requests 3 lets three requests run at a time, in HTTP/1.1 too",
        boot(clusters=[cluster("a", **thresholds(max_requests=3))]),
        3,
        6,
        rule="4 max_requests",
    ),
    _full(
        "max_requests_http2",
        "max_requests counts streams",
        boot(clusters=[cluster("a", **http2(), **thresholds(max_requests=3))]),
        3,
        6,
        rule="4 max_requests",
        upstreams={"a": Upstream(SLOW, kind="http2")},
    ),
    Scenario(
        "breaker_overflow_reply",
        "the reply of a breaker: 503, its text, x-envoy-overloaded, UO; nothing is retried",
        rule="4 overflow reply",
        upstreams={"a": 200},
        policy=boot([route(retry_policy=retry("5xx", 3))], [cluster("a", **thresholds(max_requests=0))]),
        calls=[get()],
        expect=[
            status(503),
            body(OVERFLOW),
            got({"x-envoy-overloaded": "true", "content-type": "text/plain"}),
            flags("UO"),
            details("upstream_reset_before_response_started{overflow}"),
            hits(a=0),
        ],
    ),
    Scenario(
        "breaker_max_requests_one_after_the_other",
        "max_requests 1 does not mind calls one after the other",
        rule="4 max_requests",
        policy=boot(clusters=[cluster("a", **thresholds(max_requests=1))]),
        calls=[times(8, get())],
        expect=[status(*[200] * 8)],
    ),
    Scenario(
        "breaker_held_until_the_body_ends",
        "a request counts until its response has ended, not until its head",
        rule="4 active requests",
        upstreams={"a": {"/long": Reply(body=["one", "two"], pause=0.8), "*": 200}},
        policy=boot(clusters=[cluster("a", **thresholds(max_requests=1))]),
        calls=[together(get("/long"), get("/meanwhile"), stagger=0.4), get("/after")],
        expect=[status(200, 503, 200), hits(a=2)],
    ),
    Scenario(
        "breaker_freed_by_every_end",
        "resets, timeouts and broken bodies give their places back",
        rule="4 active requests",
        upstreams={
            "a": {
                "/reset": reset(),
                "/hang": hang(),
                "/cut": close("in body", body=["one", "two"]),
                "/left": hang(),
                "*": 200,
            }
        },
        policy=boot([route(timeout="0.3s")], [cluster("a", **thresholds(max_requests=1, max_retries=0))]),
        calls=[
            get("/reset"),
            get("/1"),
            get("/hang"),
            get("/2"),
            get("/cut"),
            get("/3"),
            get("/left", timeout=0.1),
            pause(0.1),
            get("/4"),
        ],
        expect=[status(503, 200, 504, 200, "transport-error", 200, "timeout", 200)],
    ),
    Scenario(
        "breaker_of_a_cluster",
        "a breaker is the cluster's: another cluster with the same endpoint has its own",
        rule="4 per cluster",
        upstreams={"a": SLOW},
        policy=boot(
            [route("b", "/b"), route()],
            [cluster("a", **thresholds(max_requests=1)), cluster("b", ["a"], **thresholds(max_requests=1))],
        ),
        calls=[together(get("/a"), get("/b"), get("/a"), get("/b"), stagger=0.1)],
        expect=[status(200, 200, 503, 503), hits(a=2)],
    ),
    Scenario(
        "breaker_over_all_hosts",
        "a breaker counts over all hosts of its cluster",
        rule="4 over all hosts",
        upstreams={"a": SLOW, "b": SLOW},
        policy=boot(clusters=[cluster("a", ["a", "b"], **thresholds(max_requests=2))]),
        calls=[together(get(), count=4, stagger=0.05)],
        expect=[status(200, 200, 503, 503), hits(a=1, b=1)],
    ),
    Scenario(
        "breaker_priorities",
        "routes with priority HIGH have thresholds of their own; the first entry of a priority counts",
        rule="4 HIGH priority; first entry per priority wins",
        upstreams={"a": SLOW},
        policy=boot(
            [route(prefix="/high", priority="HIGH"), route()],
            [
                cluster(
                    "a",
                    circuit_breakers={
                        "thresholds": [
                            {"max_requests": 1},
                            {"priority": "HIGH", "max_requests": 2},
                            {"max_requests": 9},
                        ]
                    },
                )
            ],
        ),
        calls=[together(get("/low"), get("/low"), get("/high"), get("/high"), get("/high"), stagger=0.05)],
        expect=[status(200, 503, 200, 200, 503)],
    ),
    Scenario(
        "breaker_high_without_thresholds",
        "a priority without an entry has the defaults",
        rule="4 missing priority: defaults",
        upstreams={"a": SLOW},
        policy=boot([route(prefix="/high", priority="HIGH"), route()], [cluster("a", **thresholds(max_requests=1))]),
        calls=[together(get("/low"), *[get("/high")] * 4, stagger=0.02)],
        expect=[tally({200: 5}), hits(a=5)],
    ),
]

POOL = [
    Scenario(
        "breaker_max_connections_queues",
        "max_connections 2: eight requests run two at a time, and none fails",
        rule="4 max_connections is not an error",
        upstreams={"a": Reply(delay=0.15)},
        policy=boot(clusters=[cluster("a", **thresholds(max_connections=2))]),
        calls=[together(get(), count=8)],
        expect=[
            tally({200: 8}),
            hits(a=8),
            see("at once", lambda run: run.at("a").most_open, 2),
            see("busy", lambda run: run.at("a").most_busy, 2),
        ],
    ),
    Scenario(
        "breaker_max_connections_zero",
        "max_connections 0: a pool without a connection may open one all the same",
        rule="4 so 0 behaves like 1 per host pool",
        upstreams={"a": Reply(delay=0.1)},
        policy=boot(clusters=[cluster("a", **thresholds(max_connections=0))]),
        calls=[together(get(), count=3)],
        expect=[tally({200: 3}), see("at once", lambda run: run.at("a").most_open, 1)],
    ),
    Scenario(
        "breaker_max_pending",
        "max_connections 1, max_pending_requests 1: one runs, one waits, the others overflow at once",
        rule="4 max_pending_requests",
        upstreams={"a": Reply(delay=0.8)},
        policy=boot(clusters=[cluster("a", **thresholds(max_connections=1, max_pending_requests=1))]),
        calls=[get("/warm"), together(*[get()] * 4, stagger=0.1)],
        expect=[
            status(200, 200, 200, 503, 503),
            hits(a=3),
            got({"x-envoy-overloaded": "true"}),
            took(0, 0.6, call=3),
        ],
    ),
    Scenario(
        "breaker_max_pending_zero",
        "max_pending_requests 0: a request that needs a new connection fails, so that nothing is ever served",
        rule="4 max_pending_requests: 0",
        policy=boot(clusters=[cluster("a", **thresholds(max_pending_requests=0))]),
        calls=[get()],
        expect=[status(503), body(OVERFLOW), flags("UO"), hits(a=0)],
    ),
    Scenario(
        "pool_keeps_connections",
        "calls one after the other share a connection",
        rule="4 connection pool",
        policy=boot(),
        calls=[times(10, get())],
        expect=[connections(a=1)],
    ),
    Scenario(
        "pool_connection_close",
        "connection: close of an upstream is heard, and not passed on",
        rule="4 connection pool; 1.3",
        upstreams={"a": Reply(200, {"connection": "close"})},
        policy=boot(),
        calls=[times(3, get())],
        expect=[status(200, 200, 200), connections(a=3), got_each("connection", None, None, None)],
    ),
    Scenario(
        "pool_idle_connection_closed_by_upstream",
        "a kept connection that the upstream has closed meanwhile is not used",
        rule="4 stale keep-alive",
        upstreams={"a": Upstream(200, idle=0.1)},
        policy=boot(),
        calls=[times(3, get(), pause=0.4)],
        expect=[status(200, 200, 200), connections(a=3)],
    ),
    Scenario(
        "pool_connection_that_died",
        "a connection reset while a request is on it is 503 UC, and the next call has a new one",
        rule="4 Envoy has no implicit retry",
        upstreams={"a": [200, reset(), 200]},
        policy=boot(),
        calls=[times(3, get())],
        expect=[status(200, 503, 200), flags("-", "UC", "-"), connections(a=2), hits(a=3)],
    ),
    Scenario(
        "pool_unread_body_costs_the_connection",
        "a retried answer whose body was not read costs its connection",
        rule="3.7 closed, not drained",
        upstreams={"a": [200, Reply(503, body=["one", "two"], pause=0.2), 200]},
        policy=boot([route(retry_policy=retry())]),
        calls=[get(), get()],
        expect=[status(200, 200), connections(a=2)],
    ),
    Scenario(
        "pool_abandoned_response",
        "a response that the application leaves half read does not spoil the next call",
        rule="4 connection pool",
        upstreams={"a": {"/long": Reply(body=[b"x" * 1000] * 50, pause=0.02), "*": 200}},
        policy=boot(),
        calls=[get("/long", leave_after=1000), get("/next")],
        expect=[status(200, 200), body("a")],
    ),
    Scenario(
        "pool_http2_multiplexes",
        "over HTTP/2 parallel calls share one connection",
        rule="4 1 connection multiplexes",
        upstreams={"a": Upstream(Reply(delay=0.2), kind="http2")},
        policy=boot(clusters=[cluster("a", **http2())]),
        calls=[get(), together(get(), count=6)],
        expect=[tally({200: 7}), connections(a=1)],
    ),
    Scenario(
        "pool_http2_max_streams",
        "where the peer allows two streams at a time more connections are opened",
        rule="4 spills to a second connection",
        upstreams={"a": Upstream(Reply(delay=0.4), kind="http2", max_streams=2)},
        policy=boot(clusters=[cluster("a", **http2())]),
        calls=[get(), together(get(), count=4)],
        expect=[tally({200: 5}), connections(a=2)],
    ),
    Scenario(
        "retries_at_once_default",
        "three retries at a time unless set otherwise: of eight failing together five get none",
        rule="4 max_retries 3",
        upstreams={"a": lambda request: Reply(503, delay=0.3)},
        policy=boot([route(retry_policy=retry("5xx", 1))]),
        calls=[together(get(), count=8)],
        expect=[tally({503: 8}), hits(a=11)],
    ),
    Scenario(
        "retries_at_once_set",
        "max_retries 6 gives six",
        rule="4 max_retries",
        upstreams={"a": lambda request: Reply(503, delay=0.3)},
        policy=boot([route(retry_policy=retry("5xx", 1))], [cluster("a", **thresholds(max_retries=6))]),
        calls=[together(get(), count=8)],
        expect=[tally({503: 8}), hits(a=14)],
    ),
    Scenario(
        "breaker_many_callers",
        "a hundred callers at max_connections 4: everyone is served, never more than four at a time",
        rule="4 max_connections",
        upstreams={"a": Reply(delay=0.01)},
        policy=boot(clusters=[cluster("a", **thresholds(max_connections=4))]),
        calls=[together(get(), count=100)],
        expect=[tally({200: 100}), see("at once", lambda run: run.at("a").most_open <= 4, True)],
    ),
    Scenario(
        "upstream_goes_and_comes_back",
        "a killed upstream is 503 UF, and is used again once it is back",
        rule="12.1 connect refused",
        policy=boot(),
        calls=[get(), kill("a"), pause(0.1), get(), revive("a"), get()],
        expect=[status(200, 503, 200), flags("-", "UF", "-")],
    ),
]

SCENARIOS = [*REQUESTS, *POOL]
