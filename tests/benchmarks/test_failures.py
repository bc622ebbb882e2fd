"""The failure scenarios: what is made of calls, and that replicas do what a scenario asks of them."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib import Policy
from benchmarks.failures import figures
from benchmarks.failures.figures import LATE, Played, evaluate, recovery, success, timeline
from benchmarks.failures.play import Way, play
from benchmarks.failures.policy import policy
from benchmarks.failures.replicas import Replicas
from benchmarks.failures.scenarios import SCENARIOS, Event, Scenario

calls = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(calls)
def test_no_call_is_lost_or_told_twice(outcomes: list[figures.Outcome]) -> None:
    """The slices of a timeline hold every call once, in order, with its success."""
    slices = timeline(outcomes)
    assert sum(one.calls for one in slices) == len(outcomes)
    assert sum(one.succeeded for one in slices) == sum(succeeded for _, _, succeeded in outcomes)
    assert [one.at for one in slices] == sorted({one.at for one in slices})


@given(calls, st.floats(0, 5))
def test_after_recovery_all_is_well(outcomes: list[figures.Outcome], since: float) -> None:
    """No call that was due after the time to recover failed or was late; with `None` one of the last was or did."""
    seconds = recovery(outcomes, since)
    after = sorted(outcome for outcome in outcomes if outcome[0] >= since)
    if seconds is None:
        assert not all(well and took <= LATE for _, took, well in after[-max(1, len(after) // 10) :])
    else:
        # A due time less `since`, plus `since` again, need not be the same number.
        assert all(well and took <= LATE for due, took, well in after if due > since + seconds + 1e-9)


def test_a_good_call_at_the_end_may_be_chance() -> None:
    """Where every third call fails to the end, two good ones in a row are no recovery."""
    outcomes = [(number / 10, 0.01, number % 3 > 0) for number in range(60)]
    assert recovery(outcomes, 1.0) is None
    assert recovery([*outcomes, *((6 + number / 10, 0.01, True) for number in range(10))], 1.0) == pytest.approx(4.8)


def test_recovery_by_hand() -> None:
    """From the fault to the first call after the last bad one: a late success is bad, too."""
    well = 0.01
    outcomes = [(0.5, well, False), (1.0, well, True), (1.5, well, False), (2.0, 2 * LATE, True), (2.5, well, True)]
    assert recovery(outcomes, 1.0) == 1.5
    assert recovery(outcomes, 2.2) == 0.0
    assert recovery(outcomes[:-1], 1.0) is None
    assert success(outcomes) == 0.6


def test_extra_load_is_what_upstreams_got_beyond_the_calls() -> None:
    """Half as many requests again are half an extra load; rounds have a spread, and some never recover."""
    good, bad = [(1.0, 0.01, True)] * 2, [(1.0, 0.01, False)] * 2
    failure = evaluate("x", "y", [Played(good, 3), Played(bad, 1)], 0.0)
    assert (failure.extra_load.low, failure.extra_load.high) == pytest.approx((-0.4, 0.4))
    assert failure.success.median == 0.5
    assert failure.never_recovered == 1
    assert failure.recovery is not None
    assert failure.calls == 4


@pytest.mark.parametrize("breaker", [False, True])
def test_the_policy_is_one_that_both_take(*, breaker: bool) -> None:
    """The library loads it without a warning (Envoy's word on it is in every run)."""
    loaded = Policy.parse(policy(15_001, [1, 2, 3], breaker=breaker))
    assert not loaded.warnings
    assert (loaded.clusters[0].circuit_breaker is not None) is breaker


def test_scenarios_end_after_their_events() -> None:
    """All that goes wrong does so while calls are made, and recovery counts from within."""
    for scenario in SCENARIOS:
        assert all(0 < event.at < scenario.length for event in scenario.events)
        assert any(event.at <= scenario.since < scenario.length for event in scenario.events)


def get(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@pytest.mark.slow
def test_replicas_do_as_they_are_told(tmp_path: Path) -> None:
    """A replica counts through a crash, comes back on its port, and answers what it is told to."""
    with Replicas(tmp_path, count=2) as replicas:
        one, other = replicas.all
        assert (get(one.port), get(one.port), get(other.port)) == (200, 200, 200)
        one.behave(status=503)
        assert get(one.port) == 503
        one.kill()
        with pytest.raises(OSError, match="refused"):
            get(one.port)
        one.start()
        assert get(one.port) == 503
        assert (one.requests, other.requests, replicas.requests) == (4, 1, 5)
        ports = replicas.ports
    for port in ports:
        with pytest.raises(OSError, match="refused"):
            get(port)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ours", "none"])
def test_a_scenario_is_played(how: str) -> None:
    """Calls come at their rate while something goes wrong, and each has an outcome."""
    scenario = Scenario("x", "x", 5.0, 1.0, [Event(2.0, lambda replicas: replicas[0].behave(status=503))])
    played = play(scenario, Way("x", how), rate=50, unit=0.1)
    assert len(played.outcomes) == 25
    assert [due for due, _, _ in sorted(played.outcomes)] == pytest.approx([number / 50 for number in range(25)])
    assert played.requests >= 25
    if how == "none":
        assert success(played.outcomes) < 1
