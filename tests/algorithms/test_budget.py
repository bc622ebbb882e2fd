from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.budget import retry_limit


@pytest.mark.parametrize(("others", "expected"), [(0, 0), (1, 1), (3, 2), (9, 5), (20, 10)])
def test_half_of_the_requests_may_retry(others: int, expected: int) -> None:
    """Semantics 3.5: 50 %, no minimum, beside the failing request itself."""
    assert retry_limit(others + 1, 50, 0) == expected


def test_the_defaults_are_a_fifth_and_three() -> None:
    """`retry_budget: {}` allows 20 %, and three retries in any case."""
    assert [retry_limit(requests) for requests in (1, 15, 19, 20, 100)] == [3, 3, 3, 4, 20]


@given(st.integers(0, 5000), st.floats(0, 100), st.integers(0, 50))
def test_the_limit_lies_between_the_minimum_and_all(requests: int, percent: float, minimum: int) -> None:
    """A budget never asks for more retries than there are requests, but for the minimum."""
    assert minimum <= retry_limit(requests, percent, minimum) <= max(minimum, requests)
