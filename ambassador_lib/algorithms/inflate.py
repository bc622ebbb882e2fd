"""Decoding of gzip, piece by piece."""

from __future__ import annotations

import zlib


class Inflater:
    """Decodes one body. What is no gzip, or too much for what came, ends the output; nobody is told, as in Envoy."""

    def __init__(self, window_bits: int = 15, ratio: int = 100, chunk: int = 4096) -> None:
        self._ratio = ratio
        self._chunk = chunk
        self._decoder = zlib.decompressobj(16 + window_bits)
        self._broken = False

    def feed(self, data: bytes) -> bytes:
        """Return what a piece decodes to; no more than the chunk with which it is `ratio` times as much."""
        if self._broken or not data:
            return b""
        most = (self._ratio * len(data) // self._chunk + 1) * self._chunk
        try:
            decoded = self._decoder.decompress(data, most)
        except zlib.error:
            self._broken = True
            return b""
        self._broken = bool(self._decoder.unconsumed_tail) or self._decoder.eof
        return decoded

    def finish(self) -> bytes:
        """Return nothing: all that can be decoded has been."""
        return b""
