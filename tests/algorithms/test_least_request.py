from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.least_request import least_loaded, loaded_stride


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(2, 6), st.randoms(use_true_random=False))
def test_no_drawn_item_was_less_loaded(loads: list[int], choices: int, source: random.Random) -> None:
    """The result is the least loaded of exactly `choices` draws."""
    drawn: list[int] = []

    def load(index: int) -> int:
        drawn.append(index)
        return loads[index]

    best = least_loaded(range(len(loads)), load, choices, source.random)
    assert len(drawn) == choices
    assert loads[best] == min(loads[index] for index in drawn)
    assert best == next(index for index in drawn if loads[index] == loads[best])


def test_choices_are_drawn_with_replacement() -> None:
    """Of two items the busy one still gets a quarter (semantics 7)."""
    source = random.Random(3)
    picks = [least_loaded([0, 9], lambda load: load, 2, source.random) for _ in range(4000)]
    assert 0.22 < picks.count(9) / 4000 < 0.28


def test_active_requests_divide_the_weight() -> None:
    """A host with two active requests waits three times as long for its turn."""
    assert loaded_stride(4, 2) == 12
