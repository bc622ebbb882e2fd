"""Buckets that are filled a bit at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.token_bucket import TokenBucket

STEPS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3)), max_size=60)


def test_it_starts_full_and_is_filled_continuously() -> None:
    """4 tokens, 2 a second: four at once, then one every half second (verified)."""
    bucket = TokenBucket(4, 2.0, 0.0)
    assert [True] * 4 + [False] == [bucket.take(0.0) for _ in range(5)]
    assert [False, True, False, True] == [bucket.take(now) for now in (0.4, 0.5, 0.9, 1.0)]


def test_no_more_is_taken_than_there_is() -> None:
    """A call that needs two tokens leaves a single one where it is."""
    bucket = TokenBucket(3, 0.1, 0.0)
    assert bucket.take(0.0, 2)
    assert not bucket.take(0.0, 2)
    assert 1 == bucket.left(0.0)
    assert (1, 0) == (bucket.take_up_to(0.0, 5), bucket.take_up_to(0.0, 5))


def test_the_wait_is_told_in_whole_seconds_rounded_up() -> None:
    """Nothing while there is a token left (verified: one in 10 s, after 0.7 s it is 10, after 1.3 s 9)."""
    bucket = TokenBucket(1, 0.1, 0.0)
    assert 0 == bucket.next_in(0.0)
    bucket.take(0.0)
    assert [10, 10, 9, 1, 0] == [bucket.next_in(now) for now in (0.0, 0.7, 1.3, 9.5, 10.0)]


@given(most=st.integers(1, 20), rate=st.floats(0.01, 50), steps=STEPS)
def test_no_window_lets_more_through_than_size_and_rate_allow(
    most: int, rate: float, steps: list[tuple[float, int]]
) -> None:
    """However calls come, by any time `most + rate * time` have passed at most, and the bucket never overflows."""
    bucket, now, taken = TokenBucket(most, rate, 0.0), 0.0, 0
    for wait, count in steps:
        now += wait
        taken += count if bucket.take(now, count) else 0
        assert taken <= most + rate * now + 1e-6
        assert 0 <= bucket.left(now) <= most
        assert (bucket.next_in(now) == 0) == (bucket.left(now) >= 1)


@given(rate=st.integers(1, 1000), count=st.integers(1, 200))
def test_a_steady_caller_at_the_rate_is_never_refused(rate: int, count: int) -> None:
    """Parts of tokens are not lost, however they add up."""
    bucket = TokenBucket(1, float(rate), 0.0)
    assert all(bucket.take(n / rate) for n in range(count))
