"""What is sent of an HTTP/1.1 request: its head in one piece, and its body as the head announces it.

Only what is legal leaves: a header that cannot be sent, or a body that breaks its announcement, is the application's
`httpx.LocalProtocolError`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import httpx

from ..call import Header
from .framing import announcement

if TYPE_CHECKING:
    from .base import Exchange

CHUNKED = -1
"""In place of a body's length."""
MAX_DIGITS = 20
"""Of a content-length."""
TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
VALUE = re.compile(rb"(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?")
WORD = re.compile(rb"(?<![A-Za-z0-9])[a-z]")
SENT = bytes(1 if code in b"\x00\n\x0b\x0c\r" else code for code in range(256))
"""What a value consists of stays as it is, translated by this; what it must not have in it does not."""

JUDGED = frozenset((b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade"))
KEPT_NAMES = 2048
KEPT_LINES = 1024
KEPT_VALUES = 16
"""Of one name: those whose values are new with each request soon find no room."""
LONGEST_KEPT = 256
"""Bytes of a line that is kept, and of a target in one."""
SECRET = re.compile(rb"auth|cookie|credential|key|passw|secret|session|signature|token")
"""In names of headers whose values are nobody's to keep; where it is found in others, no harm is done."""
_harmless: dict[bytes, int] = {}
"""Names that were found legal and say nothing of the connection or of the body: nearly all that there are.

Each with how many more of its lines may be kept.
"""
_lines: dict[Header, bytes] = {}
"""Lines as they are sent, of headers that were found legal: requests repeat most of theirs."""


class RequestWriter:
    """One request: `head`, then each piece of its body as `piece` frames it, then `end`."""

    closes = False
    """Whether the request ends its connection."""
    asks_to_switch = False
    """Whether the request asks for another protocol."""
    _left: int | None = None
    """Bytes of the body that the head announces and that are still to come, or `CHUNKED`."""
    _length: bytes | None = None
    _is_coded = False

    def __init__(self, exchange: Exchange, body: bytes | None) -> None:
        """`body`: what follows, where it is at hand; `None` where it will be streamed."""
        is_proper = exchange.destination.proper_case
        method, target, headers = exchange.method, exchange.target, exchange.headers
        start = _start if len(target) < LONGEST_KEPT else _start.__wrapped__
        lines = [start(method, target, exchange.authority, is_proper)]
        if is_proper:
            headers = [(proper_case(name), value) for name, value in headers]
        known = _lines
        for header in headers:
            line = known.get(header) or self._line(header)
            if line:
                lines.append(line)
        if self._is_coded:
            self._left = CHUNKED
        elif self._length is not None:
            self._left = int(self._length)
        else:
            announced = announcement(body, method)
            if announced is not None:
                lines.append(b": ".join((proper_case(announced[0]), announced[1]) if is_proper else announced))
            self._left = CHUNKED if body is None else len(body)
        lines.append(b"\r\n")
        self.head = b"\r\n".join(lines)

    def whole(self, body: bytes) -> bytes:
        """Return all of the request, with a body that is at hand."""
        if not body and not self._left:
            return self.head
        return b"".join((self.head, self.piece(body), self.end()))

    def piece(self, chunk: bytes) -> bytes:
        """Return a piece of the body as it is sent."""
        if self._left == CHUNKED:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
        assert self._left is not None, "known with the head"
        self._left -= len(chunk)
        if self._left < 0:
            raise httpx.LocalProtocolError("Too much data for declared Content-Length")
        return chunk

    def end(self) -> bytes:
        """Return what ends the body."""
        if self._left == CHUNKED:
            return b"0\r\n\r\n"
        if self._left:
            raise httpx.LocalProtocolError("Too little data for declared Content-Length")
        return b""

    def _line(self, header: Header) -> bytes:
        """Return a header as it is sent, where it may be; nothing for what has been said already."""
        name, value = header
        room = _harmless.get(name)
        if room is None:
            lower = _legal(name)
            if lower in JUDGED:
                judged = self._judged(lower, value)
                if judged is None:
                    return b""
                value = judged
        if value.translate(SENT) != value or value.strip() != value:
            raise httpx.LocalProtocolError(f"Illegal header value {value!r}")
        line = b"%b: %b" % (name, value)
        if room and len(_lines) < KEPT_LINES and len(line) < LONGEST_KEPT:
            _harmless[name] = room - 1
            _lines[header] = line
        return line

    def _judged(self, lower: bytes, value: bytes) -> bytes | None:
        """Look at what is said of the connection and of the body; return what is to be sent of it."""
        if lower == b"content-length":
            length = _length(value)
            before, self._length = self._length, length
            if before is None:
                return length
            if before != length:
                raise httpx.LocalProtocolError("conflicting Content-Length headers")
            return None
        if lower == b"transfer-encoding":
            if self._is_coded:
                raise httpx.LocalProtocolError("multiple Transfer-Encoding headers")
            self._is_coded = True
            value = value.lower()
            if value != b"chunked":
                raise httpx.LocalProtocolError("Only Transfer-Encoding: chunked is supported")
        elif lower == b"host":
            raise httpx.LocalProtocolError("Found multiple Host: headers")
        elif lower == b"connection":
            self.closes = self.closes or b"close" in [token.strip() for token in value.lower().split(b",")]
        else:
            self.asks_to_switch = self.asks_to_switch or bool(value)
        return value


def _legal(name: bytes) -> bytes:
    """Return a header's name in lower case, where it is one."""
    if not TOKEN.fullmatch(name):
        raise httpx.LocalProtocolError(f"Illegal header name {name!r}")
    lower = name.lower()
    if lower not in JUDGED and len(_harmless) < KEPT_NAMES and len(name) < 64:
        _harmless[name] = 0 if SECRET.search(lower) else KEPT_VALUES
    return lower


def _length(value: bytes) -> bytes:
    lengths = {length.strip() for length in value.split(b",")}
    if len(lengths) != 1:
        raise httpx.LocalProtocolError("conflicting Content-Length headers")
    (length,) = lengths
    if not length.isdigit() or len(length) > MAX_DIGITS:
        raise httpx.LocalProtocolError("bad Content-Length")
    return length


@lru_cache(maxsize=256)
def _start(method: str, target: str, authority: str, is_proper: bool) -> bytes:  # noqa: FBT001 - quicker so
    """Return the request line and the host's."""
    if not (target.isascii() and target.isprintable()) or " " in target or not target:
        raise httpx.LocalProtocolError("Illegal target characters")
    name = method.encode("latin-1", "replace")
    if not TOKEN.fullmatch(name):
        raise httpx.LocalProtocolError("Illegal method characters")
    host = authority.encode("latin-1")
    if not VALUE.fullmatch(host):
        raise httpx.LocalProtocolError(f"Illegal header value {host!r}")
    return b"%b %b HTTP/1.1\r\n%b: %b" % (name, target.encode(), b"Host" if is_proper else b"host", host)


@lru_cache(maxsize=1024)
def proper_case(name: bytes) -> bytes:
    """Return a header's name with a capital at its start and after whatever is no letter and no digit.

    Source: `Http1ProtocolOptions.HeaderKeyFormat.proper_case_words`.
    """
    return WORD.sub(lambda found: found[0].upper(), name)
