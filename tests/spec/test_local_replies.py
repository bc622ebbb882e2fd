"""Replies that the sidecar would make itself (semantics 12): as exceptions, as responses, and common to both."""

from __future__ import annotations

import copy
import pickle
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorError, CircuitOpenError, UpstreamResetError

from .documents import bootstrap, breaker
from .failures import FAILURES, Failure
from .harness import Body, Spec, story, told

every_failure = pytest.mark.parametrize("failure", FAILURES, ids=str)
SENT = {"my_header": "makes one of the failures"}
PATH = "/a%00b"


def provoke(spec: Spec, failure: Failure, method: str = "GET", **arguments: Any) -> httpx.Response:
    headers = {**SENT, **arguments.pop("headers", {})}
    return spec.request(method, PATH, headers=headers, **arguments)


def raised(spec: Spec, failure: Failure, method: str = "GET", **arguments: Any) -> AmbassadorError:
    with pytest.raises(failure.error) as caught:
        provoke(spec.given(failure.policy, failure.step), failure, method, **arguments)
    return caught.value


def replied(spec: Spec, failure: Failure, method: str = "GET", **arguments: Any) -> httpx.Response:
    spec.given(failure.policy, failure.step, local_replies="response")
    return provoke(spec, failure, method, **arguments)


@every_failure
def test_a_failure_is_the_exception_that_existing_code_catches(spec: Spec, failure: Failure) -> None:
    """Its class is the contract's and httpx's, its request is there, and its text is one readable line."""
    error = raised(spec, failure)
    assert isinstance(error, failure.base)
    assert isinstance(error, AmbassadorError)
    assert isinstance(error, httpx.TransportError)
    assert "GET" == error.request.method
    assert f"GET http://127.0.0.1:15001{PATH} -> {failure.status}" in str(error)
    assert "\n" not in str(error)
    spec.assert_nothing_held()


@every_failure
def test_a_failure_tells_its_story(spec: Spec, failure: Failure) -> None:
    """Flags and details are Envoy's; there is one attempt for each try."""
    report = told(raised(spec, failure))
    assert [failure.flag] * (failure.flag is not None) == report.flags
    assert failure.details == report.details
    assert failure.status == report.status
    assert failure.tries == len(report.attempts)
    assert report.duration is not None


@every_failure
def test_a_failure_has_the_reply_with_it(spec: Spec, failure: Failure) -> None:
    """`.response` is the reply that response mode returns, read, header for header."""
    error = raised(spec, failure)
    response = error.response
    assert response is not None
    assert (failure.status, failure.body) == (response.status_code, response.text)
    expected = replied(spec, failure).headers
    assert expected.keys() == response.headers.keys()
    assert all(expected[name] == response.headers[name] for name in expected if name != "date")
    assert response.request is not None
    assert story(response) is told(error)


@every_failure
def test_a_failure_is_the_sidecars_response(spec: Spec, failure: Failure) -> None:
    """In response mode nothing is raised: status, body and headers are Envoy's, the story is the same."""
    response = replied(spec, failure)
    assert (failure.status, failure.body) == (response.status_code, response.text)
    expected = {"content-length": str(len(failure.body)), "server": "envoy", **failure.headers}
    if failure.body:
        expected["content-type"] = "text/plain"
    assert "GMT" in response.headers["date"]
    assert expected == {name: value for name, value in response.headers.items() if name != "date"}
    report = story(response)
    assert ([failure.flag] * (failure.flag is not None), failure.details) == (report.flags, report.details)
    spec.assert_nothing_held()


@every_failure
def test_a_failure_can_be_streamed(spec: Spec, failure: Failure) -> None:
    """`client.stream` and `iter_raw` get the reply's body."""
    spec.given(failure.policy, failure.step, local_replies="response")
    response = provoke(spec, failure, stream=True)
    assert failure.body.encode() == b"".join(spec.chunks(response))
    spec.assert_nothing_held()


@every_failure
def test_the_reply_to_a_head_has_no_body(spec: Spec, failure: Failure) -> None:
    """The length of a text is told all the same, that there would be none is not."""
    response = replied(spec, failure, "HEAD")
    assert (failure.status, b"") == (response.status_code, response.content)
    assert response.headers.get("content-length") == (str(len(failure.body)) if failure.body else None)
    of_error = raised(spec, failure, "HEAD").response
    assert of_error is not None
    assert b"" == of_error.content


@every_failure
def test_a_grpc_request_gets_trailers_only(spec: Spec, failure: Failure) -> None:
    """200 with `grpc-status` and, where there is a text, `grpc-message`; flags and details are as ever."""
    headers = {"content-type": "application/grpc+proto"}
    response = replied(spec, failure, "POST", headers=headers)
    code = failure.grpc or {400: "13", 404: "12"}.get(failure.status, "14")
    assert (200, b"", code) == (response.status_code, response.content, response.headers["grpc-status"])
    assert (failure.body or None) == response.headers.get("grpc-message")
    assert ("application/grpc", "0") == (response.headers["content-type"], response.headers["content-length"])
    assert failure.details == story(response).details
    raised(spec, failure, "POST", headers=headers)


@every_failure
def test_a_grpc_head_is_told_the_status_alone(spec: Spec, failure: Failure) -> None:
    """Neither a message nor a length."""
    response = replied(spec, failure, "HEAD", headers={"content-type": "application/grpc"})
    assert (200, "application/grpc") == (response.status_code, response.headers["content-type"])
    assert {"grpc-status"} == {"grpc-status", "grpc-message", "content-length"} & set(response.headers)


@every_failure
def test_a_failure_can_be_copied_and_pickled(spec: Spec, failure: Failure) -> None:
    """Exceptions travel through process pools and loggers."""
    error = raised(spec, failure)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is failure.error
        assert str(error) == str(twin)
        assert twin.response is not None
        assert failure.status == twin.response.status_code


def test_an_open_breaker_is_a_local_reply(spec: Spec) -> None:
    """503 `circuit breaker open`, overloaded, without a flag; no try is made."""
    for mode in ("raise", "response"):
        spec.given(bootstrap(cluster={"metadata": breaker(minimum_requests=1)}), 500, local_replies=mode)
        spec.get()
        try:
            response: httpx.Response | None = spec.get()
        except CircuitOpenError as error:
            assert isinstance(error, httpx.ConnectError)
            response, report = error.response, told(error)
            assert CircuitOpenError is type(pickle.loads(pickle.dumps(error)))
            assert "circuit breaker of cluster 'c' is open" in str(error)
        else:
            assert response is not None
            report = story(response)
        assert response is not None
        assert (503, "circuit breaker open") == (response.status_code, response.text)
        assert "true" == response.headers["x-envoy-overloaded"]
        assert ([], "circuit_breaker_open", []) == (report.flags, report.details, report.attempts)


# --- responses of upstreams ------------------------------------------------------------------------------------------

UPSTREAMS = [
    (b"Server", b"gunicorn"), (b"Date", b"yesterday"), (b"Connection", b"keep-alive"), (b"Keep-Alive", b"timeout=5"),
    (b"X-Envoy-Upstream-Service-Time", b"7"), (b"Transfer-Encoding", b"chunked"), (b"X-Two", b"1"), (b"x-two", b"2"),
]  # fmt: skip


def upstreams_response() -> httpx.Response:
    return httpx.Response(200, headers=UPSTREAMS, stream=Body(b"x"))


def test_raise_mode_leaves_an_upstreams_headers_alone(spec: Spec) -> None:
    """Names, order and values are what the upstream sent, and nothing is added."""
    response = spec.given(bootstrap(), upstreams_response()).get()
    assert UPSTREAMS == response.headers.raw


def test_response_mode_dresses_them_as_a_sidecar(spec: Spec) -> None:
    """`server` is Envoy's, hop-by-hop headers go, the service time is ours; a date of the upstream's stays."""
    response = spec.given(bootstrap(), upstreams_response(), local_replies="response").get()
    expected = {"server": "envoy", "date": "yesterday", "x-envoy-upstream-service-time": "0", "x-two": "1, 2"}
    assert expected == dict(response.headers)


def test_a_missing_date_is_the_clocks(spec: Spec) -> None:
    """The injected clock says what day it is."""
    response = spec.given(bootstrap(), 200, local_replies="response").get()
    assert spec.clock.time() == parsedate_to_datetime(response.headers["date"]).timestamp()


@pytest.mark.parametrize(
    ("transformation", "theirs", "server"),
    [
        ("OVERWRITE", "nginx", "mesh"),
        ("APPEND_IF_ABSENT", "nginx", "nginx"),
        ("APPEND_IF_ABSENT", None, "mesh"),
        ("PASS_THROUGH", "nginx", "nginx"),
        ("PASS_THROUGH", None, None),
    ],
)
def test_the_server_header(spec: Spec, transformation: str, theirs: str | None, server: str | None) -> None:
    """`server_header_transformation` and `server_name` decide."""
    policy = bootstrap(manager={"server_name": "mesh", "server_header_transformation": transformation})
    answer = httpx.Response(200, headers={} if theirs is None else {"server": theirs}, stream=Body(b"x"))
    assert server == spec.given(policy, answer, local_replies="response").get().headers.get("server")


# --- after the head --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "flag", "details"),
    [
        (httpx.ReadError("reset"), "UC", "connection_termination"),
        (httpx.RemoteProtocolError("peer closed connection"), "UPE", "protocol_error"),
    ],
)
@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_a_body_that_breaks_off(spec: Spec, error: Exception, flag: str, details: str, local_replies: Any) -> None:
    """After the head a failure comes out of the body, the status stays, and the report tells of it."""
    answer = httpx.Response(200, stream=Body(b"part", error=error))
    response = spec.given(bootstrap(), answer, local_replies=local_replies).get(stream=True)
    expected = UpstreamResetError if local_replies == "raise" else httpx.RemoteProtocolError
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        spec.read(response)
    assert type(caught.value) is expected
    assert story(response) is told(caught.value)
    assert ([flag], 200) == (story(response).flags, story(response).status)
    assert f"upstream_reset_after_response_started{{{details}}}" == story(response).details
    spec.assert_nothing_held()
