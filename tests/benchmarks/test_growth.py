"""The name of a curve's growth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale import growth

TENS = [1.0, 10.0, 100.0, 1000.0, 10_000.0]
scales = st.floats(1e-6, 1e3)


@given(scales, st.lists(st.floats(0.95, 1.05), min_size=5, max_size=5))
def test_what_hardly_moves_is_constant(scale: float, shaken: list[float]) -> None:
    """Some percent up or down over four powers of ten are no growth."""
    assert growth.name(TENS, [scale * one for one in shaken]) == "constant"


@given(scales, st.floats(0.5, 10), st.lists(st.floats(0.98, 1.02), min_size=5, max_size=5))
def test_a_line_is_linear(scale: float, base: float, shaken: list[float]) -> None:
    """What is proportional, with something fixed below, is linear."""
    assert growth.name(TENS, [scale * (base + x) * one for x, one in zip(TENS, shaken, strict=True)]) == "linear"


@given(scales, st.floats(1, 3), st.lists(st.floats(0.98, 1.02), min_size=5, max_size=5))
def test_a_logarithm_is_logarithmic(scale: float, base: float, shaken: list[float]) -> None:
    """What grows by the same with each power of ten is logarithmic."""
    y = [scale * (base + math.log1p(x)) * one for x, one in zip(TENS, shaken, strict=True)]
    assert growth.name(TENS, y) == "logarithmic"


@given(scales, st.lists(st.floats(0.98, 1.02), min_size=5, max_size=5))
def test_a_square_is_quadratic(scale: float, shaken: list[float]) -> None:
    """What grows a hundredfold with each power of ten is quadratic."""
    assert growth.name(TENS, [scale * x * x * one for x, one in zip(TENS, shaken, strict=True)]) == "quadratic"


def test_differences_within_the_noise_are_none() -> None:
    """What the rounds themselves differ by is no growth."""
    assert growth.name(TENS, [1, 2, 1.5, 2, 3], noise=2.5) == "constant"


def test_a_cost_may_fall() -> None:
    """A share of something fixed gets smaller, and what only goes up and down has no name."""
    assert growth.name(TENS, [10, 5, 2, 1, 1]) == "falling"
    assert growth.name(TENS, [1, 9, 1, 9, 1]) == "unclear"


def test_less_than_twice_is_slight() -> None:
    """What is not even twice as much at the other end is no shape, however well one fits."""
    assert growth.name(TENS, [1.0, 1.0, 1.01, 1.05, 1.5]) == "slight"


def test_two_points_say_nothing() -> None:
    """A growth is not guessed from two points."""
    with pytest.raises(ValueError, match="three points"):
        growth.name([1, 2], [1, 2])
