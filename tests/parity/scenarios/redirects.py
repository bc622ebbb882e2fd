"""Internal redirects (semantics 1.6, `internal_redirect_policy`)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, direct, header, http_filter, retry, route, typed, virtual_host
from ..look import bodies, body, flags, got, hits, lines, received, see, sent, sent_each, status
from ..model import Call, Scenario, get, post, wait_for
from ..upstreams.replies import Reply

RULE = "1.6 internal_redirect_policy"


def to(location: str | None, status: int = 302, **fields: Any) -> Reply:
    headers = [("x-copy", "theirs")] + ([] if location is None else [("location", location)])
    return Reply(status, headers, body="redirect", **fields)


def predicate(kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": kind, "typed_config": typed(f"extensions.internal_redirect.{kind}", **fields)}


SAFE = "safe_cross_scheme.v3.SafeCrossSchemeConfig"
ALLOWED = "allow_listed_routes.v3.AllowListedRoutesConfig"
PREVIOUS = "previous_routes.v3.PreviousRoutesConfig"

ELSEWHERE = virtual_host(
    route("b", prefix="/final", more={"name": "final"}),
    direct(201, "direct", prefix="/direct"),
    route(
        "a",
        prefix="/again",
        more={"name": "again"},
        internal_redirect_policy={"max_internal_redirects": 9},
    ),
    name="b",
    domains=["b.test", "b.test:99"],
    include_attempt_count_in_response=True,
)
FINAL = "http://b.test/final"


def follow(policy: dict[str, Any] | None = None, *, prefix: str = "/", **fields: Any) -> dict[str, Any]:
    return route("a", prefix=prefix, internal_redirect_policy=policy or {}, **fields)


def scenario(
    name: str,
    summary: str,
    answers: Any,
    calls: list[Any],
    *expect: Any,
    routes: list[Any] | None = None,
    host: dict[str, Any] | None = None,
    **more: Any,
) -> Scenario:
    """The upstream `a` redirects, mostly to `b`, which has a virtual host of its own."""
    return Scenario(
        name,
        summary,
        rule=RULE,
        upstreams={"a": answers, "b": Reply(body="b")},
        policy=boot(
            hosts=[ELSEWHERE, virtual_host(*(routes or [follow()]), **(host or {}))],
            clusters=[cluster("a"), cluster("b")],
            **more,
        ),
        calls=calls,
        expect=list(expect),
    )


SCENARIOS = [
    scenario(
        "internal_redirect",
        "a 302 to an absolute URL is followed by its own route, with the new host and path",
        to("http://b.test:99/final?q=1"),
        [get("/x?y=1", {"host": "h.test:8", "x-own": "1"})],
        status(200),
        body("b"),
        hits(a=1, b=1),
        lines("GET /final?q=1", upstream="b"),
        sent({"host": "b.test:99", "x-own": "1", "x-envoy-original-url": "http://h.test:8/x?y=1"}, "b"),
        got({"location": None}),
        flags("-"),
    ),
    scenario(
        "internal_redirect_same_id",
        "the second request has the first one's id, and headers that the first route added",
        to(FINAL),
        [get("/x")],
        status(200),
        see(
            "the same x-request-id",
            lambda run: (
                run.at("a").requests[0].header("x-request-id") == run.at("b").requests[0].header("x-request-id")
            ),
            True,
        ),
        sent({"x-added": "1"}, "b"),
        got({"x-first": None}),
        routes=[
            follow(
                more={
                    "request_headers_to_add": [header("x-added", "1")],
                    "response_headers_to_add": [header("x-first", "1")],
                }
            )
        ],
    ),
    scenario(
        "internal_redirect_after_rewrites",
        "the original URL is what the first upstream saw of it",
        to(FINAL),
        [get("/x?y=1", {"host": "h.test"})],
        status(200),
        sent(
            {
                "x-envoy-original-url": "http://w.test/q?y=1",
                "x-envoy-original-path": "/x?y=1",
                "x-envoy-original-host": "h.test",
            },
            "b",
        ),
        routes=[follow(prefix="/x", prefix_rewrite="/q", host_rewrite_literal="w.test")],
    ),
    scenario(
        "internal_redirect_not_followed",
        "a relative or missing location, another status, another scheme, no route for it: the redirect is the answer",
        [to("/final"), to(None), to(FINAL, 301), to("https://b.test/final"), to("http://b.test/nowhere"), to("b.test")],
        [get("/1"), get("/2"), get("/3"), get("/4"), get("/5"), get("/6")],
        status(302, 302, 301, 302, 302, 302),
        hits(a=6, b=0),
        got({"location": "http://b.test/nowhere"}, 4),
        flags(*["-"] * 6),
    ),
    scenario(
        "internal_redirect_without_policy",
        "without a policy redirects are the application's",
        to(FINAL),
        [get("/x")],
        status(302),
        hits(a=1, b=0),
        routes=[route("a")],
    ),
    scenario(
        "internal_redirect_codes",
        "redirect_response_codes: 301, 307 and 308 keep method and body, 303 makes a GET of it; 302 is not in the list",
        [to(FINAL, 301), to(FINAL, 302), to(FINAL, 303), to(FINAL, 307), to(FINAL, 308)],
        [post(f"/{number}", b"body") for number in range(5)],
        status(200, 302, 200, 200, 200),
        lines("POST /final", "GET /final", "POST /final", "POST /final", upstream="b"),
        received("body", "", "body", "body", upstream="b"),
        sent({"content-length": None}, "b", 1),
        routes=[follow({"redirect_response_codes": [301, 303, 307, 308]})],
    ),
    scenario(
        "internal_redirect_no_such_code",
        "codes that are no redirects are passed over, and 302 does not come back",
        [to(FINAL), to(FINAL, 404)],
        [get("/1"), get("/2")],
        status(302, 404),
        hits(b=0),
        routes=[follow({"redirect_response_codes": [404]})],
    ),
    scenario(
        "internal_redirect_303_head",
        "a 303 leaves GET and HEAD as they are",
        to(FINAL, 303),
        [Call("/x", "HEAD"), get("/y")],
        status(200, 200),
        lines("HEAD /final", "GET /final", upstream="b"),
        routes=[follow({"redirect_response_codes": [303]})],
    ),
    scenario(
        "internal_redirect_maximum",
        "max_internal_redirects counts all that the call was sent to, by the policy of the route that it is on",
        {"/0": to(FINAL), "/1": to("http://b.test/again"), "/2": to("http://h.test/2"), "/again": to(FINAL)},
        [get("/0"), get("/1"), get("/2")],
        status(302, 200, 302),
        bodies("redirect", "b", "redirect"),
        lines("GET /0", "GET /1", "GET /again", "GET /2", "GET /2", "GET /2"),
        sent_each("x-envoy-original-url", "http://b.test/again", upstream="b"),
        routes=[
            follow({"max_internal_redirects": 0}, prefix="/0"),
            follow({"max_internal_redirects": 2}, prefix="/2"),
            follow(),
        ],
    ),
    scenario(
        "internal_redirect_cross_scheme",
        "allow_cross_scheme_redirect follows to https; safe_cross_scheme takes that back",
        to("https://b.test/final"),
        [get("/cross"), get("/safe")],
        status(200, 302),
        hits(b=1),
        sent({"x-forwarded-proto": "http"}, "b"),
        routes=[
            follow({"allow_cross_scheme_redirect": True}, prefix="/cross"),
            follow({"allow_cross_scheme_redirect": True, "predicates": [predicate(SAFE)]}),
        ],
    ),
    scenario(
        "internal_redirect_allowed_routes",
        "allow_listed_routes follows to routes of these names only",
        to(FINAL),
        [get("/yes"), get("/no"), get("/none")],
        status(200, 302, 302),
        routes=[
            follow({"predicates": [predicate(ALLOWED, allowed_route_names=["x", "final"])]}, prefix="/yes"),
            follow({"predicates": [predicate(ALLOWED)]}, prefix="/none"),
            follow({"predicates": [predicate(ALLOWED, allowed_route_names=["x"])]}),
        ],
    ),
    scenario(
        "internal_redirect_previous_routes",
        "previous_routes follows a route's redirect to another route once",
        to("http://h.test/loop"),
        [get("/loop")],
        status(302),
        hits(a=2),
        routes=[follow({"max_internal_redirects": 5, "predicates": [predicate(PREVIOUS)]}, more={"name": "loop"})],
    ),
    scenario(
        "internal_redirect_headers_to_copy",
        "response_headers_to_copy go into the next request; those that are missing there are taken out",
        to(FINAL),
        [get("/x", {"x-copy": "mine", "x-missing": "1", "x-other": "2"})],
        status(200),
        sent({"x-copy": "theirs", "x-missing": None, "x-other": "2"}, "b"),
        routes=[follow({"response_headers_to_copy": ["x-copy", "x-missing"]})],
    ),
    scenario(
        "internal_redirect_streamed_body",
        "a streamed body is sent again as a whole, chunked as it was",
        to(FINAL, 307),
        [Call("/x", "POST", chunks=[b"abc", b"def"], pause=0.1)],
        status(200),
        received("abcdef", upstream="b"),
        see("chunked", lambda run: run.at("b").requests[0].chunked, True),
        routes=[follow({"redirect_response_codes": [307]})],
    ),
    scenario(
        "internal_redirect_body_too_long",
        "a body beyond the buffer's limit cannot be sent again: the redirect is the answer",
        to(FINAL, 307),
        [post("/x", b"12345"), post("/y", b"1234"), Call("/z", "POST", chunks=[b"123", b"45"])],
        status(307, 200, 307),
        received("1234", upstream="b"),
        routes=[follow({"redirect_response_codes": [307]}, more={"request_body_buffer_limit": 4})],
    ),
    scenario(
        "internal_redirect_to_an_answer",
        "the new route may answer by itself",
        to("http://b.test/direct"),
        [get("/x")],
        status(201),
        body("direct"),
        hits(b=0),
    ),
    scenario(
        "internal_redirect_counts_anew",
        "tries are counted anew",
        {"/x": [to(FINAL), to(FINAL)]},
        [get("/x")],
        status(200),
        hits(a=2, b=1),
        got({"x-envoy-attempt-count": "1"}),
        routes=[
            follow(retry_policy=retry("retriable-status-codes", 1, retriable_status_codes=[302])),
        ],
        host={"include_attempt_count_in_response": True},
    ),
    Scenario(
        "internal_redirect_timeouts_anew",
        "the second request has the whole timeout of its own route, and its own headers' overrides are spent",
        rule=RULE,
        upstreams={"a": to("http://b.test/final", delay=0.3), "b": Reply(delay=0.6)},
        policy=boot(
            hosts=[
                virtual_host(route("b", timeout="1.2s"), name="b", domains=["b.test"]),
                virtual_host(follow(timeout="0.8s")),
            ],
            clusters=[cluster("a"), cluster("b")],
            manager=INTERNAL,
        ),
        calls=[get("/x", {"x-envoy-upstream-rq-timeout-ms": "750"})],
        expect=[
            status(200),
            sent({"x-envoy-expected-rq-timeout-ms": "750", "x-envoy-internal": "true"}),
            sent({"x-envoy-expected-rq-timeout-ms": "1200", "x-envoy-internal": "true"}, "b"),
        ],
    ),
    Scenario(
        "internal_redirect_filters_again",
        "the filters see the second request as a new one, with what they did to the first",
        rule=RULE,
        upstreams={"a": to(FINAL), "b": 200},
        policy=boot(
            hosts=[ELSEWHERE, virtual_host(follow())],
            clusters=[cluster("a"), cluster("b")],
            filters=[
                http_filter(
                    "header_mutation",
                    "header_mutation.v3.HeaderMutation",
                    mutations={
                        "request_mutations": [{"append": header("x-path", "%REQ(:path)%")}],
                        "response_mutations": [{"append": header("x-back", "1")}],
                    },
                )
            ],
        ),
        calls=[get("/x")],
        expect=[
            status(200),
            sent({"x-path": "/x"}),
            sent({"x-path": ["/x", "/final"]}, "b"),
            got({"x-back": "1"}),
        ],
    ),
    Scenario(
        "internal_redirect_and_mirror",
        "each request is mirrored as its own route says",
        rule=RULE,
        upstreams={"a": to(FINAL), "b": 200, "s": 200},
        policy=boot(
            hosts=[ELSEWHERE, virtual_host(follow(request_mirror_policies=[{"cluster": "s"}]))],
            clusters=[cluster("a"), cluster("b"), cluster("s")],
        ),
        calls=[get("/x"), wait_for(lambda run: len(run.at("s").requests) >= 1)],
        expect=[status(200), hits(a=1, b=1, s=1), lines("GET /x", upstream="s")],
    ),
    scenario(
        "internal_redirect_old_fields",
        "internal_redirect_action and max_internal_redirects count where there is no policy",
        to(FINAL),
        [get("/on"), get("/zero"), get("/alone"), get("/off"), get("/both")],
        status(200, 302, 302, 302, 302),
        hits(b=1),
        routes=[
            route("a", prefix="/on", internal_redirect_action="HANDLE_INTERNAL_REDIRECT"),
            route("a", prefix="/zero", internal_redirect_action="HANDLE_INTERNAL_REDIRECT", max_internal_redirects=0),
            route("a", prefix="/alone", max_internal_redirects=3),
            route("a", prefix="/off", internal_redirect_action="PASS_THROUGH_INTERNAL_REDIRECT"),
            follow({"max_internal_redirects": 0}, internal_redirect_action="HANDLE_INTERNAL_REDIRECT"),
        ],
    ),
]
