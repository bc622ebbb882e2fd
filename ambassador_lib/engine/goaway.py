"""GOAWAY frames taken out of the stream that `h2` sees.

`h2` shuts its state machine at a GOAWAY, and with it the streams that the peer is still going to answer
(RFC 9113 6.8). An upstream that is rolled over would so break every exchange in flight.
"""

from __future__ import annotations

import h2.exceptions

HEADER_SIZE = 9
GOAWAY = 0x7
MAX_FRAME_SIZE = 2**14
"""We never allow the peer more (`SETTINGS_MAX_FRAME_SIZE`)."""


class GoawayFilter:
    """Splits received bytes into frames; remembers the last stream that the peer still processes."""

    def __init__(self) -> None:
        self.last_stream_id: int | None = None
        self._pending = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the whole frames in what has come so far, but for GOAWAY; `FrameTooLargeError`."""
        self._pending += data
        pending = self._pending
        passed = bytearray()
        start = 0
        while len(pending) - start >= HEADER_SIZE:
            size = int.from_bytes(pending[start : start + 3], "big")
            if size > MAX_FRAME_SIZE:  # `h2` would wait for all of it: for megabytes, where the peer speaks HTTP/1.1
                raise h2.exceptions.FrameTooLargeError(f"frame of {size} bytes")
            end = start + HEADER_SIZE + size
            if end > len(pending):
                break
            if pending[start + 3] == GOAWAY and size >= 8:
                payload = start + HEADER_SIZE
                self.last_stream_id = int.from_bytes(pending[payload : payload + 4], "big") & 0x7FFFFFFF
            else:
                passed += pending[start:end]
            start = end
        del pending[:start]
        return bytes(passed)
