"""Calls as a timeline."""

from __future__ import annotations

import httpx
import pytest

from ambassador_lib.call import Attempt, CallReport
from ambassador_lib.testing.seen import Seen
from ambassador_lib.testing.timeline import Told, report_of, requests_seen, seconds, timeline


def attempt(number: int, started: float, *, status: int | None = None, **fields: object) -> Attempt:
    made = Attempt(number)
    made.started, made.status, made.endpoint, made.duration = started, status, "10.0.0.1:80", 0.025
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def report(*attempts: Attempt, **fields: object) -> CallReport:
    made = CallReport("POST", "http://127.0.0.1:15001/charges")
    made.attempts += attempts
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_each_try_has_a_line_with_time_endpoint_outcome_and_reason() -> None:
    """What happened when, where, how it ended, and what it was tried again for."""
    told = timeline(
        [
            Told(
                1000.0,
                report(
                    attempt(1, 0.0, status=503, retried_because="5xx"),
                    attempt(2, 0.05, error=httpx.ConnectError("refused"), not_retried_because="limit"),
                    status=503, cluster="pay", details="via_upstream", duration=1.5, flags=["URX"],
                ),
            )
        ]
    )  # fmt: skip
    assert told.splitlines() == [
        "    +0.000 s  POST http://127.0.0.1:15001/charges",
        "    +0.000 s    #1 10.0.0.1:80  503 in 25 ms, retried: 5xx",
        "    +0.050 s    #2 10.0.0.1:80  ConnectError: refused in 25 ms, not retried: limit",
        "    +1.500 s    = 503 via pay URX via_upstream after 1.50 s",
    ]


def test_calls_stand_in_the_order_of_their_beginning() -> None:
    """Seconds count from the first; a call that is under way says so, and one without a try, too."""
    first, later = report(attempt(1, 0.0)), report(duration=0.0)
    lines = timeline([Told(1030.0, later), Told(1000.0, first)], name=lambda _: "payment").splitlines()
    assert lines == [
        "    +0.000 s  POST http://127.0.0.1:15001/charges",
        "    +0.000 s    #1 payment  unfinished in 25 ms",
        "   (open)    = -",
        "   +30.000 s  POST http://127.0.0.1:15001/charges",
        "   +30.000 s    = - after 0 ms (no try)",
    ]


def test_a_long_story_is_cut_at_its_beginning() -> None:
    """The last calls are those that led to the failure."""
    lines = timeline([Told(float(number), report()) for number in range(60)]).splitlines()
    assert lines[0] == "(10 earlier calls are left out)"
    assert timeline([]) == "no call was made under a policy"


def test_what_arrived_has_a_line_a_request() -> None:
    """The upstream's side: what was asked, and what it answered."""
    seen = [Seen("GET", f"/{number}", [], b"", 1, 5.0 + number) for number in range(2)]
    seen[0].answered = 200
    assert requests_seen(seen).splitlines()[0].startswith("    +0.000 s  GET /0  200")
    assert "no status" in requests_seen(seen).splitlines()[1]
    assert requests_seen([]) == "no request arrived"


def test_reports_are_found_on_responses_and_exceptions() -> None:
    """Whatever carries the story of a call will do."""
    story = report()
    error = RuntimeError()
    error.call = story  # type: ignore[attr-defined]
    assert report_of(httpx.Response(200, extensions={"ambassador": story})) is story
    assert report_of(error) is story
    assert report_of(story) is story
    assert report_of(httpx.Response(200)) is None


@pytest.mark.parametrize(("value", "text"), [(0.025, "25 ms"), (1.5, "1.50 s"), (300.0, "300 s")])
def test_durations_read_well(value: float, text: str) -> None:
    """Milliseconds, then seconds."""
    assert seconds(value) == text
