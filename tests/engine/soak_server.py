"""`python -m tests.engine.soak_server`: a quick upstream that misbehaves as its URLs ask it to; prints its port.

`/KIND/TOKEN` is answered with the token, a few times over, in the way of KIND: see `ANSWERS` and `FAULTS`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

HEAD = b"HTTP/1.1 200 OK\r\n"


def body_of(token: bytes) -> bytes:
    """What a whole answer to `token` is."""
    return token * (1 + len(token) % 3)


def _length(token: bytes) -> bytes:
    body = body_of(token)
    return HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body)


def _chunked(token: bytes) -> bytes:
    body = body_of(token)
    half = len(body) // 2
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:half], body[half:]) if piece)
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


def _closing(token: bytes) -> bytes:
    return HEAD + b"connection: close\r\n\r\n" + body_of(token)


def _interim(token: bytes) -> bytes:
    return b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + _length(token)


def _part(token: bytes) -> bytes:
    return _length(token)[:-1]


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "length": _length,
    "chunked": _chunked,
    "closing": _closing,
    "interim": _interim,
    "slow": _length,
}
"""By kind, what is sent; `slow` comes byte by byte."""
FAULTS = ("silent", "dropped", "reset", "part", "nonsense")
"""Never answered; closed without an answer; reset; broken off within the body; something that is not HTTP."""
SENT = {"part": _part, "nonsense": lambda _: b"\x16\x03\x01 what?\r\n\r\n"}


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, rest = self._data.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if len(rest) < int(length or 0):
                return
            self._data = rest[int(length or 0) :]
            _, kind, token = head.split(b" ", 2)[1].split(b"/", 2)
            self._answer(kind.decode(), token)

    def _answer(self, kind: str, token: bytes) -> None:
        transport = self._transport
        if kind == "slow":
            self._drip(_length(token))
        elif kind in ANSWERS:
            transport.write(ANSWERS[kind](token))
        elif kind == "reset":
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif kind in SENT:
            transport.write(SENT[kind](token))
        if kind in ("closing", "dropped", *SENT):
            transport.close()

    def _drip(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data[:40])
            asyncio.get_running_loop().call_soon(self._drip, data[40:])

    def connection_lost(self, exc: Any) -> None:
        self._data = b""


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
