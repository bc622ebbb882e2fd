"""`grpc-timeout` and the limits that follow from it (semantics 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.grpc_timeout import StreamDuration, parse, render, route_timeout

milliseconds = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1H", 3_600_000), (b"2M", 120_000), (b"3S", 3_000), (b"4m", 4), (b"1500u", 2), (b"999999n", 1), (b"0n", 0),
        (b"005m", 5), (b"5 m", 5), (b"+5m", 5), (b"99999999m", 99_999_999), (b"100000000m", None), (b"5", None),
        (b"5x", None), (b"-5m", None), (b"m", None), (b"", None), (None, None), ("\u0665m".encode(), None),
    ],
)  # fmt: skip
def test_what_a_header_says(text: bytes | None, expected: int | None) -> None:
    """Begun milliseconds count whole, eight digits are the most, and nonsense says nothing."""
    assert expected == parse(text)


@given(milliseconds)
def test_what_is_written_is_read_again(time: int) -> None:
    """Eight digits always hold it, and nothing is lost but what a coarser unit cuts."""
    text = render(time)
    assert len(text) <= 9
    again = parse(text)
    assert again is not None
    assert again <= time
    if time < 99_999_999 * 3_600_000:
        assert time - again < 3_600_000
    if time <= 99_999_999:
        assert time == again


@given(milliseconds, st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_streams_limit_is_capped_before_the_offset(asked: int, cap: int, offset: int) -> None:
    """It never exceeds the cap, is never negative, and falls short of the request by the offset alone."""
    limit = StreamDuration(7, header_max=cap, header_offset=offset).limit(asked)
    assert limit is not None
    assert 0 <= limit <= asked
    if cap:
        assert limit <= max(0, cap - offset)
    if not cap or asked <= cap:
        assert limit == max(0, asked - offset)


@given(st.one_of(st.none(), milliseconds), st.integers(0, 10**6))
def test_without_a_header_or_a_place_for_it_the_maximum_counts(asked: int | None, maximum: int) -> None:
    """0 is none."""
    assert (maximum or None) == StreamDuration(maximum).limit(asked)
    assert (maximum or None) == StreamDuration(maximum, header_max=5).limit(None)


@given(st.one_of(st.none(), milliseconds), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_routes_timeout_is_capped_after_the_offset(asked: int | None, cap: int, offset: int) -> None:
    """No time is without end where there is a cap, and an offset that leaves nothing is not taken off."""
    timeout = route_timeout(asked, cap, offset)
    left = (asked or 0) - offset if offset < (asked or 0) else asked or 0
    if cap:
        assert timeout == (min(left, cap) if left else cap)
    else:
        assert timeout == left
