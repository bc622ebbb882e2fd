"""`Client()` without a policy: plain httpx with bounded retries of idempotent requests and a breaker per host."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorError, CircuitOpenError, plain

from .harness import Body, Hang, Spec, story, told

REFUSED = httpx.ConnectError("refused")


def test_what_goes_out_is_httpxs_own(spec: Spec) -> None:
    """Not a header is added or taken away, and the response is the upstream's."""
    spec.given_client(None, httpx.Response(200, headers={"Server": "x"}, stream=Body(b"x")))
    response = spec.get("http://example.org/a?b", headers={"x-envoy-retry-on": "5xx"})
    expected = httpx.Client(trust_env=False).build_request(
        "GET", "http://example.org/a?b", headers={"x-envoy-retry-on": "5xx"}
    )
    assert expected.headers == spec.upstream.seen[0].headers
    assert {"server": "x"} == dict(response.headers)
    assert (["example.org"], None) == ([story(response).cluster], story(response).listener)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("error", [REFUSED, httpx.ConnectTimeout("slow"), httpx.ReadError("reset")])
def test_idempotent_requests_are_retried_on_connection_trouble(spec: Spec, method: str, error: Exception) -> None:
    """Twice, with back-off, whatever it was that happened to the connection."""
    response = spec.given_client(None, error, error, 200).request(method, "http://example.org/")
    assert 200 == response.status_code
    assert [type(error), type(error), int] == [type(attempt.outcome) for attempt in story(response).attempts]
    assert 2 == len(spec.clock.sleeps)


def test_retries_are_bounded(spec: Spec) -> None:
    """Three tries at most; then httpx's own exception comes out, with its story."""
    spec.given_client(None, REFUSED)
    with pytest.raises(httpx.ConnectError) as caught:
        spec.get("http://example.org/")
    assert type(caught.value) is httpx.ConnectError
    assert 3 == len(spec.upstream.seen) == len(told(caught.value).attempts)
    assert told(caught.value).duration is not None


def test_answers_are_never_retried(spec: Spec) -> None:
    """A 503 is an answer, and a timeout may mean that the upstream is at work."""
    assert 503 == spec.given_client(None, 503, 200).get("http://example.org/").status_code
    spec.given_client(None, httpx.ReadTimeout("slow"), 200)
    with pytest.raises(httpx.ReadTimeout) as caught:
        spec.get("http://example.org/")
    assert type(caught.value) is httpx.ReadTimeout
    assert 1 == len(told(caught.value).attempts)


def test_a_post_is_retried_only_where_it_cannot_have_arrived(spec: Spec) -> None:
    """Refused is safe; a reset is not, but for an Idempotency-Key."""
    assert 200 == spec.given_client(None, REFUSED, 200).post("http://example.org/", content=b"x").status_code
    reset = httpx.ReadError("reset")
    spec.given_client(None, reset, 200)
    with pytest.raises(httpx.ReadError):
        spec.post("http://example.org/", content=b"x")
    spec.given_client(None, reset, 200)
    assert 200 == spec.post("http://example.org/", content=b"x", headers={"Idempotency-Key": "k"}).status_code
    assert [b"x", b"x"] == spec.upstream.bodies


def outcomes(spec: Spec, url: str, count: int) -> list[Any]:
    seen: list[Any] = []
    for _ in range(count):
        try:
            seen.append(spec.get(url).status_code)
        except httpx.TransportError as error:
            seen.append(type(error))
    return seen


def test_a_breaker_per_host(spec: Spec) -> None:
    """20 failures in 10 s open it for 30 s; another host, or port, is not concerned."""
    spec.given_client(None, *[500] * 20, 200)
    assert [500] * 20 == outcomes(spec, "http://sick.test/", 20)
    with pytest.raises(CircuitOpenError) as caught:
        spec.get("http://sick.test/")
    assert isinstance(caught.value, httpx.ConnectError)
    assert isinstance(caught.value, AmbassadorError)
    assert caught.value.response is not None
    assert (503, "circuit breaker open") == (caught.value.response.status_code, caught.value.response.text)
    assert [] == told(caught.value).attempts
    assert [200, 200] == outcomes(spec, "http://well.test/", 1) + outcomes(spec, "http://sick.test:81/", 1)
    spec.clock.advance(30)
    assert [200] == outcomes(spec, "http://sick.test/", 1)


def test_connection_trouble_opens_the_breaker(spec: Spec) -> None:
    """Every try counts."""
    spec.given_client(None, REFUSED)
    assert [httpx.ConnectError] * 6 + [CircuitOpenError] * 2 == outcomes(spec, "http://sick.test/", 8)
    assert 20 == len(spec.upstream.seen)


def test_an_applications_timeout_says_nothing(spec: Spec) -> None:
    """httpx's timeouts are the application's impatience; no breaker opens for them."""
    spec.given_client(None, httpx.ReadTimeout("slow"))
    assert [httpx.ReadTimeout] * 30 == outcomes(spec, "http://slow.test/", 30)


def test_there_is_no_route_timeout(spec: Spec) -> None:
    """No policy, no 15 s."""
    assert 200 == spec.given_client(None, Hang(100)).get("http://example.org/").status_code


def test_a_failing_body_is_httpxs_own(spec: Spec) -> None:
    """What breaks off in the body comes out as it is, with its story."""
    spec.given_client(None, httpx.Response(200, stream=Body(b"part", error=httpx.ReadError("reset"))))
    with pytest.raises(httpx.ReadError) as caught:
        spec.get("http://example.org/")
    assert told(caught.value).duration is not None
    assert 1 == len(spec.upstream.seen)


def test_redirects_are_followed_as_ever(spec: Spec) -> None:
    """Each hop is a call of its own."""
    hop = httpx.Response(302, headers={"location": "http://other.test/"}, stream=Body())
    response = spec.given_client(None, hop, 200, follow_redirects=True).get("http://example.org/")
    assert ["example.org", "other.test"] == [story(answer).cluster for answer in (*response.history, response)]


# --- an open breaker, the flags of failures --------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "text"), [("GET", "circuit breaker open"), ("HEAD", "")])
def test_an_open_breaker_is_a_response_where_responses_are_wanted(spec: Spec, method: str, text: str) -> None:
    """`local_replies="response"`: 503 `circuit breaker open`, and it can be streamed like any other."""
    spec.given_client(None, 500, local_replies="response")
    assert [500] * 20 == outcomes(spec, "http://sick.test/", 20)
    response = spec.request(method, "http://sick.test/", stream=True)
    assert text.encode() == spec.read(response)
    assert (503, "true") == (response.status_code, response.headers["x-envoy-overloaded"])
    assert (503, "circuit_breaker_open", []) == (
        story(response).status,
        story(response).details,
        story(response).attempts,
    )
    assert 20 == len(spec.upstream.seen)


def test_the_report_of_an_open_breaker(spec: Spec) -> None:
    """The exception's story says what its response says."""
    spec.given_client(None, 500)
    outcomes(spec, "http://sick.test/", 20)
    with pytest.raises(CircuitOpenError) as caught:
        spec.get("http://sick.test/")
    report = told(caught.value)
    assert (503, "circuit_breaker_open") == (report.status, report.details)
    assert caught.value.response is not None
    assert "true" == caught.value.response.headers["x-envoy-overloaded"]


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (REFUSED, "UF"),
        (httpx.ConnectTimeout("slow"), "UF"),
        (httpx.ReadError("reset"), "UC"),
        (httpx.RemoteProtocolError("disconnected"), "UC"),
    ],
)
@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_connection_trouble_has_its_flag(spec: Spec, error: Exception, flag: str, local_replies: Any) -> None:
    """The exception is httpx's own, cause included; its story speaks Envoy's language."""
    error.__cause__ = cause = OSError("below")
    spec.given_client(None, error, local_replies=local_replies)
    with pytest.raises(type(error)) as caught:
        spec.get("http://example.org/")
    assert caught.value is error
    assert error.__cause__ is cause
    assert (["URX", flag], None) == (told(error).flags, told(error).status)
    assert told(error).details.startswith("upstream_reset_before_response_started{")


# --- what is kept for a host -----------------------------------------------------------------------------------------


class Watch:
    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self, _timeout: float) -> None:
        self.cancelled += 1


def test_a_forgotten_hosts_storage_is_watched_no_longer(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """What watches a host's shared breaker goes with the host, or with the client."""
    watches: list[Watch] = []

    def watch(*_: Any) -> list[Watch]:
        watches.append(Watch())
        return watches[-1:]

    monkeypatch.setattr(plain, "watch_storage", watch)
    monkeypatch.setattr(plain, "HOSTS", 2)
    spec.given_client(None)
    for name in ("a", "b", "a", "c"):
        spec.get(f"http://{name}.test/")
    assert [0, 1, 0] == [each.cancelled for each in watches]
    spec.close_transport()
    assert [1, 1, 1] == [each.cancelled for each in watches]


def test_a_forked_child_meets_no_lock_of_its_parents(spec: Spec) -> None:
    """Another thread may have been in the middle of choosing a host, or of making the ambassador."""
    spec.given_client(None)
    spec.get("http://example.org/")
    ambassadors, stack = spec.client._ambassadors, spec.transport._plain.made
    with ambassadors._lock, stack._lock:
        for each in (ambassadors, stack):
            each.start_afresh()
        assert 200 == spec.get("http://other.test/").status_code
        assert [spec.transport] == ambassadors.drain()
    spec.close_transport()
