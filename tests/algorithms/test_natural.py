"""Whole numbers in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.natural import natural


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_every_64_bit_number_is_read(number: int) -> None:
    """What fits into 64 bits is read as it was written."""
    assert natural(str(number)) == number


@pytest.mark.parametrize("text", ["", " 1", "1.5", "-1", "+1", "0x10", "\u00b2", "\u0661", "9" * 21, "9" * 5000])
def test_anything_else_is_no_number(text: str) -> None:
    """Neither other digits than ASCII's nor more of them than a number has; nothing raises."""
    assert natural(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    """The answer to any text is a number or `None`."""
    assert natural(text) is None or int(text) == natural(text)
