"""HTTP/1.1 as a server speaks it, by hand, so that it can be broken at any byte."""

from __future__ import annotations

import http
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from .exchange import Exchange, Part
from .peer import End, Peer, Reset

if TYPE_CHECKING:
    from .faults import Reaction

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"


class Http1Peer(Peer):
    """One request at a time; those that came meanwhile wait their turn."""

    protocol = "HTTP/1.1"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffer = bytearray()
        self._reading: Iterator[None] | None = None
        self._closes = False

    def _feed(self, data: bytes, now: float) -> None:  # noqa: ARG002
        self._buffer += data
        self._read_on()

    def _read_on(self) -> None:
        """Read requests as far as the bytes go, one at a time."""
        while not self.exchanges and not self.is_over and (self._buffer or self._reading is not None):
            if self._reading is None:
                self._reading = self._request()
            try:
                next(self._reading)
                return  # it wants more bytes
            except StopIteration:
                self._reading = None
            except ValueError:  # the client speaks no HTTP
                self._send(BAD_REQUEST)
                self._end(End())

    def _request(self) -> Iterator[None]:
        """Read one request; yields where it wants more bytes."""
        head = yield from self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ", 2)
        if not version.startswith("HTTP/1."):
            raise ValueError(first)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        told = {name.lower(): value.lower() for name, value in headers}
        if told.get("expect") == "100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if told.get("transfer-encoding") == "chunked":
            body = yield from self._chunks()
        else:
            body = yield from self._take(int(told.get("content-length") or 0))
        self._closes = told.get("connection") == "close" or version == "HTTP/1.0"
        self._begin(method, target, headers, body, self._now)

    def _until(self, end: bytes) -> Generator[None, None, bytes]:
        while (at := self._buffer.find(end)) < 0:
            yield
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found

    def _take(self, count: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < count:
            yield
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def _chunks(self) -> Generator[None, None, bytes]:
        body = bytearray()
        while size := int((yield from self._until(b"\r\n")).partition(b";")[0], 16):
            body += yield from self._take(size)
            yield from self._until(b"\r\n")
        while (yield from self._until(b"\r\n")):  # trailers
            pass
        return bytes(body)

    def _emit(self, exchange: Exchange, part: Part) -> None:
        reaction = exchange.reaction
        if part.kind == "head":
            self._send(_head(reaction))
        elif part.kind == "half head":
            head = _head(reaction)
            self._send(head[: len(head) // 2])
        elif part.kind == "raw":
            self._send(part.data)
        elif part.kind == "piece":
            self._send(b"%x\r\n%b\r\n" % (len(part.data), part.data) if _is_chunked(reaction) else part.data)
        elif part.kind == "end":
            if _is_chunked(reaction) and exchange.seen.method != "HEAD":
                trailers = "".join(f"{name}: {value}\r\n" for name, value in reaction.trailers)
                self._send(b"0\r\n" + trailers.encode("latin-1") + b"\r\n")
        else:
            self._end(End() if part.kind == "close" else Reset())

    def _ended(self) -> None:
        if self._closes:
            self._end(End())
        else:
            self._read_on()


def _is_chunked(reaction: Reaction) -> bool:
    if any(name.lower() == "content-length" for name, _ in reaction.headers) or reaction.content_length is not None:
        return False
    return not isinstance(reaction.body, bytes) or bool(reaction.trailers)


def _head(reaction: Reaction) -> bytes:
    headers = list(reaction.headers)
    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        if _is_chunked(reaction):
            headers.append(("transfer-encoding", "chunked"))
        elif reaction.status != 204:
            told = reaction.content_length
            headers.append(("content-length", str(len(reaction.content) if told is None else told)))
    try:
        phrase = http.HTTPStatus(reaction.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reaction.status} {phrase}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")
