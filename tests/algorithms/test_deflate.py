"""Encoding as gzip, piece by piece."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.deflate import LEVELS, STRATEGIES, Deflater


@given(st.lists(st.binary(max_size=2000), max_size=10))
def test_every_piece_can_be_decoded_at_once(pieces: list[bytes]) -> None:
    """What comes out for a piece yields the piece, whatever follows; together they are one whole gzip."""
    encoder, decoder = Deflater(), zlib.decompressobj(31)
    out = b""
    for piece in pieces:
        made = encoder.feed(piece)
        assert decoder.decompress(made) == piece
        out += made
    assert gzip.decompress(out + encoder.finish()) == b"".join(pieces)


@pytest.mark.parametrize("level", LEVELS.values())
@pytest.mark.parametrize("strategy", STRATEGIES.values())
def test_settings_make_the_same_body(level: int, strategy: int) -> None:
    """Level, strategy, window and memory only change how it is encoded."""
    data = b"hello " * 1000
    for window, memory in ((9, 1), (15, 9)):
        assert gzip.decompress(Deflater(level, window, memory, strategy).whole(data)) == data


def test_an_empty_body_is_encoded_too() -> None:
    """An encoding of nothing is not nothing."""
    assert gzip.decompress(Deflater().whole(b"")) == b""
