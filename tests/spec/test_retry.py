"""Retries (semantics 3), through the public transports, in virtual time."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest
import tenacity

from ambassador_lib import (
    CircuitOpenError,
    PerTryTimeoutError,
    RouteTimeoutError,
    UpstreamConnectError,
    UpstreamResetError,
)
from ambassador_lib.errors import Phase, connection_termination
from ambassador_lib.testing.clock import FakeRandom

from .harness import BASE, Body, Hang, Spec, bootstrap, story


def retrying(retry_on: str, **more: Any) -> dict[str, Any]:
    return bootstrap(route={"retry_policy": {"retry_on": retry_on, **more}})


@pytest.mark.parametrize(
    ("retry_on", "first", "retried"),
    [
        ("5xx", 500, True),
        ("5xx", 404, False),
        ("gateway-error", 502, True),
        ("gateway-error", 500, False),
        ("retriable-4xx", 409, True),
        ("retriable-4xx", 429, False),
        ("connect-failure", 503, False),
        ("5xx", httpx.ConnectError("refused"), True),
        ("connect-failure", httpx.ConnectError("refused"), True),
        ("connect-failure", httpx.ReadError("reset"), False),
        ("reset", httpx.ReadError("reset"), True),
        ("gateway-error", httpx.RemoteProtocolError("garbage"), True),
        ("reset", 503, False),
        ("no-such-condition", 503, False),
    ],
)
def test_conditions(spec: Spec, retry_on: str, first: int | Exception, retried: bool) -> None:
    """Each `retry_on` condition retries what Envoy's does and nothing else."""
    spec.given(retrying(retry_on), first, 200)
    if retried or isinstance(first, int):
        response = spec.get()
        assert (200 if retried else first) == response.status_code
    else:
        with pytest.raises(httpx.TransportError):
            spec.get()
    assert (2 if retried else 1) == len(spec.upstream.seen)
    spec.assert_nothing_held()


def test_the_last_response_comes_through_with_urx(spec: Spec) -> None:
    """When `num_retries` are used up the last response is the application's, flagged URX."""
    spec.given(retrying("5xx", num_retries=2), 503)
    response = spec.get()
    assert 503 == response.status_code
    assert ["URX"] == story(response).flags
    assert [503, 503, 503] == [attempt.outcome for attempt in story(response).attempts]
    assert "num_retries 2 used up" == story(response).attempts[-1].not_retried_because
    spec.assert_nothing_held()


def test_discarded_responses_are_closed(spec: Spec) -> None:
    """The body of a response that is retried is closed, unread, once."""
    spec.given(retrying("5xx", num_retries=2), 503, 502, 200)
    spec.get()
    assert [1, 1] == [body.closed for body in spec.upstream.answers[:2]]


def test_back_off_is_fully_jittered_and_doubles_to_its_maximum(spec: Spec) -> None:
    """Retry n waits a uniform time below min(base * 2^(n-1), max)."""
    policy = retrying("5xx", num_retries=4, retry_back_off={"base_interval": "0.1s", "max_interval": "0.3s"})
    spec.given(policy, 503, random=FakeRandom(*[0.5] * 40))
    spec.get()
    assert [0.05, 0.1, 0.15, 0.15] == spec.clock.sleeps


def test_retry_after_is_waited_for(spec: Spec) -> None:
    """`rate_limited_retry_back_off` waits what the response asks for and up to half as long again."""
    policy = retrying(
        "5xx",
        num_retries=1,
        rate_limited_retry_back_off={"reset_headers": [{"name": "Retry-After", "format": "SECONDS"}]},
    )
    spec.given(policy, httpx.Response(503, headers={"retry-after": "4"}), 200)
    assert 200 == spec.get().status_code
    assert 4 <= spec.clock.sleeps[0] < 6


def test_a_post_is_not_retried_without_an_idempotency_key(spec: Spec) -> None:
    """`retry_safety="idempotent"` takes the retry of a POST away and says so."""
    spec.given(retrying("5xx"), 503, 200)
    response = spec.post(content=b"pay")
    assert 503 == response.status_code
    assert "Idempotency-Key" in str(story(response).attempts[0].not_retried_because)
    assert [] == story(response).flags


def test_a_post_with_an_idempotency_key_is_retried_unchanged(spec: Spec) -> None:
    """The same key and the same body go out on each try."""
    spec.given(retrying("5xx"), 503, 200)
    assert 200 == spec.post(content=b"pay", headers={"Idempotency-Key": "k1"}).status_code
    assert ["k1", "k1"] == [request.headers["idempotency-key"] for request in spec.upstream.seen]
    assert [b"pay", b"pay"] == spec.upstream.bodies


def test_a_post_is_retried_where_the_upstream_cannot_have_started(spec: Spec) -> None:
    """A refused connection is no risk, whatever the method."""
    spec.given(retrying("5xx"), httpx.ConnectError("refused"), 200)
    assert 200 == spec.post(content=b"pay").status_code


@pytest.mark.parametrize(
    ("phase", "retried"),
    [(Phase.NOTHING_SENT, True), (Phase.SENT_IN_PART, False), (Phase.SENT_WHOLE, False), (None, False)],
)
def test_a_post_is_retried_where_nothing_of_it_was_sent(spec: Spec, phase: Phase | None, retried: bool) -> None:
    """A reset tells how far the request had come; where nobody can tell, it may have been sent."""
    reset = connection_termination()
    reset.phase = phase
    spec.given(retrying("reset"), reset, 200)
    if retried:
        assert 200 == spec.post(content=b"pay").status_code
    else:
        with pytest.raises(UpstreamResetError):
            spec.post(content=b"pay")
    assert (2 if retried else 1) == len(spec.upstream.seen)
    spec.assert_nothing_held()


def test_a_post_is_not_retried_after_its_per_try_timeout(spec: Spec) -> None:
    """After a timeout the upstream may be working on it."""
    spec.given(retrying("5xx", per_try_timeout="1s"), Hang(2), 200)
    with pytest.raises(PerTryTimeoutError) as caught:
        spec.post(content=b"pay")
    assert caught.value.call is not None
    assert 1 == len(spec.upstream.seen)


def test_policy_safety_retries_every_method(spec: Spec) -> None:
    """`retry_safety="policy"` is Envoy's own rule."""
    spec.given(retrying("5xx"), 503, 200, retry_safety="policy")
    assert 200 == spec.post(content=b"pay").status_code


def test_a_streamed_body_is_recorded_and_sent_again(spec: Spec) -> None:
    """What was sent of a stream is kept for the next try."""
    spec.given(retrying("5xx"), 503, 200, retry_safety="policy")
    assert 200 == spec.post(content=stream(spec, b"one", b"two")).status_code
    assert [b"onetwo", b"onetwo"] == spec.upstream.bodies


def test_a_streamed_body_beyond_the_buffer_is_not_retried(spec: Spec) -> None:
    """One byte over the limit and retrying is given up; the report says why."""
    policy = bootstrap(
        routes=[
            {
                "match": {"prefix": "/"},
                "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx"}},
                "request_body_buffer_limit": 4,
            }
        ]
    )
    spec.given(policy, 503, 200, retry_safety="policy")
    response = spec.post(content=stream(spec, b"abc", b"de"))
    assert 503 == response.status_code
    assert "replay buffer" in str(story(response).attempts[0].not_retried_because)
    spec.given(policy, 503, 200, retry_safety="policy")
    assert 200 == spec.post(content=stream(spec, b"ab", b"cd")).status_code


def stream(spec: Spec, *chunks: bytes) -> Any:
    if spec.mode == "blocking":
        return iter(chunks)

    async def produce() -> Any:
        for chunk in chunks:
            yield chunk

    return produce()


def test_refused_on_every_try_says_so(spec: Spec) -> None:
    """The reply of a failed retry carries Envoy's words and combined flags."""
    spec.given(retrying("connect-failure", num_retries=1), httpx.ConnectError("refused"))
    with pytest.raises(UpstreamConnectError) as caught:
        spec.get()
    assert caught.value.response is not None and caught.value.call is not None
    assert 503 == caught.value.response.status_code
    assert "retried and the latest reset reason: remote connection failure" in caught.value.response.text
    assert ["URX", "UF"] == caught.value.call.flags


def test_the_route_timeout_cuts_the_back_off(spec: Spec) -> None:
    """When the route's time is over during back-off the call ends there and then."""
    policy = bootstrap(
        route={
            "timeout": "1s",
            "retry_policy": {"retry_on": "5xx", "num_retries": 5, "retry_back_off": {"base_interval": "10s"}},
        }
    )
    spec.given(policy, 503, random=FakeRandom(*[0.9] * 20))
    started = spec.clock.monotonic()
    with pytest.raises(RouteTimeoutError):
        spec.get()
    assert 1 == pytest.approx(spec.clock.monotonic() - started)
    spec.assert_nothing_held()


def test_max_retries_bounds_concurrent_retries(spec: Spec) -> None:
    """With `max_retries: 0` a retriable outcome is passed on, flagged UO."""
    policy = bootstrap(
        route={"retry_policy": {"retry_on": "5xx"}},
        cluster={"circuit_breakers": {"thresholds": [{"max_retries": 0}]}},
    )
    response = spec.given(policy, 503, 200).get()
    assert 503 == response.status_code
    assert ["UO"] == story(response).flags
    assert "x-envoy-overloaded" not in response.headers


def test_the_applications_strategies_are_combined(spec: Spec) -> None:
    """Both must want the retry, the longer wait and the earlier stop win."""
    retry = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_fixed(7), retry=tenacity.retry_always
    )
    response = spec.given(retrying("5xx", num_retries=9), 503, retry=retry).get()
    assert 503 == response.status_code
    assert [7] == spec.clock.sleeps
    assert "the application's retry= stops" == story(response).attempts[-1].not_retried_because


def test_a_policys_retries_take_nothing_of_tenacity() -> None:
    """It is for applications that bring it: its import would hold the event loop up in the first try that fails."""
    code = f"""
import sys
import httpx
from ambassador_lib import Client
from ambassador_lib.testing.clock import FakeClock

answers = iter([503, 200])
upstream = httpx.MockTransport(lambda request: httpx.Response(next(answers)))
with Client({retrying("5xx")!r}, transport=upstream, clock=FakeClock()) as client:
    assert client.get({BASE!r}).status_code == 200
print([name for name in sys.modules if name.partition(".")[0] == "tenacity"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "[]\n", ran.stderr


def test_a_response_to_an_internal_callers_headers(spec: Spec) -> None:
    """Retry headers count only from an internal address; nobody is internal unless the policy says so."""
    headers = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}
    spec.given(bootstrap(), 503)
    assert 503 == spec.get(headers=headers).status_code
    assert 1 == len(spec.upstream.seen)
    assert "x-envoy-retry-on" not in spec.upstream.seen[0].headers
    spec.given(bootstrap(manager={"use_remote_address": True, "internal_address_config": {}}), 503)
    spec.get(headers=headers)
    assert 4 == len(spec.upstream.seen)
    assert "x-envoy-max-retries" not in spec.upstream.seen[0].headers


def test_attempt_counts(spec: Spec) -> None:
    """`include_request_attempt_count` and its twin for responses count the tries."""
    vhost = {"include_request_attempt_count": True, "include_attempt_count_in_response": True}
    spec.given(bootstrap(route={"retry_policy": {"retry_on": "5xx", "num_retries": 2}}, vhost=vhost), 503, 503, 200)
    response = spec.get()
    assert ["1", "2", "3"] == [request.headers["x-envoy-attempt-count"] for request in spec.upstream.seen]
    assert "3" == response.headers["x-envoy-attempt-count"]


def test_no_retry_once_the_head_was_passed_on(spec: Spec) -> None:
    """A body that breaks off is the application's to see."""
    broken = httpx.Response(200, stream=Body(b"part", error=httpx.ReadError("reset")))
    spec.given(retrying("5xx,reset"), broken, 200)
    with pytest.raises(httpx.TransportError):
        spec.get()
    assert 1 == len(spec.upstream.seen)
    spec.assert_nothing_held()


def test_a_breaker_that_opens_between_tries_ends_the_call(spec: Spec) -> None:
    """A retry goes through the breaker like any try."""
    breaker = {"circuit_breaker": {"minimum_requests": 1}}
    policy = bootstrap(
        route={"retry_policy": {"retry_on": "5xx", "num_retries": 3}},
        cluster={"metadata": {"filter_metadata": {"ambassador_lib": breaker}}},
    )
    with pytest.raises(CircuitOpenError) as caught:
        spec.given(policy, 503).get()
    assert caught.value.call is not None
    assert [503] == [attempt.outcome for attempt in caught.value.call.attempts]
    spec.assert_nothing_held()


@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("PUT", 1)])
def test_retriable_request_headers_may_name_the_method(spec: Spec, method: str, tries: int) -> None:
    """`:method` is a header to match on: the usual way to retry reads only."""
    only_gets = [{"name": ":method", "string_match": {"exact": "GET"}}]
    spec.given(retrying("5xx", retriable_request_headers=only_gets), 503, 200)
    spec.request(method)
    assert tries == len(spec.upstream.seen)


def test_retriable_headers_may_name_the_status(spec: Spec) -> None:
    """`:status` of a response can be matched like a header."""
    matcher = [{"name": ":status", "string_match": {"exact": "418"}}]
    spec.given(retrying("retriable-headers", retriable_headers=matcher), 418, 200)
    assert 200 == spec.get().status_code


def test_a_body_beyond_the_buffer_is_not_retried(spec: Spec) -> None:
    """The limit holds for a body at hand as for a streamed one (semantics 3.7)."""
    action = {"cluster": "c", "retry_policy": {"retry_on": "5xx"}}
    policy = bootstrap(routes=[{"match": {"prefix": "/"}, "route": action, "request_body_buffer_limit": 4}])
    assert 503 == spec.given(policy, 503, 200).request("PUT", content=b"12345").status_code
    assert 200 == spec.given(policy, 503, 200).request("PUT", content=b"1234").status_code


def test_a_stop_alone_says_nothing_of_which_outcomes(spec: Spec) -> None:
    """tenacity's default predicate wants exceptions only; who gave none leaves that to the policy."""
    retry = tenacity.Retrying(stop=tenacity.stop_after_attempt(3))
    response = spec.given(retrying("5xx", num_retries=9), 503, retry=retry).get()
    assert 3 == len(story(response).attempts)


def test_an_empty_idempotency_key_is_none(spec: Spec) -> None:
    """Nothing can be recognised by it."""
    spec.given(retrying("5xx"), 503, 200)
    assert 503 == spec.post(headers={"Idempotency-Key": ""}).status_code
