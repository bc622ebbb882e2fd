from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.slow_start import SlowStart


@pytest.mark.parametrize(
    ("age", "aggression", "expected"),
    [(0, 1.0, 0.1), (3, 1.0, 0.3), (5, 1.0, 0.5), (10, 1.0, 1.0), (99, 1.0, 1.0), (2.5, 2.0, 0.5), (5, 0.5, 0.25)],
)
def test_a_host_grows_into_its_weight(age: float, aggression: float, expected: float) -> None:
    """From a tenth to all of it within the window, faster with more aggression (semantics 6.6)."""
    assert SlowStart(10, aggression).factor(age) == pytest.approx(expected)


@given(st.floats(0, 20), st.floats(0, 20), st.floats(0.1, 5))
def test_it_never_shrinks(one: float, other: float, aggression: float) -> None:
    """An older host has no smaller share than a younger one."""
    slow_start = SlowStart(10, aggression)
    assert slow_start.factor(min(one, other)) <= slow_start.factor(max(one, other))
