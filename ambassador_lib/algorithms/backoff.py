"""How long to wait before a retry (`RetryPolicy.retry_back_off` and `rate_limited_retry_back_off`; semantics 3.3, 3.4).

Envoy counts in whole milliseconds, and so do the delays here; arguments and results are seconds. `random` returns a
float in [0, 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .natural import natural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFAULT_BASE = 0.025
DEFAULT_MAX_FACTOR = 10
DEFAULT_RATE_LIMITED_MAX = 300.0

# Doubling a float overflows long before anybody retries so often; the maximum has been reached by then.
_MOST_DOUBLINGS = 62


def exponential_interval(retry: int, base: float = DEFAULT_BASE, maximum: float | None = None) -> float:
    """Return the upper bound of the delay before the `retry`-th retry, counted from 1.

    The bound is `base` at first and doubles up to `maximum` (`None`: ten times `base`). A `base` under one millisecond
    counts as one.
    """
    base = max(base, 0.001)
    maximum = DEFAULT_MAX_FACTOR * base if maximum is None else max(maximum, base)
    return min(base * float(2 ** min(retry - 1, _MOST_DOUBLINGS)), maximum)


def full_jitter(interval: float, random: Callable[[], float]) -> float:
    """Return a delay drawn evenly from the whole milliseconds in [0, `interval`)."""
    return int(random() * _milliseconds(interval)) / 1000


def reset_interval(value: str, now: float, *, unix_timestamp: bool) -> float | None:
    """Return the seconds that a reset header asks for, `None` where it says nothing usable.

    `value` is a whole number of seconds or, with `unix_timestamp`, a moment since the epoch; `now` is the time since
    the epoch. HTTP dates, fractions and moments that have passed are not usable; 0 seconds are.
    """
    number = natural(value.strip())
    if number is None or (unix_timestamp and number <= math.floor(now)):
        return None
    return float(number - math.floor(now)) if unix_timestamp else float(number)


def rate_limited_interval(intervals: Iterable[float | None], maximum: float = DEFAULT_RATE_LIMITED_MAX) -> float | None:
    """Return the first usable interval that is not above `maximum`, `None` where exponential back-off decides.

    It also does where that interval is 0, whatever the others say (verified against Envoy 1.40).
    """
    return next((interval for interval in intervals if interval is not None and interval <= maximum), None) or None


def half_jitter(interval: float, random: Callable[[], float]) -> float:
    """Return `interval` plus up to half of it, in whole milliseconds: never earlier than the upstream asked for."""
    milliseconds = _milliseconds(interval)
    return (milliseconds + int(random() * (milliseconds // 2))) / 1000


def _milliseconds(seconds: float) -> int:
    # Cut off as Envoy cuts durations, but 0.3 s is 300 ms although 3 * 0.1 * 1000 may be a little less.
    return max(1, int(seconds * 1000 + 1e-6))
