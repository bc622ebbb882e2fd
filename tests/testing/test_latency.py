"""Latencies: distributions as they are called, from one number of the dice a draw."""

from __future__ import annotations

import random
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.testing import (
    FakeRandom,
    Latency,
    ScriptError,
    exponential,
    fixed,
    lognormal,
    normal,
    pareto,
    uniform,
)

ALL = [fixed(2.0), uniform(1.0, 3.0), normal(2.0, 0.5), lognormal(2.0, 0.5), exponential(2.0), pareto(1.0, 2.0)]


def drawn(latency: Latency, count: int = 4000, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    return [latency.draw(dice) for _ in range(count)]


@pytest.mark.parametrize("latency", ALL, ids=repr)
def test_the_mean_is_what_the_distribution_says(latency: Latency) -> None:
    """All of these have a mean of about 2 seconds; the log-normal one a median of that."""
    times = drawn(latency)
    middle = median(times) if latency.name == "lognormal" else fmean(times)
    assert middle == pytest.approx(2.0, rel=0.1)


@given(st.sampled_from(ALL), st.floats(0, 1, exclude_max=True))
def test_a_draw_is_a_time_to_wait_whatever_the_dice_say(latency: Latency, number: float) -> None:
    """Finite, never below zero, and the longer the higher the number."""
    time = latency.draw(FakeRandom(number))
    assert 0 <= time < 1e12
    assert latency.draw(FakeRandom(number / 2)) <= time


@pytest.mark.parametrize("latency", ALL, ids=repr)
def test_each_draw_takes_one_number(latency: Latency) -> None:
    """So the same seed gives the same times to whatever is drawn beside it."""
    dice = FakeRandom(0.25, 0.75)
    latency.draw(dice)
    assert dice.random() == 0.75
    assert drawn(latency, 10, seed=7) == drawn(latency, 10, seed=7)


def test_bounds_are_kept() -> None:
    """Of those that have any; what is normal and would be below zero is zero."""
    assert all(1.0 <= time <= 3.0 for time in drawn(uniform(1.0, 3.0)))
    assert all(time >= 1.0 for time in drawn(pareto(1.0, 1.2)))
    assert min(drawn(normal(0.1, 1.0))) == 0.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: fixed(-1),
        lambda: uniform(2, 1),
        lambda: normal(1, 0),
        lambda: lognormal(0, 1),
        lambda: exponential(0),
        lambda: pareto(1, 0),
        lambda: exponential(float("nan")),
    ],
)
def test_numbers_out_of_range_are_refused(make: object) -> None:
    """When it is said, not when it is drawn."""
    with pytest.raises(ScriptError):
        make()  # type: ignore[operator]
