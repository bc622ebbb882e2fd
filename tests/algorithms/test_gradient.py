"""The concurrency limit that follows latency (semantics 9.5); the numbers are Envoy's where they are not chance."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.gradient import Gradient, GradientController, Latencies

SETTINGS = Gradient(update_interval=0.3, most=50, measure_interval=60.0, measured_requests=5, jitter=0.0)


def controller(settings: Gradient = SETTINGS) -> GradientController:
    return GradientController(settings, 0.0, lambda: 0.5)


def serve(made: GradientController, now: float, latency: float, count: int = 1) -> None:
    """Let requests pass one after the other, all at the same time."""
    for _ in range(count):
        assert made.begin(now)
        made.finished(now, now + latency)


def test_it_begins_with_a_measurement() -> None:
    """As many requests at once as are allowed, until there are enough of them."""
    made = controller()
    assert (3, True) == (made.limit, made.measures)
    assert [True, True, True, False] == [made.begin(0.0) for _ in range(4)]
    for _ in range(3):
        made.finished(0.0, 0.1)
    assert made.measures
    serve(made, 0.1, 0.1, 2)
    assert (3, False) == (made.limit, made.measures)


def test_the_limit_rises_and_falls_as_envoys() -> None:
    """Measured on Envoy: with 105 ms as the shortest latency, 103 ms, then 404 ms."""
    made = controller()
    serve(made, 0.0, 0.105, 5)
    seen, now = [], 0.5
    for latency in [0.103] * 7 + [0.404] * 3:
        serve(made, now, latency, 2)
        now += 1.0
        made.begin(now)
        made.broken_off()
        seen.append(made.limit)
    assert [5, 8, 13, 20, 31, 45, 50, 30, 18, 12] == pytest.approx(seen, abs=1)


def test_a_fixed_latency_is_not_measured() -> None:
    """The limit follows from the first samples on."""
    made = controller(Gradient(update_interval=0.2, least=2, fixed_latency=0.1, buffer=0.0))
    assert (2, False) == (made.limit, made.measures)
    seen, now = [], 0.05
    for _ in range(5):
        serve(made, now, 0.1)
        now += 0.2
        made.begin(now)
        made.broken_off()
        seen.append(made.limit)
    assert [3, 4, 5, 6, 8] == seen


def test_a_limit_that_stays_the_least_is_doubted() -> None:
    """After five updates that change nothing, the shortest latency is measured anew."""
    made = controller()
    serve(made, 0.0, 0.001, 5)
    now = 1.0
    for _ in range(8):
        serve(made, now, 0.5)
        now += 1.0
        if made.measures:
            break
    made.begin(now)
    assert made.measures


def test_what_began_before_the_measurement_does_not_count() -> None:
    """Its latency may be anything."""
    made = controller(Gradient(update_interval=0.3, measure_interval=1.0, measured_requests=1, jitter=0.0))
    serve(made, 0.0, 0.1)
    assert made.begin(0.9)
    assert made.begin(1.5)
    made.finished(0.9, 1.6)
    assert made.measures
    made.finished(1.5, 1.6)
    assert not made.measures


@given(st.lists(st.floats(0.00001, 100.0), min_size=1, max_size=100), st.floats(0.0, 1.0))
def test_a_quantile_is_within_a_tenth(latencies: list[float], share: float) -> None:
    """Two significant digits are kept."""
    histogram = Latencies()
    for latency in latencies:
        histogram.add(latency)
    exact = sorted(latencies)[max(1, -int(-share * len(latencies) // 1)) - 1]
    assert exact * 0.9 - 2e-6 <= histogram.quantile(share) <= exact * 1.1 + 2e-6


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 5.0)), max_size=60))
def test_the_limit_stays_in_its_bounds_and_moves_by_steps(steps: list[tuple[float, float]]) -> None:
    """Between the least and the most, never more than doubled and some, and nothing stays under way."""
    made = controller()
    now, limits = 0.0, [made.limit]
    for wait, latency in steps:
        now += wait
        if made.begin(now):
            made.finished(now, now + latency)
            now += latency
        limits.append(made.limit)
    assert all(3 <= limit <= 50 for limit in limits)
    assert made.under_way == 0
    assert all(later <= 2 * before + 2 + (2 * before) ** 0.5 or later <= 50 for before, later in pairwise(limits))
