from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms import backoff

unit = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("base", "maximum", "expected"),
    [
        (0.025, None, [0.025, 0.05, 0.1, 0.2, 0.25, 0.25]),
        (0.1, 0.3, [0.1, 0.2, 0.3, 0.3]),
        (0.0001, 0.004, [0.001, 0.002, 0.004, 0.004]),
    ],
)
def test_the_interval_doubles_up_to_the_maximum(base: float, maximum: float | None, expected: list[float]) -> None:
    """Semantics 3.3: the interval starts at the base and doubles up to the maximum."""
    actual = [backoff.exponential_interval(retry, base, maximum) for retry in range(1, len(expected) + 1)]
    assert expected == pytest.approx(actual)


def test_any_number_of_retries_is_possible() -> None:
    """The ten-thousandth retry waits as long as the hundredth."""
    assert backoff.exponential_interval(10_000, 0.025) == 0.25


@given(st.integers(1, 60), st.floats(0.001, 10), st.floats(0.001, 100), unit)
def test_a_jittered_delay_is_whole_milliseconds_below_the_interval(
    retry: int, base: float, maximum: float, draw: float
) -> None:
    """Semantics 3.3: a delay is a whole number of milliseconds in [0, interval)."""
    interval = backoff.exponential_interval(retry, base, maximum)
    delay = backoff.full_jitter(interval, lambda: draw)
    assert delay * 1000 == pytest.approx(round(delay * 1000))
    assert 0 <= delay < interval


def test_full_jitter_reaches_both_ends() -> None:
    """Each millisecond from 0 to 24 is drawn for an interval of 25 ms, and no other."""
    source = random.Random(7)
    assert {round(1000 * backoff.full_jitter(0.025, source.random)) for _ in range(3000)} == set(range(25))


def test_zero_seconds_leave_the_interval_to_exponential_back_off() -> None:
    """Zero ends the search for a usable header, and is no interval."""
    assert backoff.reset_interval("0", 100.0, unix_timestamp=False) == 0.0
    assert backoff.rate_limited_interval([None, 0.0, 5.0]) is None


@pytest.mark.parametrize("value", ["1.5", "-1", "", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "\u0661", "9" * 30])
def test_unusable_reset_headers_are_passed_over(value: str) -> None:
    """Semantics 3.4: fractions, negative numbers and dates say nothing."""
    assert backoff.reset_interval(value, 100.0, unix_timestamp=False) is None


@pytest.mark.parametrize(("value", "expected"), [("105", 5.0), ("100", None), ("99", None), (" 101 ", 1.0)])
def test_a_timestamp_must_lie_ahead(value: str, expected: float | None) -> None:
    """Semantics 3.4: a UNIX_TIMESTAMP counts from now, and only if it has not come yet."""
    assert backoff.reset_interval(value, 100.7, unix_timestamp=True) == expected


def test_the_first_usable_interval_within_the_maximum_counts() -> None:
    """Semantics 3.4: unusable or too long intervals give way to the next header; the maximum itself is allowed."""
    assert backoff.rate_limited_interval([None, 6.0, 5.0, 1.0], 5.0) == 5.0
    assert backoff.rate_limited_interval([None, 6.0], 5.0) is None


@given(st.integers(1, 300), unit)
def test_a_rate_limited_delay_is_never_early(seconds: int, draw: float) -> None:
    """Semantics 3.4: delay = interval + uniform[0, interval / 2)."""
    delay = backoff.half_jitter(float(seconds), lambda: draw)
    assert seconds <= delay < seconds * 1.5
