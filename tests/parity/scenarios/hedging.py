"""Hedging (semantics 3.8)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, outlier, retry, route, thresholds
from ..expect import Between, OneOf
from ..look import bodies, body, details, flags, got, hits, received, see, sent_each, status, took
from ..model import Call, Scenario, get, pause, post, together
from ..upstreams.replies import Reply, close, hang

HEDGE = {"hedge_on_per_try_timeout": True}
TRIES = {
    "include_request_attempt_count": True,
    "include_attempt_count_in_response": True,
    "include_is_timeout_retry_header": True,
}


def hedged(
    on: str = "5xx", retries: int = 1, *, timeout: str = "1.2s", after: str = "0.2s", **fields: Any
) -> dict[str, Any]:
    """A route that hedges after 0.2 s."""
    policy = retry(on, retries, per_try_timeout=after, **fields)
    return route(hedge_policy=HEDGE, retry_policy=policy, timeout=timeout)


def late(delay: float, status: int = 200, text: str | None = None) -> Reply:
    return Reply(status, delay=delay, body=text)


def _gone(request: int) -> Any:
    """Whether the try was broken off before its answer."""
    return lambda run: run.at("a").requests[request].gone is not None


def scenario(
    name: str, summary: str, replies: list[Any], *expect: Any, on: str = "5xx", retries: int = 1, **fields: Any
) -> Scenario:
    """One call to a hedged route, and what its tries are answered."""
    return Scenario(
        name,
        summary,
        rule="3.8",
        upstreams={"a": replies},
        policy=boot([hedged(on, retries, **fields)], host=TRIES),
        calls=[get("/x"), pause(0.1)],
        expect=list(expect),
    )


SCENARIOS = [
    scenario(
        "hedge_second_wins",
        "at the per-try timeout another try is started; it answers first, the first one is broken off",
        [hang(), Reply(body="two")],
        status(200),
        body("two"),
        took(0.2, 1),
        hits(a=2),
        see("the first is broken off", _gone(0), True),
        got({"x-envoy-attempt-count": "2"}),
        flags("-"),
    ),
    scenario(
        "hedge_first_wins",
        "the first try answers after its time, before the second does, and wins",
        [late(0.75, text="one"), hang()],
        status(200),
        body("one"),
        took(0.7, 2),
        see("the second is broken off", _gone(1), True),
        got({"x-envoy-attempt-count": "2"}),
        flags("-"),
        timeout="3s",
        after="0.5s",  # busy machines: what is late must come before the second try's time is over, too
    ),
    scenario(
        "hedge_headers",
        "tries tell the route's timeout, their number, and that a timeout brought them about",
        [hang(), late(0.05, 503), 200],
        status(200),
        sent_each("x-envoy-attempt-count", "1", "2", "3"),
        sent_each("x-envoy-is-timeout-retry", None, "true", "false"),
        see(
            "x-envoy-expected-rq-timeout-ms",
            lambda run: [int(request.header("x-envoy-expected-rq-timeout-ms")) for request in run.at("a").requests],
            [1200, Between(700, 1000), Between(500, 950)],
        ),
        retries=2,
    ),
    scenario(
        "hedge_bad_first_is_dropped",
        "a bad answer of the first try is dropped while the second is pending; its good one counts",
        [late(0.35, 503), late(0.35, text="two")],
        status(200),
        body("two"),
        hits(a=2),
    ),
    scenario(
        "hedge_bad_second_is_dropped",
        "a bad answer of the last try is dropped while the first is pending; the first one counts",
        [late(0.5, text="one"), late(0.05, 503)],
        status(200),
        body("one"),
        flags("URX"),
        details("via_upstream"),
    ),
    scenario(
        "hedge_all_bad",
        "where all answers are bad the last one that came is the call's",
        [late(0.5, 503, "one"), late(0.05, 500, "two")],
        status(503),
        body("one"),
        took(0.5, 1.1),
        flags("URX"),
        got({"x-envoy-attempt-count": "2"}),
    ),
    scenario(
        "hedge_not_retriable_wins",
        "an answer that no condition retries wins, whatever it says",
        [late(0.35, 404, "one"), hang()],
        status(404),
        body("one"),
        flags("-"),
    ),
    scenario(
        "hedge_broken_off_is_dropped",
        "a try that breaks off is dropped while another one is pending",
        [late(0.5, text="one"), close()],
        status(200),
        body("one"),
        hits(a=2),
        flags("URX"),
    ),
    scenario(
        "hedge_both_broken_off",
        "tries that all break off end as the last one did",
        [close(delay=0.35), close(delay=0.1)],
        status(503),
        body(
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
            "connection termination"
        ),
        flags("UC,URX"),
        took(0.3, 1.1),
    ),
    scenario(
        "hedge_bad_then_broken_off",
        "a bad answer that was dropped does not come back when the last pending try breaks off",
        [close(delay=0.5), late(0.05, 503)],
        status(503),
        flags("UC,URX"),
        took(0.5, 1.1),
    ),
    scenario(
        "hedge_none_answers",
        "tries that never answer end at the route's timeout, all broken off",
        [hang()],
        status(504),
        hits(a=2),
        took(1.1, 2),
        flags("URX,UT"),
        details("response_timeout"),
        see("both are broken off", lambda run: [_gone(0)(run), _gone(1)(run)], [True, True]),
    ),
    scenario(
        "hedge_last_try_has_time",
        "the last try's own timeout starts nothing more: it goes on until the route's",
        [hang(), late(0.5, text="two")],
        status(200),
        body("two"),
        hits(a=2),
        flags("URX"),
    ),
    scenario(
        "hedge_chain",
        "the second try's timeout starts a third one beside both",
        [hang(), hang(), Reply(body="three")],
        status(200),
        body("three"),
        hits(a=3),
        took(0.4, 1.1),
        flags("-"),
        retries=2,
    ),
    scenario(
        "hedge_any_condition",
        "the timeout is retried under any condition",
        [hang(), Reply(body="two")],
        status(200),
        body("two"),
        on="connect-failure",
    ),
    scenario(
        "hedge_bad_answer_without_its_condition",
        "what the condition does not retry wins, though another try is pending",
        [hang(), late(0.05, 503)],
        status(503),
        flags("-"),
        see("the first is broken off", _gone(0), True),
        on="connect-failure",
    ),
    scenario(
        "hedge_no_retries_left",
        "with num_retries 0 the try goes on alone beyond its timeout",
        [late(0.4, text="one")],
        status(200),
        body("one"),
        hits(a=1),
        flags("URX"),
        retries=0,
    ),
    Scenario(
        "hedge_without_conditions",
        "without retry_on nothing is started, and nothing broken off",
        rule="3.8",
        upstreams={"a": late(0.4)},
        policy=boot([route(hedge_policy=HEDGE, retry_policy={"per_try_timeout": "0.2s"}, timeout="1s")]),
        calls=[get("/x")],
        expect=[status(200), hits(a=1), flags("-"), took(0.4, 0.9)],
    ),
    Scenario(
        "hedge_back_off",
        "the next try waits its back-off first; an answer meanwhile wins and takes it back",
        rule="3.8",
        upstreams={"a": [late(0.3, text="one"), 503, 200]},
        policy=boot(
            [hedged(timeout="9s", retry_back_off={"base_interval": "1s", "max_interval": "1s"})],
            [cluster("a", **thresholds(max_retries=1))],
        ),
        calls=[get("/x"), get("/y")],
        expect=[
            status(200, 200),
            bodies("one", "a"),
            hits(a=3),
        ],
    ),
    Scenario(
        "hedge_no_place",
        "where the cluster's retries are used up the try goes on alone",
        rule="3.8, 3.5",
        upstreams={"a": late(0.4)},
        policy=boot([hedged()], [cluster("a", **thresholds(max_retries=0))]),
        calls=[get("/x")],
        expect=[status(200), hits(a=1), flags("UO")],
    ),
    Scenario(
        "hedge_of_the_host",
        "the virtual host's policy holds where the route has none; the route's own takes its place",
        rule="3.8 route > vhost",
        upstreams={"a": [hang(), Reply(body="two"), hang(), Reply(body="four")]},
        policy=boot(
            [
                route(prefix="/off", hedge_policy={}, retry_policy=retry("5xx", 1, per_try_timeout="0.2s")),
                route(retry_policy=retry("5xx", 1, per_try_timeout="0.2s"), timeout="4s"),
            ],
            host={"hedge_policy": HEDGE},
        ),
        calls=[get("/off"), get("/on")],
        expect=[
            status(200, 200),
            bodies("two", "four"),
            # A busy Envoy goes by the time at which its loop last looked: a bit more than 3800 is left then.
            sent_each("x-envoy-expected-rq-timeout-ms", "200", "200", "4000", OneOf(*map(str, range(2500, 3851)))),
        ],
    ),
    Scenario(
        "hedge_header",
        "an internal caller's header decides: true and false in lower case, anything else says nothing",
        rule="3.8 x-envoy-hedge-on-per-try-timeout",
        upstreams={"a": lambda request: Reply(body=str(request.of_path), delay=0.0 if request.of_path > 1 else 0.35)},
        policy=boot(
            [
                route(prefix="/on", hedge_policy=HEDGE, retry_policy=retry(per_try_timeout="0.2s"), timeout="1s"),
                route(retry_policy=retry(per_try_timeout="0.2s"), timeout="1s"),
            ],
            manager=INTERNAL,
        ),
        calls=[
            get("/off/1", {"x-envoy-hedge-on-per-try-timeout": "true"}),
            get("/off/2", {"x-envoy-hedge-on-per-try-timeout": "TRUE"}),
            get("/on/3", {"x-envoy-hedge-on-per-try-timeout": "false"}),
            get("/on/4", {"x-envoy-hedge-on-per-try-timeout": "0"}),
        ],
        expect=[
            status(200, 200, 200, 200),
            hits(a=8),
            see(
                "what the first tries were told",
                lambda run: [
                    request.header("x-envoy-expected-rq-timeout-ms")
                    for request in run.at("a").requests
                    if request.of_path == 1
                ],
                ["1000", "200", "200", "1000"],
            ),
            sent_each("x-envoy-hedge-on-per-try-timeout", *[None] * 8),
        ],
    ),
    Scenario(
        "hedge_body",
        "the request's body goes along with every try",
        rule="3.8, 3.7",
        upstreams={"a": [hang(), 200]},
        policy=boot([hedged()]),
        calls=[post("/x", b"hello")],
        expect=[status(200), received("hello", "hello")],
    ),
    Scenario(
        "hedge_streamed_body",
        "a streamed body is sent again from its buffer; the per-try timeout starts when it has ended",
        rule="3.8, 3.7",
        upstreams={"a": [hang(), 200]},
        policy=boot([hedged()]),
        calls=[Call("/x", "POST", chunks=[b"abc", b"def"], pause=0.3)],
        expect=[status(200), received("abcdef", "abcdef"), took(0.4, 1.5)],
    ),
    Scenario(
        "hedge_body_too_long",
        "a body beyond the buffer's limit is not sent again: the try goes on alone",
        rule="3.8, 3.7",
        upstreams={"a": late(0.4)},
        policy=boot([{**hedged(), "request_body_buffer_limit": 4}]),
        calls=[post("/x", b"12345")],
        expect=[status(200), hits(a=1)],
    ),
    Scenario(
        "hedge_other_host",
        "the second try is balanced anew, to the other host",
        rule="3.8, 3.6",
        upstreams={"a": late(0.6), "b": late(0.6)},
        policy=boot([hedged()], [cluster("a", ["a", "b"])]),
        calls=[get("/x")],
        expect=[status(200), hits(a=1, b=1)],
    ),
    Scenario(
        "hedge_ejects_the_slow",
        "a per-try timeout counts against its host, though its answer may come later",
        rule="3.8, 5",
        upstreams={"a": late(0.4), "b": Reply(body="b")},
        policy=boot(
            [hedged()],
            [
                cluster(
                    "a",
                    ["a", "b"],
                    **outlier(
                        split_external_local_origin_errors=True,
                        consecutive_local_origin_failure=1,
                        enforcing_consecutive_local_origin_failure=100,
                    ),
                )
            ],
        ),
        calls=[get("/1"), get("/2"), pause(1.3), get("/3"), get("/4"), get("/5"), get("/6")],
        expect=[status(*[200] * 6), hits(a=1, b=OneOf(6, 7))],
    ),
    Scenario(
        "hedge_many_at_once",
        "many hedged calls at once each get one answer",
        rule="3.8",
        upstreams={"a": lambda request: Reply(body="x") if request.number % 4 else hang()},
        policy=boot([hedged(retries=3, timeout="3s")], [cluster("a", **thresholds(max_retries=100))]),
        calls=[together(get("/x"), count=20)],
        expect=[status(*[200] * 20)],
    ),
]
