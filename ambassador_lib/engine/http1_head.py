"""The head of one HTTP/1.1 answer, read by httptools and judged as Envoy's codec judges it.

What h11 takes and httptools does not is read in a second look: lines that end in LF alone, folded lines, versions that
nobody speaks. What Envoy refuses is refused: above all, framing that two readers may read twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import protocol_error
from .framing import excess

try:
    from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
except ImportError:  # compiled, and nobody has done so for this Python
    from .http1_lines import HttpParserError, HttpParserUpgrade, HttpResponseParser  # type: ignore[assignment]

if TYPE_CHECKING:
    from .base import Destination

Line = tuple[bytes, bytes, bytes]
"""A header's name as it came, its name in lower case, and its value."""

CURRENT = b"HTTP/1.1"
OLD = b"HTTP/1.0"
CONNECTION = b"connection"
CONTENT_LENGTH = b"content-length"
TRANSFER_ENCODING = b"transfer-encoding"
MAX_DIGITS = 20
"""Of a content-length."""
BLANK_LINE = re.compile(rb"\n\r?\n")
LINE_END = re.compile(rb"\r?\n")
FOLD = re.compile(rb"\r?\n[ \t]+")
FOLDED_AT_ONCE = re.compile(rb"[^\n]*\n[ \t]")
NO_REASON = re.compile(rb"[\x00\x0b\x0c\r]")

KEPT_NAMES = 2048
_framing = {name: name for name in (CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING)}
_lower_cased: dict[bytes, bytes] = {}


class AnswerHead:
    """What a head says: `raw` is all of it as it came, `end` where that is in what was read.

    `length` and `is_chunked` are what it announces, whether there will be a body or not.
    """

    reason = b""
    version = CURRENT
    keeps_alive = True
    length: int | None = None
    is_chunked = False
    whole_size: int | None = None
    """Bytes of an answer with this head, where that ends with a body of the announced length."""
    _length: bytes | None = None
    _coding: bytes | None = None
    _connection = b""

    def __init__(self, data: bytes, end: int) -> None:
        """Read the head that ends at `end`, or before that where lines do not end in CRLF."""
        self.lines: list[Line] = []
        self.raw = data[:end]
        self.end = end
        parser = HttpResponseParser(self)
        try:
            parser.feed_data(self.raw)
        except HttpParserUpgrade:
            pass  # 101, which the reader judges
        except HttpParserError as error:
            parser = self._read_leniently(data, error)
        self.status: int = parser.get_status_code()

    def _read_leniently(self, data: bytes, error: HttpParserError) -> HttpResponseParser:
        blank = BLANK_LINE.search(data)
        assert blank is not None, "the head is whole"
        self.end = blank.end()
        self.raw = data[: self.end]
        if FOLDED_AT_ONCE.match(self.raw):
            raise protocol_error("a folded line in front of all headers") from error
        self.lines = []
        self.reason = self._connection = b""
        self._length = self._coding = None
        parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(lenient_version=True)
        try:
            parser.feed_data(LINE_END.sub(b"\r\n", FOLD.sub(b" ", self.raw)))
        except HttpParserUpgrade:
            pass
        except HttpParserError:
            raise protocol_error(str(error)) from error
        return parser

    def on_status(self, reason: bytes) -> None:
        """Note what httptools has found behind the status."""
        self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header that httptools has found; it leaves the blanks behind a value."""
        lower = _lower_cased.get(name)
        if lower is None:
            lower = _learn(name)
        value = value.rstrip()
        self.lines.append((name, lower, value))
        # Joined, a header that comes twice shows as no length and as no coding that there is.
        if lower is CONTENT_LENGTH:
            self._length = value if self._length is None else self._length + b"," + value
        elif lower is TRANSFER_ENCODING:
            self._coding = value if self._coding is None else self._coding + b"," + value
        elif lower is CONNECTION:
            self._connection = value if not self._connection else self._connection + b"," + value

    def judge(self, destination: Destination) -> None:
        """Refuse what Envoy would not take; `UpstreamResetError`."""
        if self.status < 100:
            raise protocol_error(f"a response of status {self.status}")
        size, count = len(self.raw), len(self.lines)
        if count > destination.max_headers or size + count > destination.max_head_size:
            self._bound(destination)
        if self.reason != b"OK" and NO_REASON.search(self.reason):
            raise protocol_error("control character in the reason of a response")
        if not self.raw.startswith(CURRENT):
            self._judge_version()
        elif self._connection:
            connection = self._connection.lower()
            if connection != b"keep-alive" and self.status >= 200:
                self.keeps_alive = b"close" not in [token.strip() for token in connection.split(b",")]
        if self._coding is not None or self._length is not None:
            self._judge_framing(has_no_body=self.status < 200 or self.status == 204)

    def _bound(self, destination: Destination) -> None:
        if too_much := excess(self.lines, destination):
            raise protocol_error(too_much)
        if len(self.raw) > destination.max_head_size + 4 * len(self.lines):  # the status line, then
            raise protocol_error(f"a response head of more than {destination.max_head_size} bytes")

    def _judge_version(self) -> None:
        """Keep the connection of an HTTP/1.0 peer that asks for it, and of no other version."""
        self.version = self.raw[:8]
        asks = self._connection.lower() == b"keep-alive" or self.status < 200
        self.keeps_alive = self.version == OLD and asks

    def _judge_framing(self, *, has_no_body: bool) -> None:
        """Refuse what announces no body that can be told from what follows."""
        length, coding = self._length, self._coding
        if coding is not None:
            if has_no_body or length is not None:
                raise protocol_error("transfer-encoding where there is no body, or a content-length")
            if coding.lower() != b"chunked":
                raise protocol_error("a transfer-encoding other than chunked")
            if coding != b"chunked":
                self.lines = [(line[0], line[1], line[2].lower()) if line[2] == coding else line for line in self.lines]
            self.is_chunked = True
            return
        assert length is not None, "one of the two is there"
        if not length.isdigit() or len(length) > MAX_DIGITS:
            raise protocol_error("more than one content-length, or one that is no number")
        self.length = int(length)
        if has_no_body:
            if self.length:
                raise protocol_error(f"content-length {self.length} where there is no body")
            # As Envoy does (RFC 9110 8.6).
            self.lines = [line for line in self.lines if line[1] != CONTENT_LENGTH]


def _learn(name: bytes) -> bytes:
    """Put a name into lower case; upstreams use few. Those that matter here come out as the constants."""
    lower = name.lower()
    lower = _framing.get(lower, lower)
    if len(_lower_cased) < KEPT_NAMES and len(name) < 64:
        _lower_cased[name] = lower
    return lower
