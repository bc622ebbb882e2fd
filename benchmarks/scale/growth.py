"""Names how a curve grows: constant, logarithmic, linear or quadratic, by the simplest fit that explains it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHAPES: dict[str, Callable[[float], float]] = {
    "logarithmic": math.log1p,
    "linear": lambda x: x,
    "quadratic": lambda x: x * x,
}
FLAT = 0.15
"""A curve whose ends differ by less, in terms of the smaller one, is constant."""
SLIGHT = 2.0
"""One that grows by less than this factor is not worth the name of a shape."""
BETTER = 0.6
"""A steeper shape has to leave less than this of the error that a gentler one leaves."""


def name(x: Sequence[float], y: Sequence[float], *, noise: float = 0.0) -> str:
    """Return the growth of a curve. `noise`: differences up to that are none (the spread over the rounds).

    "slight" is one that grows by less than a factor of two from end to end, "falling" a cost that gets smaller,
    "unclear" one that no shape explains half of.
    """
    if len(x) != len(y) or len(x) < 3:
        raise ValueError("a growth needs three points or more")
    steps = max(noise, FLAT * min(abs(value) for value in y))
    if max(y) - min(y) <= steps:
        return "constant"
    if y[-1] < y[0] - steps and y[-1] <= min(y) + steps:
        return "falling"
    total = _error(y, [sum(y) / len(y)] * len(y))
    if max(y) < SLIGHT * min(y):
        return "slight" if y[-1] > y[0] else "unclear"
    best, left = "unclear", total / 2
    for shape, curve in SHAPES.items():
        slope, fitted = _fit([curve(one) for one in x], y)
        if slope <= 0:
            continue
        error = _error(y, fitted)
        if error < left * (BETTER if best != "unclear" else 1.0):
            best, left = shape, error
    return best


def _fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, list[float]]:
    """Return the slope and the values of the straight line of least squares, relative errors counting."""
    weights = [1 / max(abs(value), 1e-30) ** 2 for value in y]
    total = sum(weights)
    mean_x = sum(w * value for w, value in zip(weights, x, strict=True)) / total
    mean_y = sum(w * value for w, value in zip(weights, y, strict=True)) / total
    across = sum(w * (value - mean_x) ** 2 for w, value in zip(weights, x, strict=True))
    both = sum(w * (a - mean_x) * (b - mean_y) for w, a, b in zip(weights, x, y, strict=True))
    slope = both / across if across else 0.0
    return slope, [mean_y + slope * (value - mean_x) for value in x]


def _error(y: Sequence[float], fitted: Sequence[float]) -> float:
    """Return the sum of squared relative errors."""
    return sum(((value - guess) / max(abs(value), 1e-30)) ** 2 for value, guess in zip(y, fitted, strict=True))
