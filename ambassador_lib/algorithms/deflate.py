"""Encoding as gzip, piece by piece."""

from __future__ import annotations

import zlib

LEVELS = {"DEFAULT_COMPRESSION": -1, "BEST_SPEED": 1, "BEST_COMPRESSION": 9} | {
    f"COMPRESSION_LEVEL_{level}": level for level in range(1, 10)
}
STRATEGIES = {
    "DEFAULT_STRATEGY": zlib.Z_DEFAULT_STRATEGY,
    "FILTERED": zlib.Z_FILTERED,
    "HUFFMAN_ONLY": zlib.Z_HUFFMAN_ONLY,
    "RLE": zlib.Z_RLE,
    "FIXED": zlib.Z_FIXED,
}


class Deflater:
    """Encodes one body. Whatever is fed can be decoded from what comes out at once: nothing waits for more."""

    def __init__(
        self, level: int = -1, window_bits: int = 12, memory_level: int = 5, strategy: int = zlib.Z_DEFAULT_STRATEGY
    ) -> None:
        self._encoder = zlib.compressobj(level, zlib.DEFLATED, 16 + window_bits, memory_level, strategy)

    def feed(self, data: bytes) -> bytes:
        """Return a piece encoded."""
        if not data:
            return b""
        return self._encoder.compress(data) + self._encoder.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """Return the end of the encoded body."""
        return self._encoder.flush()

    def whole(self, data: bytes) -> bytes:
        """Return a body that is there as a whole, encoded."""
        return self._encoder.compress(data) + self._encoder.flush()
