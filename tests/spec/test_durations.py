"""Maximum durations and idle times (semantics 2), through the public transports, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from ambassador_lib import LocalReplyError, PerTryTimeoutError
from ambassador_lib.errors import UpstreamDurationError
from ambassador_lib.upstream.host import HealthFlag

from .documents import Document, options
from .harness import Body, Hang, Spec, bootstrap, story, told

INTERNAL: Document = {"use_remote_address": True, "internal_address_config": {}}
ONE_SECOND: Document = {"max_stream_duration": {"max_stream_duration": "1s"}}
GRPC = {"content-type": "application/grpc"}


def upload(spec: Spec, *, pause: float) -> dict[str, Any]:
    """A request's body whose pieces take their time."""

    def pieces() -> Iterator[bytes]:
        for piece in (b"1", b"2", b"3"):
            spec.clock.advance(pause)
            yield piece

    async def pieces_async() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    return {"content": pieces() if spec.is_blocking else pieces_async()}


def drip(spec: Spec, *, pause: float, pieces: int = 5) -> httpx.Response:
    return httpx.Response(200, stream=Body(*[b"x"] * pieces, on_chunk=lambda: spec.clock.advance(pause)))


def test_a_call_may_last_so_long(spec: Spec) -> None:
    """`max_stream_duration` bounds all tries together; it is told without a flag and retried by nothing."""
    route = {**ONE_SECOND, "retry_policy": {"retry_on": "5xx", "num_retries": 9, "per_try_timeout": "0.4s"}}
    spec.given(bootstrap(route=route), Hang(0.5))
    with pytest.raises(LocalReplyError) as caught:
        spec.get()
    assert (["max_duration_timeout"], []) == ([told(caught.value).details], told(caught.value).flags)
    assert len(told(caught.value).attempts) > 1
    spec.assert_nothing_held()


def test_the_body_is_part_of_it(spec: Spec) -> None:
    """A response that drips for too long breaks off; pieces that came in time are read, however late."""
    spec.given(bootstrap(route=ONE_SECOND), drip(spec, pause=0.4))
    with pytest.raises(LocalReplyError) as caught:
        spec.get()
    assert "max_duration_timeout" == told(caught.value).details
    spec.given(bootstrap(route=ONE_SECOND), httpx.Response(200, stream=Body(b"x")))
    response = spec.get(stream=True)
    spec.clock.advance(5)
    assert b"x" == spec.read(response)
    spec.assert_nothing_held()


def test_the_requests_body_is_part_of_it(spec: Spec) -> None:
    """It runs from the request's head on: 408 while the rest is to come."""
    spec.given(bootstrap(route=ONE_SECOND), 200, local_replies="response")
    response = spec.post(**upload(spec, pause=0.6))
    assert (408, "downstream duration timeout") == (response.status_code, response.text)
    assert "close" == response.headers["connection"]
    spec.assert_nothing_held()


@pytest.mark.parametrize("fields", [{}, {"grpc_timeout_header_max": "1s"}, {"max_stream_duration": "0s"}])
def test_its_presence_switches_the_routes_timeout_off(spec: Spec, fields: Document) -> None:
    """Even an empty one does, and the upstream is not told of a timeout."""
    spec.given(bootstrap(route={"timeout": "1s", "max_stream_duration": fields}), Hang(100))
    assert 200 == spec.get().status_code
    assert "x-envoy-expected-rq-timeout-ms" not in spec.upstream.seen[0].headers


def test_the_managers_counts_where_the_route_says_nothing(spec: Spec) -> None:
    """The route's own 0 is none."""
    manager = {"common_http_protocol_options": {"max_stream_duration": "1s"}}
    spec.given(bootstrap(manager=manager, route={"max_stream_duration": {}}), Hang(2), local_replies="response")
    assert 504 == spec.get().status_code
    own = {"max_stream_duration": {"max_stream_duration": "0s"}}
    spec.given(bootstrap(manager=manager, route=own), Hang(2), local_replies="response")
    assert 200 == spec.get().status_code


def test_a_filters_delay_is_part_of_it(spec: Spec) -> None:
    """A delay is cut at the call's limit, and at the idle timeout."""
    delay = {"fixed_delay": "9s", "percentage": {"numerator": 100}}
    type_ = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }
    filters = [{"name": "envoy.filters.http.fault", "typed_config": {"@type": type_, "delay": delay}}, router]
    for route, details in ((ONE_SECOND, "max_duration_timeout"), ({"idle_timeout": "1s"}, "stream_idle_timeout")):
        spec.given(bootstrap(manager={"http_filters": filters}, route=route), 200)
        before = spec.clock.monotonic()
        with pytest.raises(LocalReplyError) as caught:
            spec.get()
        assert details == told(caught.value).details
        assert 1.0 == pytest.approx(spec.clock.monotonic() - before)
        assert [] == spec.upstream.seen


def test_a_grpc_timeout_counts_where_it_is_wanted(spec: Spec) -> None:
    """The caller gets DEADLINE_EXCEEDED, the upstream is told what is left."""
    fields = {"grpc_timeout_header_max": "3s", "grpc_timeout_header_offset": "0.5s"}
    policy = bootstrap(route={"max_stream_duration": fields})
    spec.given(policy, Hang(2), local_replies="response")
    response = spec.post(headers={**GRPC, "grpc-timeout": "2S"})
    assert "4" == response.headers["grpc-status"]
    assert "1500m" == spec.upstream.seen[0].headers["grpc-timeout"]
    spec.given(policy, Hang(2), local_replies="response")
    assert 200 == spec.get().status_code


def test_max_grpc_timeout_is_a_route_timeout(spec: Spec) -> None:
    """For gRPC requests alone, which may have none of their own."""
    policy = bootstrap(route={"timeout": "9s", "max_grpc_timeout": "1s"})
    spec.given(policy, Hang(2), local_replies="response")
    assert "14" == spec.post(headers=GRPC).headers["grpc-status"]
    assert "1000m" == spec.upstream.seen[0].headers["grpc-timeout"]
    assert 200 == spec.post().status_code


def test_a_try_may_last_so_long(spec: Spec) -> None:
    """The cluster's `max_stream_duration` is retried like a reset."""
    policy = bootstrap(route={"retry_policy": {"retry_on": "reset"}}, cluster=options(max_stream_duration="1s"))
    response = spec.given(policy, Hang(2), 200).get()
    first = story(response).attempts[0]
    assert isinstance(first.error, UpstreamDurationError)
    assert "reset" == first.retried_because
    spec.assert_nothing_held()


def test_its_body_is_part_of_it(spec: Spec) -> None:
    """A response that drips for too long breaks off."""
    spec.given(bootstrap(cluster=options(max_stream_duration="1s")), drip(spec, pause=0.4))
    with pytest.raises(UpstreamDurationError) as caught:
        spec.get()
    assert (["UMSDR"], 504) == (told(caught.value).flags, caught.value.reply.status)
    spec.assert_nothing_held()


def test_an_internal_caller_may_say_how_long(spec: Spec) -> None:
    """`x-envoy-upstream-stream-duration-ms` counts in the cluster's place, 0 for none."""
    policy = bootstrap(manager=INTERNAL, cluster=options(max_stream_duration="1s"))
    spec.given(policy, Hang(2), local_replies="response")
    for value, status in (("0", 200), ("3000", 200), ("500", 504), ("soon", 504)):
        assert status == spec.get(headers={"x-envoy-upstream-stream-duration-ms": value}).status_code


def test_a_try_may_be_idle_so_long(spec: Spec) -> None:
    """`per_try_idle_timeout` starts anew with every piece, and strikes in the body too."""
    policy = bootstrap(route={"retry_policy": {"retry_on": "5xx", "per_try_idle_timeout": "1s"}})
    assert 200 == spec.given(policy, Hang(2), 200).get().status_code
    assert b"xxxxx" == spec.given(policy, drip(spec, pause=0.9)).get().content
    spec.given(policy, drip(spec, pause=1.1))
    with pytest.raises(PerTryTimeoutError) as caught:
        spec.get()
    assert "upstream_per_try_idle_timeout" == told(caught.value).details
    spec.assert_nothing_held()


def test_an_upload_is_not_idle(spec: Spec) -> None:
    """`per_try_idle_timeout` awaits the end of the request."""
    policy = bootstrap(route={"retry_policy": {"per_try_idle_timeout": "1s"}})
    assert 200 == spec.given(policy).post(**upload(spec, pause=2)).status_code


def test_a_request_may_take_so_long_to_come(spec: Spec) -> None:
    """`request_timeout` is over with the request: an answer may be late."""
    policy = bootstrap(manager={"request_timeout": "1s"})
    spec.given(policy, Hang(5), local_replies="response")
    assert [200, 200] == [spec.get().status_code, spec.post(**upload(spec, pause=0.3)).status_code]
    response = spec.post(**upload(spec, pause=0.6))
    assert (408, "request timeout") == (response.status_code, response.text)
    assert "request_overall_timeout" == story(response).details
    spec.assert_nothing_held()


def test_outlier_detection_does_not_hear_of_what_says_nothing_of_the_endpoint(spec: Spec) -> None:
    """A stream that was idle or lasted too long is nobody's fault; an idle try is the endpoint's."""
    detection = {
        "outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100}, **options(max_stream_duration="3s"),
    }  # fmt: skip
    for route, ejected in (
        ({"idle_timeout": "1s"}, False),
        (ONE_SECOND, False),
        ({"timeout": "9s"}, False),
        ({"retry_policy": {"per_try_idle_timeout": "1s"}}, True),
        ({"timeout": "1s"}, True),
    ):
        spec.given(bootstrap(route=route, cluster=detection), Hang(4), local_replies="response")
        assert 504 == spec.get().status_code
        assert ejected == (HealthFlag.FAILED_OUTLIER_CHECK in spec.cluster.hosts[0].flags), route


def test_strict_check_headers_are_an_internal_callers_alone(spec: Spec) -> None:
    """Nonsense in a listed header is 400 IH before anything is tried; others lose the header before it is looked at."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "strict_check_headers": ["x-envoy-max-retries"],
        },
    }
    for manager, status in (({}, 200), (INTERNAL, 400)):
        spec.given(bootstrap(manager={"http_filters": [router], **manager}), 200, local_replies="response")
        response = spec.get(headers={"x-envoy-max-retries": "many"})
        assert status == response.status_code
    assert "invalid header 'x-envoy-max-retries' with value 'many'" == response.text
    assert (["IH"], []) == (story(response).flags, story(response).attempts)


def test_the_guards_of_the_runtime(spec: Spec) -> None:
    """A policy may let 503s say why, and gRPC callers see timeouts as DEADLINE_EXCEEDED."""
    guards = {
        "envoy.reloadable_features.grpc_timeout_returns_deadline_exceeded": True,
        "envoy.reloadable_features.hide_transport_failure_reason_in_response_body": False,
    }
    policy = bootstrap(route={"timeout": "1s"})
    policy["layered_runtime"] = {"layers": [{"name": "static", "static_layer": guards}]}
    spec.given(policy, Hang(2), httpx.ConnectError("Connection refused"), local_replies="response")
    assert "4" == spec.post(headers=GRPC).headers["grpc-status"]
    assert spec.get().text.endswith("remote connection failure, transport failure reason: Connection refused")
