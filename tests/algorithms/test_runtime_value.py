from __future__ import annotations

import pytest

from ambassador_lib.algorithms.runtime_value import integer, number, share
from ambassador_lib.policy.model.core import FractionalPercent


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3), ("3", 3), ("2.9", 2), (-1, 9), (None, 9), (True, 9), ("x", 9), (2**64, 9)]
)
def test_an_unsigned_integer_or_the_default(value: object, expected: int) -> None:
    """Fractions are cut off; what is no such number is as if it were not there."""
    assert integer(value, 9) == expected


def test_a_number_may_be_anything() -> None:
    """Negative ones and fractions, too."""
    assert [number("-1.5", 9), number(2, 9), number("?", 9)] == [-1.5, 2, 9]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, (30, 100)),
        ("30", (30, 100)),
        (FractionalPercent(numerator=5, denominator="MILLION"), (5, 1_000_000)),
        (None, None),
        ("x", None),
    ],
)
def test_a_share_is_percent_or_a_fraction(value: object, expected: object) -> None:
    """A number counts in percent."""
    assert share(value) == expected
