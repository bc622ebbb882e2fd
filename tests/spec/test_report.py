"""Every call tells its story: `response.extensions["ambassador"]` and `exception.call` (contract)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import (
    CallReport,
    NoHealthyUpstreamError,
    PerTryTimeoutError,
    UpstreamConnectError,
    UpstreamOverflowError,
)
from ambassador_lib.testing.clock import FakeRandom

from .documents import bootstrap, route
from .harness import Body, Hang, Spec, story, told

RETRY = {"retry_on": "5xx", "num_retries": 2, "per_try_timeout": "1s"}


def retrying(**fields: Any) -> Any:
    return bootstrap(routes=[route(name="charges", retry_policy={**RETRY, **fields})], endpoints=3)


def test_what_a_report_says(spec: Spec) -> None:
    """Names, flags, details, durations, and each try with its endpoint, its time and its outcome."""
    refused = httpx.ConnectError("Connection refused")
    spec.given(retrying(), Hang(0.5, 503), refused, Hang(0.25), random=FakeRandom(0, *[0.5] * 20))
    report = story(spec.get("/x"))
    assert ("main", "charges", "c") == (report.listener, report.route, report.cluster)
    assert ([], "via_upstream", 200) == (report.flags, report.details, report.status)
    first, second, third = report.attempts
    assert [1, 2, 3] == [attempt.number for attempt in report.attempts]
    assert 3 == len({attempt.endpoint for attempt in report.attempts})
    assert (503, 200) == (first.outcome, third.outcome)
    assert isinstance(second.outcome, UpstreamConnectError)
    assert [0, 0.5] == pytest.approx([first.started, first.duration])
    assert 0.5 + spec.clock.sleeps[1] == pytest.approx(second.started)
    assert [0, 0.25] == pytest.approx([second.duration, third.duration])
    assert third.started + 0.25 == pytest.approx(report.duration)


def test_why_a_try_was_made_again_or_not(spec: Spec) -> None:
    """Each try but a good last one says why it was retried, or why it was not."""
    spec.given(retrying(), 503, Hang(2), 502)
    report = story(spec.get())
    reasons = [(attempt.retried_because, attempt.not_retried_because) for attempt in report.attempts]
    assert [None, None] == [reasons[0][1], reasons[1][1]]
    assert all("5xx" in str(reason) for reason, _ in reasons[:2])
    assert (None, "num_retries 2 used up") == reasons[2]
    assert isinstance(report.attempts[1].outcome, PerTryTimeoutError)
    good = story(spec.given(retrying(), 200).get()).attempts[0]
    assert (None, None) == (good.retried_because, good.not_retried_because)


def test_a_report_is_one_readable_line(spec: Spec) -> None:
    """Method, URL, outcome, flags, and every try in order."""
    spec.given(retrying(num_retries=1), 503, httpx.ConnectError("Connection refused"))
    with pytest.raises(UpstreamConnectError) as caught:
        spec.get("/x")
    line = str(told(caught.value))
    assert "\n" not in line
    for word in ("GET http://127.0.0.1:15001/x", "503", "URX,UF", "via c", "#1 10.0.0.", "#2 10.0.0.", "retried: "):
        assert word in line
    assert "UpstreamConnectError" in line
    assert "not retried: num_retries 1 used up" in line
    assert line in repr(told(caught.value))


def test_a_call_without_a_try_says_so(spec: Spec) -> None:
    """No endpoint: there is nothing to list."""
    with pytest.raises(NoHealthyUpstreamError) as caught:
        spec.given(bootstrap(endpoints=0)).get()
    assert "no try" in str(told(caught.value))
    assert [] == told(caught.value).attempts


def test_the_duration_ends_with_the_body(spec: Spec) -> None:
    """Before the body's end it is `None`; an early close is an end as well."""
    body = Body(b"1", b"2", on_chunk=lambda: spec.clock.advance(1))
    response = spec.given(bootstrap(), httpx.Response(200, stream=body)).get(stream=True)
    assert story(response).duration is None
    assert 0 == story(response).attempts[0].duration
    spec.read(response)
    assert 2 == story(response).duration
    closed = spec.given(bootstrap(), 200).get(stream=True)
    spec.clock.advance(3)
    spec.close(closed)
    assert 3 == story(closed).duration


def test_a_refused_try_has_its_outcome(spec: Spec) -> None:
    """A try that a limit refused was never sent, and says what became of it."""
    limits = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}
    with pytest.raises(UpstreamOverflowError) as caught:
        spec.given(bootstrap(cluster=limits)).get()
    [attempt] = told(caught.value).attempts
    assert caught.value is attempt.outcome
    assert 0 == attempt.duration
    assert "unfinished" not in str(attempt)


@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_every_response_has_its_report(spec: Spec, local_replies: Any) -> None:
    """Upstream's, direct, redirected or made here: the extension is there."""
    routes: list[Any] = [
        {"match": {"path": "/direct"}, "direct_response": {"status": 200}},
        {"match": {"path": "/redirect"}, "redirect": {"path_redirect": "/"}},
        route(),
    ]
    spec.given(bootstrap(routes=routes), 404, local_replies=local_replies)
    for path in ("/", "/direct", "/redirect"):
        report = spec.get(path).extensions["ambassador"]
        assert isinstance(report, CallReport)
        assert report.duration is not None
    spec.given(bootstrap(routes=[]), local_replies="response")
    assert "route_not_found" == story(spec.get()).details


class ForeignError(Exception):
    pass


@pytest.mark.parametrize(
    ("step", "timeout", "expected"),
    [
        (httpx.ConnectError("refused"), None, UpstreamConnectError),
        (Hang(2), 1, httpx.ReadTimeout),
        (ForeignError("not ours"), None, ForeignError),
        (httpx.UnsupportedProtocol("no"), None, httpx.UnsupportedProtocol),
    ],
)
def test_every_failure_has_its_report(spec: Spec, step: Any, timeout: Any, expected: type[Exception]) -> None:
    """Ours, the application's own timeouts and whatever else came through."""
    spec.given(bootstrap(), step)
    with pytest.raises(expected) as caught:
        spec.get(**({} if timeout is None else {"timeout": timeout}))
    report = told(caught.value)
    assert report.duration is not None
    assert [expected] == [type(attempt.outcome) for attempt in report.attempts]
    spec.assert_nothing_held()


def test_reports_are_not_shared(spec: Spec) -> None:
    """Two calls have two stories."""
    spec.given(bootstrap())
    assert story(spec.get()) is not story(spec.get())
