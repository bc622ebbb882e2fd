"""Decoding of gzip, piece by piece."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.inflate import Inflater


@given(st.binary(max_size=5000), st.integers(1, 100))
def test_pieces_of_any_size_make_the_whole(data: bytes, size: int) -> None:
    """However the encoded body is cut."""
    packed = gzip.compress(data)
    decoder = Inflater(ratio=10_000)
    pieces = (packed[start : start + size] for start in range(0, len(packed), size))
    assert data == b"".join(map(decoder.feed, pieces))


@given(st.binary(max_size=200))
def test_nonsense_ends_the_output(data: bytes) -> None:
    """Nothing is raised, and nothing comes any more."""
    decoder = Inflater()
    decoder.feed(b"nonsense")
    assert b"" == decoder.feed(data)


@pytest.mark.parametrize(("ratio", "length"), [(10, 12_288), (100, 102_400), (10_000, 1_000_000)])
def test_too_much_is_cut(ratio: int, length: int) -> None:
    """Behind the chunk of 4096 bytes with which it is too much."""
    packed = gzip.compress(bytes(1_000_000), mtime=0)
    decoder = Inflater(ratio=ratio)
    assert bytes(length) == decoder.feed(packed)
    assert b"" == decoder.feed(b"more")
