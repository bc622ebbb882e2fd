"""How long an upstream takes: fixed times and distributions, drawn from the random that is given to them.

Each draw takes exactly one number from the random, so that the same seed gives the same times whatever the
distributions are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from .misuse import ScriptError


class RandomNumbers(Protocol):
    """What the kit wants of a random: `random.Random`, or `FakeRandom`."""

    def random(self) -> float:
        """Return a number, 0 <= n < 1."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that vary as `name` says; made by `fixed`, `uniform`, `normal`, … below. Its repr is the code for it."""

    name: str
    numbers: tuple[float, ...]

    def draw(self, random: RandomNumbers) -> float:
        """Return seconds, never below 0."""
        return max(0.0, SHAPES[self.name](random.random(), *self.numbers))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.numbers))})"


Seconds = float | Latency
"""A number of seconds, or a distribution of them."""


def fixed(seconds: float) -> Latency:
    """Always the same."""
    return Latency("fixed", (_at_least_zero("fixed", seconds),))


def uniform(shortest: float, longest: float) -> Latency:
    """Anything from `shortest` to `longest` seconds, equally likely."""
    if not 0 <= shortest <= longest:
        raise ScriptError(f"uniform({shortest!r}, {longest!r}): wants 0 <= shortest <= longest")
    return Latency("uniform", (shortest, longest))


def normal(mean: float, deviation: float) -> Latency:
    """Normally distributed around `mean`, in seconds; what would be below 0 is 0."""
    return Latency("normal", (_at_least_zero("normal", mean), _above_zero("normal", deviation)))


def lognormal(median: float, sigma: float) -> Latency:
    """Log-normal, as real services are: half the draws below `median` seconds, a long tail for a larger `sigma`."""
    return Latency("lognormal", (_above_zero("lognormal", median), _above_zero("lognormal", sigma)))


def exponential(mean: float) -> Latency:
    """Exponential with the given mean in seconds: mostly short, now and then long."""
    return Latency("exponential", (_above_zero("exponential", mean),))


def pareto(shortest: float, alpha: float) -> Latency:
    """Never below `shortest` seconds, and a tail that is the heavier the smaller `alpha` is (1.2 is heavy)."""
    return Latency("pareto", (_above_zero("pareto", shortest), _above_zero("pareto", alpha)))


def seconds_of(latency: Seconds, random: RandomNumbers) -> float:
    """Return the seconds of one draw; a plain number takes nothing from `random`."""
    return latency.draw(random) if isinstance(latency, Latency) else latency


def checked(latency: Seconds, what: str) -> Seconds:
    """Return `latency` unless it is a number below 0 or no number at all."""
    if not isinstance(latency, Latency):
        _at_least_zero(what, latency)
    return latency


def _open(number: float) -> float:
    """Move 0 a little inwards: the tails are infinite."""
    return max(number, 2.0**-53)


SHAPES: dict[str, Callable[..., float]] = {
    "fixed": lambda _, seconds: seconds,
    "uniform": lambda number, shortest, longest: shortest + number * (longest - shortest),
    "normal": lambda number, mean, deviation: NormalDist(mean, deviation).inv_cdf(_open(number)),
    "lognormal": lambda number, median, sigma: median * math.exp(sigma * NormalDist().inv_cdf(_open(number))),
    "exponential": lambda number, mean: -mean * math.log1p(-number),
    "pareto": lambda number, shortest, alpha: shortest * (1.0 - number) ** (-1.0 / alpha),
}
"""Each turns a number, 0 <= n < 1, into seconds: the inverse of the distribution's cumulative function."""


def _at_least_zero(what: str, number: float) -> float:
    if not number >= 0:
        raise ScriptError(f"{what}: {number!r} s is no time to wait")
    return number


def _above_zero(what: str, number: float) -> float:
    if not number > 0:
        raise ScriptError(f"{what}: {number!r} must be above 0")
    return number
