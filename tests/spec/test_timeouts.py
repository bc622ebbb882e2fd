"""Timeouts (semantics 2), through the public transports, in virtual time."""

from __future__ import annotations

import httpx
import pytest

from ambassador_lib import LocalReplyError, PerTryTimeoutError, RouteTimeoutError

from .harness import Body, Hang, Spec, bootstrap, story


def test_the_default_is_fifteen_seconds(spec: Spec) -> None:
    """A route without a timeout has 15 s, and tells the upstream so."""
    spec.given(bootstrap(), Hang(14.9))
    assert 200 == spec.get().status_code
    assert "15000" == spec.upstream.seen[0].headers["x-envoy-expected-rq-timeout-ms"]
    spec.given(bootstrap(), Hang(15.1))
    with pytest.raises(RouteTimeoutError) as caught:
        spec.get()
    assert caught.value.call is not None and caught.value.response is not None
    assert (["UT"], "response_timeout") == (caught.value.call.flags, caught.value.call.details)
    assert (504, "upstream request timeout") == (caught.value.response.status_code, caught.value.response.text)
    spec.assert_nothing_held()


def test_zero_is_none(spec: Spec) -> None:
    """`timeout: 0s` switches the timeout off, and the header with it."""
    spec.given(bootstrap(route={"timeout": "0s"}), Hang(200))
    assert 200 == spec.get().status_code
    assert "x-envoy-expected-rq-timeout-ms" not in spec.upstream.seen[0].headers


def test_per_try_timeout_is_retried_within_the_route_timeout(spec: Spec) -> None:
    """A try that takes too long is given up and made again."""
    policy = bootstrap(route={"timeout": "5s", "retry_policy": {"retry_on": "5xx", "per_try_timeout": "1s"}})
    spec.given(policy, Hang(3), 200)
    response = spec.get()
    assert 200 == response.status_code
    assert [PerTryTimeoutError, 200] == [
        type(attempt.outcome) if isinstance(attempt.outcome, Exception) else attempt.outcome
        for attempt in story(response).attempts
    ]
    assert ["1000", "1000"] == [r.headers["x-envoy-expected-rq-timeout-ms"] for r in spec.upstream.seen]


def test_a_per_try_timeout_not_shorter_than_the_routes_is_ignored(spec: Spec) -> None:
    """The route's timeout decides then."""
    policy = bootstrap(route={"timeout": "1s", "retry_policy": {"retry_on": "5xx", "per_try_timeout": "1s"}})
    with pytest.raises(RouteTimeoutError):
        spec.given(policy, Hang(3), 200).get()


def test_the_body_is_under_the_route_timeout(spec: Spec) -> None:
    """A response that drips beyond the route's timeout breaks off in its body."""
    body = Body(b"1", b"2", b"3", on_chunk=lambda: spec.clock.advance(0.4))
    spec.given(bootstrap(route={"timeout": "1s"}), httpx.Response(200, stream=body))
    with pytest.raises(RouteTimeoutError) as caught:
        spec.get()
    assert caught.value.call is not None
    assert ["UT"] == caught.value.call.flags
    spec.assert_nothing_held()


def test_a_body_cut_by_the_route_timeout_is_a_broken_body_in_response_mode(spec: Spec) -> None:
    """Behind a sidecar a caller sees the body break off, not a timeout."""
    body = Body(b"1", b"2", b"3", on_chunk=lambda: spec.clock.advance(0.4))
    spec.given(bootstrap(route={"timeout": "1s"}), httpx.Response(200, stream=body), local_replies="response")
    with pytest.raises(httpx.RemoteProtocolError):
        spec.get()


def test_the_idle_timeout(spec: Spec) -> None:
    """When nothing moves for `idle_timeout` the stream ends with SI."""
    policy = bootstrap(route={"timeout": "0s", "idle_timeout": "2s"})
    with pytest.raises(LocalReplyError) as caught:
        spec.given(policy, Hang(3)).get()
    assert caught.value.call is not None and caught.value.response is not None
    assert (["SI"], 504) == (caught.value.call.flags, caught.value.response.status_code)


def test_a_dripping_body_is_not_idle(spec: Spec) -> None:
    """Each piece of the body starts the idle timeout anew."""
    body = Body(*[b"x"] * 5, on_chunk=lambda: spec.clock.advance(1.5))
    spec.given(bootstrap(route={"timeout": "0s", "idle_timeout": "2s"}), httpx.Response(200, stream=body))
    assert b"xxxxx" == spec.get().content


def test_the_applications_own_timeout_is_httpxs(spec: Spec) -> None:
    """A `timeout=` of the application's raises httpx's plain timeout, is flagged DC and judges nobody."""
    breaker = {"circuit_breaker": {"minimum_requests": 1}}
    policy = bootstrap(cluster={"metadata": {"filter_metadata": {"ambassador_lib": breaker}}})
    spec.given(policy, Hang(3), 200)
    with pytest.raises(httpx.ReadTimeout) as caught:
        spec.get(timeout=1.0)
    assert type(caught.value) is httpx.ReadTimeout
    assert ["DC"] == caught.value.call.flags  # type: ignore[attr-defined]
    assert 200 == spec.get().status_code
    spec.assert_nothing_held()


def test_httpxs_default_timeout_does_not_apply(spec: Spec) -> None:
    """A plain client's 5 s default is not the application's own word."""
    assert 200 == spec.given(bootstrap(), Hang(6)).get().status_code


def test_an_internal_callers_header_replaces_the_timeout(spec: Spec) -> None:
    """`x-envoy-upstream-rq-timeout-ms` from an internal caller counts, and goes no further."""
    policy = bootstrap(manager={"use_remote_address": True, "internal_address_config": {}})
    spec.given(policy, Hang(1))
    with pytest.raises(RouteTimeoutError):
        spec.get(headers={"x-envoy-upstream-rq-timeout-ms": "500"})
    assert "x-envoy-upstream-rq-timeout-ms" not in spec.upstream.seen[0].headers
    assert "500" == spec.upstream.seen[0].headers["x-envoy-expected-rq-timeout-ms"]


def test_the_alternative_response_to_a_timeout(spec: Spec) -> None:
    """An internal caller may ask for an empty 204 in place of the 504; the flag stays."""
    policy = bootstrap(manager={"use_remote_address": True, "internal_address_config": {}})
    spec.given(policy, Hang(20), local_replies="response")
    response = spec.get(headers={"x-envoy-upstream-rq-timeout-alt-response": "1"})
    assert (204, b"", ["UT"]) == (response.status_code, response.content, story(response).flags)
    assert "content-length" not in response.headers


def test_a_timeouts_reply_can_be_read(spec: Spec) -> None:
    """The 504 of response mode is under no bound of its own."""
    policy = bootstrap(route={"retry_policy": {"per_try_timeout": "1s"}})
    response = spec.given(policy, Hang(2), local_replies="response").get()
    assert (504, "upstream request timeout") == (response.status_code, response.text)
    assert "upstream_per_try_timeout" == story(response).details
    streamed = spec.given(bootstrap(), Hang(20), local_replies="response").get(stream=True)
    assert b"upstream request timeout" == spec.read(streamed)
