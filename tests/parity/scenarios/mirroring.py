"""Mirroring (semantics 1.6, `request_mirror_policies`)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, header, protocol_options, retry, route, thresholds, virtual_host
from ..expect import Between, Re, SameOnBoth
from ..look import details, flags, hits, lines, received, see, sent, sent_each, status, took
from ..model import Call, Do, Run, Scenario, get, pause, post, times, together, wait_for
from ..upstreams.replies import Reply, Upstream, close, hang

TO_S: dict[str, Any] = {"request_mirror_policies": [{"cluster": "s"}]}
AB = [cluster("a"), cluster("s")]


def mirrored(count: int = 1, upstream: str = "s") -> Do:
    """Wait until the shadow upstream has seen that many requests."""
    return wait_for(lambda run: len(run.at(upstream).requests) >= count)


def percent(number: int) -> dict[str, Any]:
    return {"default_value": {"numerator": number}}


def shadow(**policy: Any) -> dict[str, Any]:
    return {"request_mirror_policies": [{"cluster": "s", **policy}]}


def _same_id(run: Run) -> bool:
    return run.at("a").requests[-1].header("x-request-id") == run.at("s").requests[-1].header("x-request-id")


SCENARIOS = [
    Scenario(
        "mirror_copy",
        "the copy has the same method, target and body, a marked host, and its answer does not matter",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 500},
        policy=boot([route(**TO_S)], AB),
        calls=[post("/x?y=1", b"hello", {"host": "h.test:80", "x-own": "1"}), mirrored()],
        expect=[
            status(200),
            lines("POST /x?y=1", upstream="s"),
            received("hello", upstream="s"),
            sent({"host": "h.test-shadow:80", "x-own": "1", "x-envoy-internal": "true"}, "s"),
            sent({"host": "h.test:80", "x-envoy-internal": None}),
            see("the same x-request-id", _same_id, True),
        ],
    ),
    Scenario(
        "mirror_forwarded_for",
        "the copy's x-forwarded-for is the call's with the node's own address behind a bare comma",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200},
        policy=boot([route(**TO_S)], AB),
        calls=[
            get("/1", {"x-forwarded-for": "1.2.3.4"}),
            get("/2"),
            mirrored(2),
        ],
        expect=[
            status(200, 200),
            sent_each("x-forwarded-for", "1.2.3.4", None),
            sent_each("x-forwarded-for", SameOnBoth(Re(r"1\.2\.3\.4,[\d.]+")), SameOnBoth(Re(r"[\d.]+")), upstream="s"),
        ],
    ),
    Scenario(
        "mirror_hosts",
        "-shadow stands before the port and behind an IPv6 address; a literal or a switch takes its place",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200},
        policy=boot(
            [
                route(prefix="/literal", **shadow(host_rewrite_literal="l.test")),
                route(prefix="/off", **shadow(disable_shadow_host_suffix_append=True)),
                route(prefix="/both", **shadow(disable_shadow_host_suffix_append=True, host_rewrite_literal="l.test")),
                route(**TO_S),
            ],
            AB,
        ),
        calls=[
            get("/literal", {"host": "h.test"}),
            mirrored(1),
            get("/off", {"host": "h.test:8"}),
            mirrored(2),
            get("/both", {"host": "h.test"}),
            mirrored(3),
            get("/x", {"host": "[::1]:8"}),
            mirrored(4),
            get("/x", {"host": "[::1]"}),
            mirrored(5),
        ],
        expect=[
            status(200, 200, 200, 200, 200),
            sent_each("host", "l.test", "h.test:8", "l.test", "[::1]-shadow:8", "[::1]-shadow", upstream="s"),
        ],
    ),
    Scenario(
        "mirror_after_rewrites",
        "the copy is made of the rewritten request: path, host, added headers, attempt count",
        rule="1.6 request_mirror_policies, 1.7",
        upstreams={"a": 200, "s": 200},
        policy=boot(
            [
                route(
                    prefix="/p",
                    prefix_rewrite="/q",
                    host_rewrite_literal="w.test",
                    more={"request_headers_to_add": [header("x-added", "1")]},
                    **TO_S,
                )
            ],
            AB,
            host={"include_request_attempt_count": True},
        ),
        calls=[get("/px?y=1", {"host": "h.test"}), mirrored()],
        expect=[
            status(200),
            lines("GET /qx?y=1", upstream="s"),
            sent(
                {
                    "host": "w.test-shadow",
                    "x-added": "1",
                    "x-envoy-original-path": "/px?y=1",
                    "x-envoy-original-host": "h.test",
                    "x-envoy-attempt-count": "1",
                },
                "s",
            ),
        ],
    ),
    Scenario(
        "mirror_header_mutations",
        "request_headers_mutations change the copy alone, one after the other; any header may be removed",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200},
        policy=boot(
            [
                route(
                    **shadow(
                        request_headers_mutations=[
                            {"append": header("x-m", "v%REQ(x-own)%")},
                            {"remove": "x-request-id"},
                            {"append": header("x-m", "2")},
                            {"remove": "x-gone"},
                            {"append": header("x-gone", "again")},
                        ]
                    )
                )
            ],
            AB,
        ),
        calls=[get("/", {"x-own": "1", "x-gone": "0"}), mirrored()],
        expect=[
            status(200),
            sent({"x-m": None, "x-gone": "0", "x-request-id": Re(".+")}),
            sent({"x-m": ["v1", "2"], "x-gone": "again", "x-request-id": None}, "s"),
        ],
    ),
    Scenario(
        "mirror_levels",
        "the route's list counts before the virtual host's, that before the table's; an empty list is none",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200, "t": 200, "u": 200},
        policy=boot(
            hosts=[
                virtual_host(
                    route(prefix="/s", **TO_S),
                    route(prefix="/t", request_mirror_policies=[]),
                    name="one",
                    domains=["one.test"],
                    request_mirror_policies=[{"cluster": "t"}],
                ),
                virtual_host(route()),
            ],
            clusters=[cluster("a"), cluster("s"), cluster("t"), cluster("u")],
            table={"request_mirror_policies": [{"cluster": "u"}]},
        ),
        calls=[
            get("/s", {"host": "one.test"}),
            get("/t", {"host": "one.test"}),
            get("/u", {"host": "two.test"}),
            mirrored(1),
            mirrored(1, "t"),
            mirrored(1, "u"),
            pause(0.1),
        ],
        expect=[
            status(200, 200, 200),
            lines("GET /s", upstream="s"),
            lines("GET /t", upstream="t"),
            lines("GET /u", upstream="u"),
        ],
    ),
    Scenario(
        "mirror_cluster_level",
        "the cluster's own policies count before the route's; none leave the route's in force",
        rule="1.6 HPO.request_mirror_policies",
        upstreams={"a": 200, "s": 200, "t": 200},
        policy=boot(
            [route("own", prefix="/t", **TO_S), route("none", **TO_S)],
            [
                cluster("own", ["a"], **protocol_options(request_mirror_policies=[{"cluster": "t"}])),
                cluster("none", ["a"], **protocol_options(request_mirror_policies=[])),
                cluster("s"),
                cluster("t"),
            ],
        ),
        calls=[get("/t"), mirrored(1, "t"), get("/s"), mirrored(), pause(0.1)],
        expect=[status(200, 200), lines("GET /s", upstream="s"), lines("GET /t", upstream="t")],
    ),
    Scenario(
        "mirror_of_a_mirror",
        "a cluster's own policies mirror what was mirrored to it, marked twice",
        rule="1.6 HPO.request_mirror_policies",
        upstreams={"a": 200, "s": 200, "t": 200},
        policy=boot(
            [route(**TO_S)],
            [cluster("a"), cluster("s", **protocol_options(request_mirror_policies=[{"cluster": "t"}])), cluster("t")],
        ),
        calls=[get("/", {"host": "h.test"}), mirrored(1, "t")],
        expect=[status(200), sent({"host": "h.test-shadow-shadow"}, "t"), hits(a=1, s=1, t=1)],
    ),
    Scenario(
        "mirror_cluster_header",
        "cluster_header names the shadow's cluster; absent or unknown: no copy",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200},
        policy=boot([route(request_mirror_policies=[{"cluster_header": "x-c"}])], AB),
        calls=[get("/1"), get("/2", {"x-c": "nope"}), get("/3", {"x-c": "s"}), mirrored(), pause(0.1)],
        expect=[status(200, 200, 200), lines("GET /3", upstream="s")],
    ),
    Scenario(
        "mirror_fraction",
        "runtime_fraction draws for each call; 0 % never, 100 % always",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200, "t": 200},
        policy=boot(
            [
                route(prefix="/0", **shadow(runtime_fraction=percent(0))),
                route(prefix="/half", request_mirror_policies=[{"cluster": "t", "runtime_fraction": percent(50)}]),
                route(**shadow(runtime_fraction=percent(100))),
            ],
            [*AB, cluster("t")],
        ),
        calls=[times(10, get("/0")), times(200, get("/half")), times(10, get("/all")), mirrored(10), pause(0.2)],
        expect=[hits(a=220, s=10, t=Between(70, 130))],
    ),
    Scenario(
        "mirror_twice",
        "every policy of the list makes a copy of its own",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200, "t": 200},
        policy=boot(
            [route(request_mirror_policies=[{"cluster": "s"}, {"cluster": "t"}, {"cluster": "s"}])],
            [*AB, cluster("t")],
        ),
        calls=[get("/x"), mirrored(2), mirrored(1, "t"), pause(0.1)],
        expect=[status(200), hits(a=1, s=2, t=1)],
    ),
    Scenario(
        "mirror_once_for_all_tries",
        "a retried call is mirrored once, and the copy is not retried",
        rule="1.6 request_mirror_policies",
        upstreams={"a": [503, 503, 200], "s": 503},
        policy=boot([route(retry_policy=retry("5xx", 2), **TO_S)], AB),
        calls=[get("/x"), mirrored(), pause(0.1)],
        expect=[status(200), hits(a=3, s=1)],
    ),
    Scenario(
        "mirror_retried_by_its_cluster",
        "the shadow cluster's own retry policy holds for copies",
        rule="3.1 HPO.retry_policy",
        upstreams={"a": 200, "s": [503, 503, 200]},
        policy=boot([route(**TO_S)], [cluster("a"), cluster("s", **protocol_options(retry_policy=retry("5xx", 2)))]),
        calls=[get("/x"), mirrored(3)],
        expect=[status(200), hits(a=1, s=3)],
    ),
    Scenario(
        "mirror_without_a_host",
        "a call for which there is no host is not mirrored",
        rule="1.7",
        upstreams={"a": 200, "s": 200},
        policy=boot([route("none", prefix="/none", **TO_S), route(**TO_S)], [*AB, cluster("none", [])]),
        calls=[get("/none"), get("/x"), mirrored(), pause(0.1)],
        expect=[status(503, 200), flags("UH", "-"), lines("GET /x", upstream="s")],
    ),
    Scenario(
        "mirror_of_what_fails",
        "calls that overflow or cannot connect are mirrored all the same",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": 200, "dead": Upstream(kind="refused")},
        policy=boot(
            [route("full", prefix="/full", **TO_S), route("dead", **TO_S)],
            [cluster("full", ["a"], **thresholds(max_requests=0)), cluster("dead"), cluster("s")],
        ),
        calls=[get("/full"), mirrored(), get("/dead"), mirrored(2)],
        expect=[status(503, 503), flags("UO", "UF"), hits(a=0, s=2)],
    ),
    Scenario(
        "mirror_hanging",
        "a shadow that never answers holds nothing up, and is given up at the route's timeout",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": hang()},
        policy=boot([route(timeout="0.4s", **TO_S)], AB),
        calls=[get("/x"), wait_for(lambda run: run.at("s").requests and run.at("s").requests[0].gone is not None)],
        expect=[
            status(200),
            took(0, 0.3),
            sent({"x-envoy-expected-rq-timeout-ms": "400"}, "s"),
            see(
                "given up after",
                lambda run: round((run.at("s").requests[0].gone or 0) - run.at("s").requests[0].arrived, 2),
                Between(0.3, 1.2),
            ),
        ],
    ),
    Scenario(
        "mirror_timeout_of_internal_callers",
        "an internal caller's own timeout bounds the copy, its retries do not concern it",
        rule="1.2, 1.6",
        upstreams={"a": 200, "s": 503},
        policy=boot([route(**TO_S)], AB, manager=INTERNAL),
        calls=[
            get("/x", {"x-envoy-upstream-rq-timeout-ms": "700", "x-envoy-retry-on": "5xx"}),
            mirrored(),
            pause(0.1),
        ],
        expect=[
            status(200),
            sent({"x-envoy-expected-rq-timeout-ms": "700", "x-envoy-retry-on": None}, "s"),
            hits(s=1),
        ],
    ),
    Scenario(
        "mirror_broken",
        "a shadow that breaks off, refuses or answers nonsense changes nothing",
        rule="1.6 request_mirror_policies",
        upstreams={
            "a": 200,
            "s": {
                "/close": close(),
                "/body": close("in body", body="x" * 100, length=200),
                "*": Reply(raw=b"?\r\n\r\n"),
            },
            "dead": Upstream(kind="refused"),
        },
        policy=boot(
            [route(prefix="/dead", request_mirror_policies=[{"cluster": "dead"}]), route(**TO_S)],
            [*AB, cluster("dead")],
        ),
        calls=[get("/close"), get("/body"), get("/raw"), get("/dead"), mirrored(3)],
        expect=[status(200, 200, 200, 200), details(*["via_upstream"] * 4), hits(a=4, s=3)],
    ),
    Scenario(
        "mirror_breakers",
        "copies take their places in the shadow cluster's circuit breakers, and overflow silently",
        rule="1.6, 4",
        upstreams={"a": 200, "s": Reply(delay=0.6)},
        policy=boot([route(**TO_S)], [cluster("a"), cluster("s", **thresholds(max_requests=1))]),
        calls=[get("/1"), mirrored(), get("/2"), get("/3"), pause(0.8), get("/4"), mirrored(2), pause(0.1)],
        expect=[status(200, 200, 200, 200), lines("GET /1", "GET /4", upstream="s")],
    ),
    Scenario(
        "mirror_streams",
        "a body of unknown length reaches the shadow as it is sent, not after it",
        rule="1.6 streamed in parallel",
        upstreams={"a": 200, "s": 200},
        policy=boot([route(**TO_S)], AB),
        calls=[Call("/x", "POST", chunks=[b"abc", b"def"], pause=0.3), mirrored(), pause(0.1)],
        expect=[
            status(200),
            received("abcdef"),
            received("abcdef", upstream="s"),
            see(
                "begun together",
                lambda run: run.at("s").requests[0].arrived - run.at("a").requests[0].arrived,
                Between(-0.2, 0.2),
            ),
            see("chunked", lambda run: run.at("s").requests[0].chunked, True),
        ],
    ),
    Scenario(
        "mirror_beyond_the_buffer",
        "a body beyond the buffer's limit takes retries away, but not the copy",
        rule="3.7",
        upstreams={"a": 503, "s": 200},
        policy=boot(
            [route(retry_policy=retry("5xx", 2), more={"request_body_buffer_limit": 4}, **TO_S)],
            AB,
        ),
        calls=[post("/x", b"12345"), mirrored(), Call("/y", "POST", chunks=[b"123", b"45"]), mirrored(2), pause(0.1)],
        expect=[status(503, 503), hits(a=2, s=2), received("12345", "12345", upstream="s")],
    ),
    Scenario(
        "mirror_many_at_once",
        "many calls at once are each mirrored once",
        rule="1.6 request_mirror_policies",
        upstreams={"a": 200, "s": Reply(delay=0.05)},
        policy=boot([route(**TO_S)], AB),
        calls=[together(get("/x"), count=40), mirrored(40), pause(0.1)],
        expect=[hits(a=40, s=40), status(*[200] * 40)],
    ),
]
