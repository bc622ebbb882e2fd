"""The arithmetic of outlier detection (`Cluster.outlier_detection`; semantics 5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def may_eject(ejected: int, hosts: int, max_percent: int, *, always_one: bool = False) -> bool:
    """Whether one more host may be ejected while `ejected` of all `hosts` already are.

    The host in question counts: with 10 % a cluster of fewer than ten hosts ejects nobody, unless `always_one`
    (`always_eject_one_host`) allows the first.
    """
    if always_one and ejected == 0:
        return True
    return (ejected + 1) * 100 <= min(max_percent, 100) * hosts


def next_multiplier(multiplier: int, base: float, maximum: float) -> int:
    """Return the multiplier of the next ejection: one more, until the product has reached `maximum`."""
    return multiplier + 1 if multiplier * base < maximum + base else multiplier


def ejection_time(base: float, multiplier: int, maximum: float) -> float:
    """Return how long an ejection lasts, before jitter and before it waits for the next tick."""
    return min(base * multiplier, maximum)


def success_rate_threshold(rates: Sequence[float], stdev_factor: int) -> float:
    """Return the success rate (percent) below which a host is an outlier.

    It is the mean less the standard deviation times `stdev_factor` thousandths; the deviation is that of a whole
    population.
    """
    mean = sum(rates) / len(rates)
    variance = sum((rate - mean) ** 2 for rate in rates) / len(rates)
    return mean - math.sqrt(variance) * stdev_factor / 1000
