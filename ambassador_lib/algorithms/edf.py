"""Earliest deadline first: weighted turns, spread out instead of in blocks (semantics 7, ROUND_ROBIN with weights).

An item of weight w comes up every 1/w of virtual time. Deadlines are whole numbers, the common multiple of the weights
being the unit, so that no rounding ever shifts the turns: weights 1:2:3 give exactly 100:200:300. Weights that change
from turn to turn are given as they are, as fractions of virtual time.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction


def strides(weights: Sequence[int | Fraction]) -> tuple[int, ...]:
    """Return for each weight (above zero) the time between two turns, in a unit that makes all of them whole."""
    from fractions import Fraction  # brings decimal numbers, 0.2 MB that equal weights do not need

    periods = [1 / Fraction(weight) for weight in weights]
    unit = math.lcm(*(period.denominator for period in periods))
    return tuple(int(period * unit) for period in periods)


class Edf:
    """Whose turn it is among items 0 to n-1. Not thread-safe."""

    __slots__ = ("_heap", "_turn")

    def __init__(self, strides: Sequence[float]) -> None:
        # (deadline, turn of insertion, item): of two equal deadlines the one that was set earlier comes first.
        self._heap = [(stride, index, index) for index, stride in enumerate(strides)]
        self._turn = len(self._heap)
        heapq.heapify(self._heap)

    def peek(self) -> int:
        """Return the item whose turn is next."""
        return self._heap[0][2]

    def advance(self, stride: float) -> None:
        """Give the next item its turn; it comes up again `stride` later."""
        deadline, _, item = self._heap[0]
        heapq.heapreplace(self._heap, (deadline + stride, self._turn, item))
        self._turn += 1
