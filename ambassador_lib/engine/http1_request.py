"""What is sent of an HTTP/1.1 request: its head in one piece, and its body as the head announces it.

Only what is legal leaves: a header that cannot be sent, or a body that breaks its announcement, is the application's
`httpx.LocalProtocolError`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
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
SENDABLE = bytes(set(range(256)) - set(b"\x00\n\x0b\x0c\r"))
"""What a head consists of, but for the ends of its lines."""

JUDGED = frozenset((b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade"))
KEPT_NAMES = 2048
_harmless: set[bytes] = set()
"""Names that were found legal and say nothing of the connection or of the body: nearly all that there are."""
_name = itemgetter(0)
_value = itemgetter(1)


class RequestWriter:
    """One request: `head`, then each piece of its body as `piece` frames it, then `end`."""

    closes = False
    """Whether the request ends its connection."""
    asks_to_switch = False
    """Whether the request asks for another protocol."""
    _left: int | None = None
    """Bytes of the body that the head announces and that are still to come, or `CHUNKED`."""

    def __init__(self, exchange: Exchange, body: bytes | None) -> None:
        """`body`: what follows, where it is at hand; `None` where it will be streamed."""
        headers = exchange.headers
        if not _harmless.issuperset(map(_name, headers)):
            headers = self._judged(headers)
        if self._left is None:
            self._left = CHUNKED if body is None else len(body)
            announced = announcement(body, exchange.method)
            if announced is not None:
                headers = [*headers, announced]
        is_proper = exchange.destination.proper_case
        if is_proper:
            headers = [(proper_case(name), value) for name, value in headers]
        target = exchange.target
        if not (target.isascii() and target.isprintable()) or " " in target or not target:
            raise httpx.LocalProtocolError("Illegal target characters")
        before, behind = _around_target(exchange.method, exchange.authority, is_proper)
        lines = [before + target.encode() + behind, *map(b": ".join, headers), b"\r\n"]
        self.head = b"\r\n".join(lines)
        values = [*map(_value, headers)]
        is_legal = self.head.translate(None, SENDABLE) == b"\r\n" * (len(lines) + 1)
        if not is_legal or values != [*map(bytes.strip, values)]:
            raise _illegal(values)

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

    def _judged(self, headers: list[Header]) -> list[Header]:
        """Look at names that were never seen, and at what is said of the connection and of the body."""
        judged: list[Header] = []
        length = coding = None
        for name, value in headers:
            if name in _harmless:
                judged.append((name, value))
                continue
            lower = _legal(name)
            if lower == b"content-length":
                announced = _length(value)
                if length is None:
                    judged.append((name, announced))
                elif length != announced:
                    raise httpx.LocalProtocolError("conflicting Content-Length headers")
                length = announced
            elif lower == b"transfer-encoding":
                if coding is not None:
                    raise httpx.LocalProtocolError("multiple Transfer-Encoding headers")
                coding = value.lower()
                judged.append((name, coding))
            else:
                self._note(lower, value)
                judged.append((name, value))
        if coding is not None:
            if coding != b"chunked":
                raise httpx.LocalProtocolError("Only Transfer-Encoding: chunked is supported")
            self._left = CHUNKED
        elif length is not None:
            self._left = int(length)
        return judged

    def _note(self, lower: bytes, value: bytes) -> None:
        if lower == b"host":
            raise httpx.LocalProtocolError("Found multiple Host: headers")
        if lower == b"connection":
            self.closes = self.closes or b"close" in [token.strip() for token in value.lower().split(b",")]
        elif lower == b"upgrade":
            self.asks_to_switch = self.asks_to_switch or bool(value)


def _legal(name: bytes) -> bytes:
    """Return a header's name in lower case, where it is one."""
    if not TOKEN.fullmatch(name):
        raise httpx.LocalProtocolError(f"Illegal header name {name!r}")
    lower = name.lower()
    if lower not in JUDGED and len(_harmless) < KEPT_NAMES and len(name) < 64:
        _harmless.add(name)
    return lower


def _length(value: bytes) -> bytes:
    lengths = {length.strip() for length in value.split(b",")}
    if len(lengths) != 1:
        raise httpx.LocalProtocolError("conflicting Content-Length headers")
    (length,) = lengths
    if not length.isdigit() or len(length) > MAX_DIGITS:
        raise httpx.LocalProtocolError("bad Content-Length")
    return length


def _illegal(values: list[bytes]) -> httpx.LocalProtocolError:
    value = next(value for value in values if not VALUE.fullmatch(value))
    return httpx.LocalProtocolError(f"Illegal header value {value!r}")


@lru_cache(maxsize=1024)
def _around_target(method: str, authority: str, is_proper: bool) -> tuple[bytes, bytes]:  # noqa: FBT001 - quicker so
    """Return what stands before the target, and what follows it up to the end of the host's line."""
    name = method.encode("latin-1", "replace")
    if not TOKEN.fullmatch(name):
        raise httpx.LocalProtocolError("Illegal method characters")
    host = authority.encode("latin-1")
    if not VALUE.fullmatch(host):
        raise httpx.LocalProtocolError(f"Illegal header value {host!r}")
    return name + b" ", b" HTTP/1.1\r\n" + (b"Host: " if is_proper else b"host: ") + host


@lru_cache(maxsize=1024)
def proper_case(name: bytes) -> bytes:
    """Return a header's name with a capital at its start and after whatever is no letter and no digit.

    Source: `Http1ProtocolOptions.HeaderKeyFormat.proper_case_words`.
    """
    return WORD.sub(lambda found: found[0].upper(), name)
