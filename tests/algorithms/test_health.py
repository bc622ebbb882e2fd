"""The state machine of active health checks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.health import CheckResult, CheckRules, HealthState, Transition, matches_in_order

PASSED, DEGRADED = CheckResult.PASSED, CheckResult.DEGRADED
REFUSED, RETRIABLE = CheckResult.REFUSED, CheckResult.RETRIABLE
UNREACHABLE, TIMED_OUT = CheckResult.UNREACHABLE, CheckResult.TIMED_OUT


def rules(healthy: int = 2, unhealthy: int = 3, **fields: float) -> CheckRules:
    times = {
        "interval": 1.0,
        "no_traffic_interval": 60.0,
        "no_traffic_healthy_interval": 90.0,
        "unhealthy_interval": 2.0,
        "unhealthy_edge_interval": 3.0,
        "healthy_edge_interval": 4.0,
    }
    return CheckRules(healthy_threshold=healthy, unhealthy_threshold=unhealthy, **(times | fields))  # type: ignore[arg-type]


def health(rule: CheckRules, *results: CheckResult) -> list[bool]:
    """Whether a new host is healthy after each result."""
    state = HealthState(rule)
    healthy = []
    for result in results:
        state.record(result)
        healthy.append(not state.failed)
    return healthy


def test_a_first_check_that_passes_is_enough() -> None:
    """A new host is unhealthy until its first check, and healthy at once when that passes."""
    state = HealthState(rules(healthy=3))
    assert state.failed
    assert state.record(PASSED) is Transition.CHANGED
    assert not state.failed


def test_after_a_first_check_that_fails_the_threshold_holds() -> None:
    """Fail, fail, pass, pass: healthy with the second pass only."""
    assert health(rules(healthy=2), UNREACHABLE, UNREACHABLE, PASSED, PASSED) == [False, False, False, True]


@pytest.mark.parametrize("failure", [RETRIABLE, UNREACHABLE, TIMED_OUT])
def test_failures_count_to_the_threshold(failure: CheckResult) -> None:
    """Timeouts, broken connections and retriable statuses take `unhealthy_threshold` in a row."""
    assert health(rules(unhealthy=3), PASSED, failure, failure, failure) == [True, True, True, False]
    assert health(rules(unhealthy=2), PASSED, failure, PASSED, failure) == [True, True, True, True]


def test_a_refusal_counts_at_once() -> None:
    """A status that is neither expected nor retriable ignores `unhealthy_threshold`."""
    assert health(rules(unhealthy=10), PASSED, REFUSED) == [True, False]


def test_degraded_is_a_pass_until_the_next_one_says_otherwise() -> None:
    """`x-envoy-degraded` holds until a check passes without it."""
    state = HealthState(rules())
    seen = []
    for result in (DEGRADED, UNREACHABLE, PASSED):
        state.record(result)
        seen.append((state.failed, state.degraded))
    assert seen == [(False, True), (False, True), (False, False)]


def test_timed_out_tells_why_a_host_is_unhealthy() -> None:
    """It is set while the host is unhealthy and its last failure was a timeout."""
    state = HealthState(rules(healthy=2, unhealthy=1))
    seen = []
    for result in (PASSED, TIMED_OUT, UNREACHABLE, TIMED_OUT, PASSED, PASSED):
        state.record(result)
        seen.append(state.timed_out)
    assert seen == [False, True, False, True, True, False]


def test_a_failure_from_elsewhere_needs_the_whole_threshold() -> None:
    """A host that traffic found to be failing comes back after `healthy_threshold` passes."""
    state = HealthState(rules(healthy=2))
    state.record(PASSED)
    state.fail()
    state.record(PASSED)
    assert state.failed
    state.record(PASSED)
    assert not state.failed


@pytest.mark.parametrize(
    ("passed", "transition", "traffic_seen", "wait"),
    [
        (True, Transition.NONE, True, 1.0),
        (True, Transition.CHANGED, True, 1.0),
        (True, Transition.PENDING, True, 4.0),
        (False, Transition.NONE, True, 2.0),
        (False, Transition.CHANGED, True, 2.0),
        (False, Transition.PENDING, True, 3.0),
        (True, Transition.NONE, False, 90.0),
        (True, Transition.PENDING, False, 60.0),
        (False, Transition.NONE, False, 60.0),
        (False, Transition.PENDING, False, 60.0),
    ],
)
def test_intervals(passed: bool, transition: Transition, traffic_seen: bool, wait: float) -> None:
    """Edge intervals hold while a change is pending, no-traffic intervals until there was traffic."""
    assert rules().delay(transition, passed=passed, traffic_seen=traffic_seen, random=lambda: 0.5) == wait


def test_both_jitters_add_up() -> None:
    """`interval_jitter_percent` is a share of the interval, `interval_jitter` comes on top."""
    rule = rules(interval=10.0, interval_jitter_percent=20, interval_jitter=4.0)
    assert rule.delay(Transition.NONE, passed=True, traffic_seen=True, random=lambda: 0.5) == 10 + 1 + 2


def test_initial_jitter_spreads_the_first_checks() -> None:
    """The first check comes within `initial_jitter`."""
    assert rules(initial_jitter=3.0).first_delay(lambda: 0.5) == 1.5
    assert rules().first_delay(lambda: 0.5) == 0.0


@given(
    st.lists(st.sampled_from(CheckResult), max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_a_host_changes_only_on_a_full_run(results: list[CheckResult], healthy: int, unhealthy: int) -> None:
    """Out takes a refusal or a run of failures, back in a run of passes or the very first check."""
    state = HealthState(rules(healthy=healthy, unhealthy=unhealthy))
    for index, result in enumerate(results):
        before = state.failed
        transition = state.record(result)
        assert (transition is Transition.CHANGED) == (before != state.failed)
        run = 0
        for earlier in reversed(results[: index + 1]):
            if earlier.passed != result.passed:
                break
            run += 1
        if before and not state.failed:
            assert result.passed
            assert index == 0 or run >= healthy
        if not before and state.failed:
            assert result in (REFUSED, CheckResult.EXCLUDED) or run >= unhealthy
        assert not (state.timed_out and not state.failed)


@given(st.lists(st.sampled_from(CheckResult), max_size=40), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_delays_lie_between_the_interval_and_its_jitters(
    results: list[CheckResult], traffic_seen: bool, draw: float
) -> None:
    """Jitter only ever adds, and less than it says."""
    rule = rules(interval_jitter=0.5, interval_jitter_percent=10)
    state = HealthState(rule)
    for result in results:
        transition = state.record(result)
        delay = rule.delay(transition, passed=result.passed, traffic_seen=traffic_seen, random=lambda: draw)
        assert 1.0 <= delay <= 90.0 * 1.1 + 0.5


@pytest.mark.parametrize(
    ("expected", "received", "matches"),
    [
        ([], b"", True),
        ([b"ok"], b"it is ok.", True),
        ([b"a", b"b"], b"xaxbx", True),
        ([b"b", b"a"], b"xaxbx", False),
        ([b"aa", b"a"], b"aa", False),
        ([b"a"], b"", False),
    ],
)
def test_payloads_match_in_order_with_gaps(expected: list[bytes], received: bytes, matches: bool) -> None:
    """Each part is looked for behind the one before it."""
    assert matches_in_order(expected, received) == matches
