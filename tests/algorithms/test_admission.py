"""How likely a request is refused (semantics 9.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.admission import SuccessWindow, rejection_probability

counts = st.integers(0, 10**6)
shares = st.floats(0.01, 1.0)


@given(counts, shares, shares, st.floats(1.0, 10.0), shares)
def test_a_probability(total: int, success_rate: float, threshold: float, aggression: float, most: float) -> None:
    """Never below 0 nor above what is allowed; 0 while enough succeed."""
    successes = int(total * success_rate)
    share = rejection_probability(total, successes, threshold=threshold, aggression=aggression, most=most)
    assert 0 <= share <= most
    if successes >= threshold * total:
        assert share == 0


@given(st.integers(1, 10**6), shares, st.floats(1.0, 5.0), st.floats(1.0, 5.0))
def test_aggression_refuses_more(total: int, threshold: float, less: float, more: float) -> None:
    """With the same numbers, the more aggressive one never refuses less."""
    low, high = sorted((less, more))
    mild = rejection_probability(total, total // 2, threshold=threshold, aggression=low, most=1.0)
    harsh = rejection_probability(total, total // 2, threshold=threshold, aggression=high, most=1.0)
    assert mild <= harsh + 1e-12


@pytest.mark.parametrize(
    ("total", "successes", "aggression", "expected"),
    [(0, 0, 1, 0.0), (1, 0, 1, 0.5), (9, 0, 1, 0.9), (99, 0, 1, 0.95), (99, 57, 1, 0.39), (3, 0, 2, 0.866)],
)
def test_the_curve(total: int, successes: int, aggression: float, expected: float) -> None:
    """(total - successes / threshold) / (total + 1), its root, and the cap."""
    share = rejection_probability(total, successes, threshold=0.95, aggression=aggression, most=0.95)
    assert expected == pytest.approx(share, abs=0.001)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=50), st.integers(1, 10))
def test_a_window_holds_what_is_recent(steps: list[tuple[float, bool]], length: int) -> None:
    """Counts older than the window by a whole slot are gone, those within it are there."""
    window = SuccessWindow(float(length))
    now, recorded = 0.0, []
    for wait, success in steps:
        now += wait
        window.record(now, success=success)
        recorded.append((now, success))
    surely = [success for at, success in recorded if now - at < length - 1]
    at_most = [success for at, success in recorded if now - at < length]
    assert len(surely) <= window.total <= len(at_most)
    assert sum(surely) <= window.successes <= sum(at_most)


def test_the_rate_is_an_average_over_whole_seconds() -> None:
    """Requests per second since the oldest count."""
    window = SuccessWindow(30.0)
    assert window.rate(0.0) == 0
    for tenth in range(30):
        window.record(tenth / 10, success=True)
    assert (30, 15, 10) == (window.rate(0.9), window.rate(2.9), window.rate(3.0))
