"""Chunked bodies of HTTP/1.1, read as h11 reads them: llhttp refuses extensions that servers send."""

from __future__ import annotations

import re
from collections import deque

from ..errors import protocol_error

BLANK_LINE = re.compile(rb"\n\r?\n")
EMPTY = re.compile(rb"\r?\n")
FOLD = re.compile(rb"\r?\n[ \t]+")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\n]*)?[ \t]*")
TRAILER = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+:[ \t]*(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?[ \t]*\r?\n")


class ChunkDecoder:
    """Takes the framing of one body away: what is left is appended to `chunks`; trailers are passed over."""

    is_whole = False
    follows = False
    """Whether something came behind the end."""
    _left = 0
    """Bytes of the current chunk that are still to come."""
    _is_within = False
    """Whether a chunk has begun whose end has not been seen."""
    _is_last = False
    """Whether nothing but trailers is to come."""

    def __init__(self, chunks: deque[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def feed(self, data: bytes, max_framing: int) -> None:
        """Take what has come; `UpstreamResetError` for what is no framing, or `max_framing` bytes of it at once."""
        data = self._rest + data
        at = 0
        while not self.is_whole:
            if self._left:
                end = self._take_content(data, at)
            elif self._is_within:
                end = self._take_end(data, at)
            elif self._is_last:
                end = self._take_trailers(data, at)
            else:
                end = self._take_size(data, at)
            if end == at:
                break
            at = end
        self._rest = data[at:]
        if self.is_whole:
            self.follows = bool(self._rest)
        elif len(self._rest) > max_framing:
            raise protocol_error(f"more than {max_framing} bytes of framing in a chunked body")

    def _take_content(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._left]
        if piece:
            self._left -= len(piece)
            self._chunks.append(piece)
        return at + len(piece)

    def _take_end(self, data: bytes, at: int) -> int:
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise protocol_error("a chunk is longer than its size")
        if len(end) < 2:
            return at
        self._is_within = False
        return at + 2

    def _take_size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return at
        size = SIZE.fullmatch(data, at, end)
        if size is None:
            raise protocol_error("a chunk without a size")
        self._left = int(size[1], 16)
        self._is_within = self._left > 0
        self._is_last = not self._is_within
        return end + 2

    def _take_trailers(self, data: bytes, at: int) -> int:
        end = EMPTY.match(data, at)
        if end is None:
            end = BLANK_LINE.search(data, at)
            if end is None:
                return at
            lines = FOLD.sub(b" ", data[at : end.start() + 1])
            if not all(map(TRAILER.fullmatch, lines.splitlines(keepends=True))):
                raise protocol_error("a trailer that is none")
        self.is_whole = True
        return end.end()
