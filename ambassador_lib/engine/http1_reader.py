"""What comes of one HTTP/1.1 answer, read by httptools: no input and output here, and nothing of any other answer.

httptools is given whole heads; where a body ends is found here, as it ends for Envoy and for h11. A head is bounded
while it comes, a body of known length is counted, one without a length lasts until the connection ends, and HEAD, 204,
304 and a switch of protocols have none. What Envoy's codec refuses is refused: framing that two readers may read twice.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ..errors import connection_termination, protocol_error
from .chunks import ChunkDecoder
from .framing import excess

if TYPE_CHECKING:
    from .base import Destination

Line = tuple[bytes, bytes, bytes]
"""A header's name as it came, its name in lower case, and its value."""

NAME = b"HTTP/"
"""How each answer begins."""
CURRENT = b"HTTP/1.1"
OLD = b"HTTP/1.0"

UNTIL_CLOSE = -1
CHUNKED = -2
"""In place of a body's length."""

BLANK_LINE = re.compile(rb"\n\r?\n")
LINE_END = re.compile(rb"\r?\n")
FOLD = re.compile(rb"\r?\n[ \t]+")
FOLDED_AT_ONCE = re.compile(rb"[^\n]*\n[ \t]")
NO_REASON = re.compile(rb"[\x00\x0b\x0c\r]")
MAX_DIGITS = 20
"""Of a content-length."""


class AnswerReader:
    """Reads one answer, the interim responses before it included.

    `status` is 0 until the head is there. `chunks` is what has come of the body and was not taken yet, `is_whole` says
    that nothing is missing, and `follows` that something came behind the answer, which is nobody's.
    """

    status = 0
    reason = b""
    version = CURRENT
    lines: list[Line]
    interims = 0
    """How many responses of 1xx have come and were passed over."""
    has_begun = False
    """Whether a part of a head has come."""
    is_whole = False
    keeps_alive = True
    follows = False
    _left = 0
    """Bytes of the body that are still to come, or how else its end is found."""
    _partial: bytearray | None = None
    _decoder: ChunkDecoder | None = None

    def __init__(self, method: str, destination: Destination, *, may_switch: bool = False) -> None:
        """`may_switch`: the request asks for another protocol, so that 101 is an answer to it."""
        self.chunks: deque[bytes] = deque()
        self._method = method
        self._destination = destination
        self._may_switch = may_switch

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

    # --- the head ----------------------------------------------------------------------------------------------------

    def _feed_head(self, data: bytes) -> bytes:
        """Take what belongs to a head; return what comes behind it, nothing while it is incomplete."""
        seen = 0
        if self._partial is not None:
            seen = max(0, len(self._partial) - 2)
            self._partial += data
            data = self._partial  # type: ignore[assignment]  # searched alike
        self.has_begun = True
        if not data.startswith(NAME) and not NAME.startswith(data):  # told before a line, or the head, is whole
            raise protocol_error("not HTTP/1")
        end = data.find(b"\n\r\n", seen) + 3
        if end < 3:
            blank = BLANK_LINE.search(data, seen)
            if blank is None:
                self._wait_for_more(data)
                return b""
            end = blank.end()
        head = bytes(data[:end])
        found = _HeadLines()
        parser = HttpResponseParser(found)
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            pass  # 101, judged below
        except HttpParserError as error:
            end, head = _plain(bytes(data), error)
            found = _HeadLines()
            parser = _read_leniently(head, found)
        rest = bytes(data[end:])
        self._partial = None
        self._judge(parser.get_status_code(), found, head)
        return rest

    def _wait_for_more(self, data: bytes) -> None:
        if len(data) > self._destination.max_head_size:
            raise protocol_error(f"a response head of more than {self._destination.max_head_size} bytes")
        if self._partial is None:
            self._partial = bytearray(data)

    def _judge(self, status: int, found: _HeadLines, head: bytes) -> None:
        """Take a whole head, or refuse it."""
        lines = found.lines
        if len(lines) > self._destination.max_headers or len(head) + len(lines) > self._destination.max_head_size:
            _bound(lines, len(head), self._destination)
        if b" \r" in head or b"\t\r" in head:
            found.strip()
            lines = found.lines
        if found.reason != b"OK" and NO_REASON.search(found.reason):
            raise protocol_error("control character in the reason of a response")
        if head.startswith(CURRENT):
            keeps_alive = not found.connection or b"close" not in _tokens(found.connection)
        else:
            keeps_alive = self._judge_version(head[:8], found.connection)
        if found.length is not None or found.coding is not None:
            lines = found.framed_lines(has_no_body=status < 200 or status == 204)
        if status < 200 and not (status == 101 and self._may_switch):
            self._pass_over(status)
            return
        self.status = status
        self.reason = found.reason
        self.lines = lines
        self.keeps_alive = self.keeps_alive and keeps_alive
        self._begin_body(found)

    def _judge_version(self, version: bytes, connection: bytes) -> bool:
        """Keep the connection of an HTTP/1.0 peer that asks for it, and of no other version."""
        self.version = version
        if version != OLD:
            self.keeps_alive = False
        return connection.lower() == b"keep-alive"

    def _pass_over(self, status: int) -> None:
        if status < 100:
            raise protocol_error(f"a response of status {status}")
        if status == 101:
            raise protocol_error("a switch of protocols that nobody asked for")
        self.interims += 1
        self.has_begun = False
        self.version = CURRENT

    def _begin_body(self, found: _HeadLines) -> None:
        status = self.status
        if status == 101 or (self._method == "CONNECT" and status < 300):
            self.keeps_alive = False  # what comes from now on is no HTTP
            self.is_whole = True
        elif self._method == "HEAD" or status in (204, 304):
            self.is_whole = True
        elif found.coding is not None:
            self._left = CHUNKED
            self._decoder = ChunkDecoder(self.chunks)
        elif found.length is not None:
            self._left = int(found.length)
            self.is_whole = not self._left
        else:
            self._left = UNTIL_CLOSE
            self.keeps_alive = False


class _HeadLines:
    """What httptools finds in a head."""

    reason = b""
    length: bytes | None = None
    coding: bytes | None = None
    connection = b""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def on_status(self, reason: bytes) -> None:
        self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = _lower_cased.get(name)
        if lower is None:
            lower = _learn(name)
        self.lines.append((name, lower, value))
        if lower in FRAMING:
            self._note(lower, value)

    def _note(self, lower: bytes, value: bytes) -> None:
        # Joined, a header that comes twice shows as no length and as no coding that there is.
        if lower == b"content-length":
            self.length = value if self.length is None else self.length + b"," + value
        elif lower == b"transfer-encoding":
            self.coding = value if self.coding is None else self.coding + b"," + value
        else:
            self.connection = value if not self.connection else self.connection + b"," + value

    def strip(self) -> None:
        """Take the blanks behind values away, which httptools leaves there."""
        lines, self.lines = self.lines, []
        self.length = self.coding = None
        self.connection = b""
        for name, _, value in lines:
            self.on_header(name, value.rstrip(b" \t"))

    def framed_lines(self, *, has_no_body: bool) -> list[Line]:
        """Return the lines, where they announce one body that can be told from what follows, or none."""
        if self.coding is not None:
            if has_no_body or self.length is not None:
                raise protocol_error("transfer-encoding where there is no body, or a content-length")
            if self.coding.lower() != b"chunked":
                raise protocol_error("a transfer-encoding other than chunked")
            return [
                (name, lower, b"chunked" if lower == b"transfer-encoding" else value)
                for name, lower, value in self.lines
            ]
        assert self.length is not None, "one of the two is there"
        if not self.length.isdigit() or len(self.length) > MAX_DIGITS:
            raise protocol_error("more than one content-length, or one that is no number")
        if not has_no_body:
            return self.lines
        if int(self.length):
            raise protocol_error(f"content-length {self.length.decode()} where there is no body")
        return [line for line in self.lines if line[1] != b"content-length"]  # as Envoy does (RFC 9110 8.6)


FRAMING = frozenset((b"connection", b"content-length", b"transfer-encoding"))
KEPT_NAMES = 2048
_lower_cased: dict[bytes, bytes] = {}


def _learn(name: bytes) -> bytes:
    """Upstreams use few names, each of which is put into lower case once."""
    lower = name.lower()
    if len(_lower_cased) < KEPT_NAMES and len(name) < 64:
        _lower_cased[name] = lower
    return lower


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip() for token in value.lower().split(b",")]


def _bound(lines: list[Line], size: int, destination: Destination) -> None:
    if too_much := excess(lines, destination):
        raise protocol_error(too_much)
    if size > destination.max_head_size + 4 * len(lines):  # the status line, then
        raise protocol_error(f"a response head of more than {destination.max_head_size} bytes")


def _plain(data: bytes, error: HttpParserError) -> tuple[int, bytes]:
    """Return where a head ends, and the head without what httptools minds and h11 does not: lone LF, folded lines."""
    blank = BLANK_LINE.search(data)
    assert blank is not None, "the head is whole"
    head = data[: blank.end()]
    if FOLDED_AT_ONCE.match(head):
        raise protocol_error("a folded line in front of all headers") from error
    return blank.end(), LINE_END.sub(b"\r\n", FOLD.sub(b" ", head))


def _read_leniently(head: bytes, found: _HeadLines) -> HttpResponseParser:
    """Read a head of whatever version."""
    parser = HttpResponseParser(found)
    parser.set_dangerous_leniencies(lenient_version=True)
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise protocol_error(str(error)) from error
    return parser
