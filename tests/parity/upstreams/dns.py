"""A name server, over UDP or over TCP, that says the same to every question."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

from .replies import Names

if TYPE_CHECKING:
    from .server import Server
    from .wire import Wire

_TYPES = {1: "A", 28: "AAAA"}
_HEADER = 12


class NameServer(asyncio.DatagramProtocol):
    """Answers as the server's script says, and records each question as a request: `A svc.test`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        if said := _answer(data, self._server):
            self._transport.sendto(said, addr)


async def serve(wire: Wire, server: Server) -> None:
    """Answer the questions of one connection."""
    while True:
        (length,) = struct.unpack(">H", await wire.take(2))
        if said := _answer(await wire.take(length), server):
            await wire.send(struct.pack(">H", len(said)) + said)


def _answer(data: bytes, server: Server) -> bytes:
    """Record a question; return what is said to it, nothing where the server is silent."""
    labels, place = [], _HEADER
    while length := data[place]:
        labels.append(data[place + 1 : place + 1 + length].decode())
        place += 1 + length
    (kind,) = struct.unpack(">H", data[place + 1 : place + 3])
    server.record(_TYPES.get(kind, str(kind)), ".".join(labels), [], 1, {})
    said = server.script
    assert isinstance(said, Names)
    return b"" if said.silent else _packet(data[:2], data[_HEADER : place + 5], kind, said)


def _packet(number: bytes, question: bytes, kind: int, said: Names) -> bytes:
    records = []
    for address in said.addresses:
        family, of_kind = (socket.AF_INET6, 28) if ":" in address else (socket.AF_INET, 1)
        if of_kind == kind:
            packed = socket.inet_pton(family, address)
            records.append(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, said.ttl, len(packed)) + packed)
    flags = 0x8580 | said.code  # an answer, with authority, recursion as asked
    return number + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)
