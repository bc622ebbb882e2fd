"""What comes of one HTTP/1.1 answer: no input and output here, and nothing of any other answer.

`http1_head` reads the head; where the body ends is found here. A head is bounded while it comes, a body of known
length is counted, one without a length lasts until the connection ends; HEAD, 204, 304 and a switch of protocols have
none.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from ..errors import connection_termination, protocol_error
from .chunks import ChunkDecoder
from .http1_head import AnswerHead

if TYPE_CHECKING:
    from .base import Destination

NAME = b"HTTP/"
"""How each answer begins."""
BLANK_LINE = re.compile(rb"\n\r?\n")
BODILESS = frozenset((101, 204, 304))
UNTIL_CLOSE = -1
"""In place of a body's length."""


class AnswerReader:
    """Reads one answer, the interim responses before it included.

    `status` is 0 until the head is there. `chunks` is what has come of the body and was not taken yet, `is_whole` says
    that nothing is missing, and `follows` that something came behind the answer, which is nobody's.
    """

    status = 0
    head: AnswerHead | None = None
    """The last that was read, of an interim response maybe."""
    interims = 0
    """How many responses of 1xx have come and were passed over."""
    has_begun = False
    """Whether a part of a head has come."""
    is_whole = False
    keeps_alive = True
    follows = False
    _left = 0
    """Bytes of the body that are still to come, or `UNTIL_CLOSE`."""
    _partial: bytearray | None = None
    _decoder: ChunkDecoder | None = None

    def __init__(
        self, method: str, destination: Destination, *, may_switch: bool = False, known: AnswerHead | None = None
    ) -> None:
        """`may_switch`: the request asks for another protocol, so that 101 is an answer to it.

        `known`: an earlier head of the same destination's. Upstreams repeat themselves, and what they repeat to the
        last byte is not read again.
        """
        self.chunks: deque[bytes] = deque()
        self._method = method
        self._destination = destination
        self._may_switch = may_switch
        self._known = known

    def feed(self, data: bytes) -> None:
        """Take what has come; `UpstreamResetError` where Envoy would not take it for HTTP."""
        while data and not self.status:
            data = self._feed_head(data)
        if not data:
            return
        if self.is_whole:
            self.follows = True
        elif self._left > 0:
            if len(data) > self._left:
                self.follows = True
                data = data[: self._left]
            self._left -= len(data)
            self.is_whole = not self._left
            self.chunks.append(data)
        elif self._decoder is not None:
            self._decoder.feed(data, self._destination.max_head_size)
            self.is_whole = self._decoder.is_whole
            self.follows = self._decoder.follows
        else:
            self.chunks.append(data)

    def end(self) -> None:
        """The connection has ended; `UpstreamResetError` where something is missing."""
        if self.is_whole:
            return
        if not self.status:
            # Envoy's parser complains of an end within the head only (semantics 12.1; scenario `close_in_headers`).
            if self.has_begun:
                raise protocol_error("connection closed within the response's headers")
            raise connection_termination()
        if self._left != UNTIL_CLOSE:
            raise protocol_error("connection closed within the response's body")
        self.is_whole = True

    def _feed_head(self, data: bytes) -> bytes:
        """Take what belongs to a head; return what comes behind it, nothing while it is incomplete."""
        if self._partial is None:
            known = self._known
            if known is not None and data.startswith(known.raw):
                self._take(known)
                return data[len(known.raw) :]
            if data.startswith(NAME):
                end = data.find(b"\n\r\n") + 3
                if end > 2:
                    return self._read_head(data, end)
        return self._feed_part(data)

    def _feed_part(self, data: bytes) -> bytes:
        """Take what may be a part of a head, or all that was missing."""
        self.has_begun = True
        partial = bytearray() if self._partial is None else self._partial
        seen = max(0, len(partial) - 2)
        partial += data
        if not partial.startswith(NAME) and not NAME.startswith(partial):  # told before a line, or the head, is whole
            raise protocol_error("not HTTP/1")
        blank = BLANK_LINE.search(partial, seen)
        if blank is not None:
            self._partial = None
            return self._read_head(bytes(partial), blank.end())
        if len(partial) > self._destination.max_head_size:
            raise protocol_error(f"a response head of more than {self._destination.max_head_size} bytes")
        self._partial = partial
        return b""

    def _read_head(self, data: bytes, end: int) -> bytes:
        self.has_begun = True
        head = AnswerHead(data, end)
        head.judge(self._destination)
        self._take(head)
        return data[head.end :]

    def _take(self, head: AnswerHead) -> None:
        """Go on with the body, or with the next head behind an interim response."""
        self.head = head
        status = head.status
        if not head.keeps_alive:
            self.keeps_alive = False
        if status < 200 and not (status == 101 and self._may_switch):
            if status == 101:
                raise protocol_error("a switch of protocols that nobody asked for")
            self.interims += 1
            self.has_begun = False
            return
        self.status = status
        if self._method == "HEAD" or status in BODILESS or (self._method == "CONNECT" and status < 300):
            self.is_whole = True
            if status == 101 or self._method == "CONNECT":
                self.keeps_alive = False  # what comes from now on is no HTTP
        elif head.length is not None:
            self._left = head.length
            self.is_whole = not head.length
            if head.keeps_alive:
                head.whole_size = len(head.raw) + head.length
        elif head.is_chunked:
            self._decoder = ChunkDecoder(self.chunks)
        else:
            self._left = UNTIL_CLOSE
            self.keeps_alive = False
