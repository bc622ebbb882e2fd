"""Where a rule begins and ends: the last value that it lets pass, the first that it does not, and what stays beside."""

from __future__ import annotations

from ..bootstrap import boot, retry, route
from ..look import details, flags, hits, lines, sent, status, took
from ..model import Scenario, get

# httpx's own: host, accept, accept-encoding, connection, user-agent
_OWN_HEADERS = 5


def _headers(number: int) -> dict[str, str]:
    return {f"x-{index}": "1" for index in range(number - _OWN_HEADERS)}


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
        "path_merge_slashes_alone",
        "merge_slashes alone leaves escapes, dots among them, as they are",
        rule="1.1 merge_slashes",
        policy=boot(manager={"merge_slashes": True}),
        calls=[get("//a///b//?c=//"), get("/a/%2e%2E//%61//b")],
        expect=[status(200, 200), lines("GET /a/b/?c=//", "GET /a/%2e%2E/%61/b")],
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

SCENARIOS = [*REQUESTS, *TIMES]
