"""What a try leaves behind for the next one (semantics 3.2, 3.7)."""

from __future__ import annotations

from ..bootstrap import boot, cluster, http2, retry, route
from ..look import connections, hits, status
from ..model import Scenario, get, post
from ..upstreams.replies import Reply, Upstream

SCENARIOS = [
    Scenario(
        "retry_after_continue",
        "an upstream's 100 ends the retries: what it answers then is the call's",
        rule="3.2 100-continue",
        upstreams={"a": [Reply(503, interim=[100]), 200]},
        policy=boot([route(retry_policy=retry("5xx", 1))]),
        calls=[post("/x", b"hello")],
        expect=[status(503), hits(a=1)],
    ),
    Scenario(
        "retry_after_early_hints",
        "so does any other interim answer, and over HTTP/2",
        rule="3.2 100-continue",
        upstreams={"a": [Reply(503, interim=[103]), 200], "h": Upstream([Reply(503, interim=[103]), 200], "http2")},
        policy=boot(
            [route("h", prefix="/h", retry_policy=retry("5xx", 1)), route(retry_policy=retry("5xx", 1))],
            [cluster("a"), cluster("h", **http2())],
        ),
        calls=[get("/a"), get("/h")],
        expect=[status(503, 503), hits(a=1, h=1)],
    ),
    Scenario(
        "retry_costs_the_connection",
        "a retried answer that still has a body to come costs its HTTP/1.1 connection; one without a body does not",
        rule="3.7",
        upstreams={"a": [Reply(503, body="x" * 10), 200], "b": [Reply(503, body=""), 200]},
        policy=boot(
            [route("b", prefix="/b", retry_policy=retry("5xx", 1)), route(retry_policy=retry("5xx", 1))],
            [cluster("a"), cluster("b")],
        ),
        calls=[get("/a"), get("/b")],
        expect=[status(200, 200), hits(a=2, b=2), connections(a=2, b=1)],
    ),
]
