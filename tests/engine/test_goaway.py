"""GOAWAY is taken out, whatever pieces the frames come in."""

from __future__ import annotations

from itertools import pairwise

import h2.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.engine.goaway import GoawayFilter


def frame(kind: int, payload: bytes, stream_id: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream_id.to_bytes(4, "big") + payload


OTHERS = st.tuples(st.integers(0, 6), st.binary(max_size=40))
CUTS = st.lists(st.integers(0, 400), max_size=10)


@given(
    before=st.lists(OTHERS, max_size=4), after=st.lists(OTHERS, max_size=4), last=st.integers(0, 2**31 - 1), cuts=CUTS
)
def test_all_but_goaway_passes(
    before: list[tuple[int, bytes]], after: list[tuple[int, bytes]], last: int, cuts: list[int]
) -> None:
    """The other frames pass unchanged and in order; the last stream is remembered."""
    first = b"".join(frame(kind, payload) for kind, payload in before)
    second = b"".join(frame(kind, payload) for kind, payload in after)
    data = first + frame(7, last.to_bytes(4, "big") + bytes(4) + b"debug", 0) + second
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    frames = GoawayFilter()
    passed = b"".join(frames.feed(data[start:end]) for start, end in pairwise(edges))
    assert passed == first + second
    assert frames.last_stream_id == last


def test_what_is_no_http2_is_refused_at_once() -> None:
    """An HTTP/1.1 answer would be a frame of megabytes."""
    with pytest.raises(h2.exceptions.FrameTooLargeError):
        GoawayFilter().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
