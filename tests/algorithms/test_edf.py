from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.edf import Edf, strides

weight_lists = st.lists(st.integers(1, 50), min_size=1, max_size=8)


def take(weights: list[int] | list[Fraction], count: int) -> list[int]:
    lengths = strides(weights)
    edf = Edf(lengths)
    order = []
    for _ in range(count):
        order.append(edf.peek())
        edf.advance(lengths[order[-1]])
    return order


def longest_run(order: list[int], item: int) -> int:
    return max(len(list(run)) for value, run in groupby(order) if value == item)


def test_weights_are_met_exactly() -> None:
    """Semantics 7: 1:2:3 gives exactly 100, 200 and 300 of 600."""
    assert Counter(take([1, 2, 3], 600)) == {0: 100, 1: 200, 2: 300}


def test_turns_are_spread_out() -> None:
    """Weights 3:1 never give the heavier item more than three turns in a row."""
    assert longest_run(take([3, 1], 400), 0) == 3


@given(weight_lists)
def test_each_period_gives_each_item_its_weight(weights: list[int]) -> None:
    """After as many turns as the weights sum up to, each item has had exactly its weight, period after period."""
    period = sum(weights)
    order = take(weights, 3 * period)
    for start in range(0, 3 * period, period):
        assert Counter(order[start : start + period]) == dict(enumerate(weights))


@given(weight_lists)
def test_no_item_is_ever_far_from_its_share(weights: list[int]) -> None:
    """At any time an item has had its share of the turns, give or take one turn of each other item."""
    total = sum(weights)
    had: Counter[int] = Counter()
    for turn, item in enumerate(take(weights, 2 * total), 1):
        had[item] += 1
        for other, weight in enumerate(weights):
            assert abs(had[other] - turn * weight / total) <= len(weights)


def test_fractions_are_weights_too() -> None:
    """A weight cut to 0.7 gets 7 turns to 10."""
    assert Counter(take([Fraction(7, 10), Fraction(1)], 170)) == {0: 70, 1: 100}
