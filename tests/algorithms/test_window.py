from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.window import ErrorRateWindow

events = st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60)


@given(events, st.floats(0.5, 20))
def test_the_window_counts_what_is_younger_than_itself(steps: list[tuple[float, bool]], length: float) -> None:
    """Everything younger than 99 % of the window counts, nothing older than the window does."""
    window, now, past = ErrorRateWindow(length), 1000.0, []
    for step, failed in steps:
        now += step
        past.append((now, failed))
        window.record(now, failed=failed)
        young = [event for event in past if event[0] > now - length * 0.989]
        kept = [event for event in past if event[0] > now - length * 1.001]
        assert len(young) <= window.requests <= len(kept)
        assert sum(event[1] for event in young) <= window.failures <= sum(event[1] for event in kept)


def test_time_empties_it() -> None:
    """Once the window has passed without requests, nothing is left of those before."""
    window = ErrorRateWindow(10)
    for _ in range(20):
        window.record(3.0, failed=True)
    window.record(13.1, failed=False)
    assert (window.requests, window.failures) == (1, 0)


@pytest.mark.parametrize("length", [1, 2, 5, 10, 30, 60])
def test_what_is_as_old_as_the_window_has_left_it(length: int) -> None:
    """The edges of the buckets are where they are said to be, whatever a hundredth of the length is in binary."""
    window = ErrorRateWindow(length)
    window.record(0.0, failed=True)
    window.record(float(length), failed=False)
    assert (window.requests, window.failures) == (1, 0)


def test_a_clock_that_steps_back_does_no_harm() -> None:
    """A time before the last one counts as the last one: threads may arrive out of order."""
    window = ErrorRateWindow(10)
    window.record(100.0, failed=True)
    window.record(99.0, failed=False)
    assert (window.requests, window.failures) == (2, 1)


def test_the_rate_needs_the_minimum_and_a_failure() -> None:
    """The rate is reached at the share of failures, not before the minimum of requests, and never without failure."""
    window = ErrorRateWindow(10)
    for number in range(19):
        window.record(0.0, failed=number % 2 == 0)
        assert not window.reaches(0.5, 20)
    window.record(0.0, failed=False)
    assert window.reaches(0.5, 20)
    assert not window.reaches(0.51, 20)
    calm = ErrorRateWindow(10)
    calm.record(0.0, failed=False)
    assert not calm.reaches(0.0, 1)


@given(events, st.sampled_from([1.0, 10.0, 60.0]))
def test_successes_may_be_told_together(steps: list[tuple[float, bool]], length: float) -> None:
    """Kept apart while the bucket lasts, and told with what comes next, they count as if told one by one."""
    window, reference, now, apart = ErrorRateWindow(length), ErrorRateWindow(length), 1000.0, 0
    for delay, failed in steps:
        now += delay / 20
        reference.record(now, failed=failed)
        if not failed and now < window.newest_ends:
            apart += 1
            continue
        if apart:
            window.add_successes(apart)
        window.record(now, failed=failed)
        apart = 0
        assert (window.requests, window.failures) == (reference.requests, reference.failures)
