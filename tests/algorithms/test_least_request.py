from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.least_request import fewest, least_loaded, loaded_weight


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
    """Two active requests leave a third of the weight, a ninth where the bias is 2, all of it where it is 0."""
    assert [loaded_weight(9, 2, bias) for bias in (1.0, 2.0, 0.0)] == [3.0, 1.0, 9.0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_a_full_scan_finds_one_of_the_least_loaded(loads: list[int], source: random.Random) -> None:
    """Nobody has less to do than who is found."""
    assert loads[fewest(range(len(loads)), loads.__getitem__, source.random)] == min(loads)


def test_a_full_scan_spreads_over_equals() -> None:
    """Of three hosts with as little to do each gets a third."""
    source = random.Random(3)
    picks = [fewest([5, 1, 2, 3], lambda item: item == 5, source.random) for _ in range(3000)]
    assert all(880 < picks.count(item) < 1120 for item in (1, 2, 3))
