"""Times that are known by their percentiles, and what comes of several of them."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

Z99 = 2.3263478740408408
"""Where a normal distribution has its 99th percentile, in standard deviations."""


@dataclass(frozen=True)
class Measured:
    """A distribution by its curve: rising percentiles (0 to 100) with their seconds, straight lines in between."""

    curve: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        if not self.curve:
            raise ValueError("a distribution needs at least one percentile")

    def at(self, percentile: float) -> float:
        """Return the seconds of a percentile; below the first and above the last known one, theirs."""
        index = bisect.bisect_left(self.curve, percentile, key=lambda point: point[0])
        if index == 0:
            return self.curve[0][1]
        if index == len(self.curve):
            return self.curve[-1][1]
        (left, low), (right, high) = self.curve[index - 1], self.curve[index]
        return low + (high - low) * (percentile - left) / (right - left)

    def draw(self, random: random.Random) -> float:
        return self.at(random.random() * 100)


@dataclass(frozen=True)
class Service:
    """What a service itself takes: always `p50`, or, with a `p99` above it, log-normal through both."""

    p50: float
    p99: float | None = None

    def __post_init__(self) -> None:
        if self.p50 < 0 or (self.p99 is not None and not 0 < self.p50 <= self.p99):
            raise ValueError("a service's p99 is at least its p50, and neither is below 0")

    def draw(self, random: random.Random) -> float:
        if self.p99 is None or self.p99 == self.p50:
            return self.p50
        return self.p50 * math.exp(random.gauss(0.0, 1.0) * math.log(self.p99 / self.p50) / Z99)


NOTHING = Measured([(50.0, 0.0)])


def percentile(ordered: Sequence[float], percentile: float) -> float:
    """Return the smallest value that so many percent of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percentile / 100) - 1)]


def combined(
    draw: Callable[[random.Random], float],
    random: random.Random,
    *,
    calls: int,
    samples: int,
    join: Callable[[Sequence[float]], float],
) -> list[float]:
    """Return the sorted outcomes of `samples` requests that make `calls` calls each: `join` is `sum` or `max`."""
    return sorted(join([draw(random) for _ in range(calls)]) if calls else 0.0 for _ in range(samples))
