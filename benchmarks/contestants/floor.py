"""The floor: sockets and a parser, no client at all. What is under it no Python client can reach."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .base import Contestant, Simple, check

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable, Iterator

    from ..figures.results import Kind
    from .base import Place, Session

RECEIVED = 1 << 16


class _Exchange:
    """What httptools tells of one answer."""

    def __init__(self) -> None:
        self.done = False
        self.chunks: list[bytes] = []
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def on_message_complete(self) -> None:
        self.done = True


def _request(place: Place) -> tuple[str, int, bytes]:
    url = urlsplit(place.url)
    target = url.path + ("?" + url.query if url.query else "")
    head = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: */*\r\nUser-Agent: floor\r\n\r\n"
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port, head.encode()


def _context(place: Place) -> ssl.SSLContext | None:
    import ssl

    return ssl.create_default_context(cafile=place.authority) if place.authority else None


def _open_sync(place: Place) -> Session:
    from httptools import HttpResponseParser

    host, port, request = _request(place)
    context = _context(place)
    idle: list[socket.socket] = []

    def call() -> None:
        try:
            sock = idle.pop()
        except IndexError:
            sock = socket.create_connection((host, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=host)
        sock.sendall(request)
        exchange = _Exchange()
        parser = HttpResponseParser(exchange)
        while not exchange.done:
            if not (data := sock.recv(RECEIVED)):
                raise ConnectionResetError
            parser.feed_data(data)
        b"".join(exchange.chunks)
        idle.append(sock)
        check(parser.get_status_code())

    def close() -> None:
        while idle:
            idle.pop().close()

    return Simple(call, close)


def _open_async(place: Place) -> Session:
    import asyncio

    from httptools import HttpResponseParser

    loop = asyncio.get_running_loop()
    host, port, request = _request(place)
    context = _context(place)
    idle: list[_Wire] = []

    class _Wire(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport

        def begin(self) -> asyncio.Future[int]:
            self.exchange = _Exchange()
            self.parser = HttpResponseParser(self.exchange)
            self.answered: asyncio.Future[int] = loop.create_future()
            self.transport.write(request)
            return self.answered

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)
            if self.exchange.done:
                b"".join(self.exchange.chunks)
                self.answered.set_result(self.parser.get_status_code())

        def connection_lost(self, error: Exception | None) -> None:
            if self in idle:
                idle.remove(self)
            elif not self.answered.done():
                self.answered.set_exception(error or ConnectionResetError())

    async def call() -> None:
        if idle:
            wire = idle.pop()
        else:
            _, wire = await loop.create_connection(_Wire, host, port, ssl=context)
        status = await wire.begin()
        idle.append(wire)
        check(status)

    async def close() -> None:
        for wire in idle:
            wire.transport.close()
        await asyncio.sleep(0)

    return Simple(call, close)


def contestants() -> Iterator[Contestant]:
    ways: tuple[tuple[Kind, Callable[[Place], Session], str, tuple[str, ...]], ...] = (
        ("sync", _open_sync, "raw socket + httptools", ("httptools",)),
        ("async", _open_async, "raw asyncio + httptools", ("asyncio", "httptools")),
    )
    for kind, opened, title, needs in ways:
        yield Contestant(name="floor", kind=kind, title=title, family="floor", open=opened, needs=needs)
        yield Contestant(
            name="floor-tls", kind=kind, title=f"{title}, TLS", family="floor", open=opened, needs=needs, target="tls"
        )
        yield Contestant(
            name="floor-envoy", kind=kind, title=f"{title} through Envoy", family="floor", open=opened, needs=needs,
            target="sidecar", through="envoy",
        )  # fmt: skip
    yield Contestant(
        name="floor-uvloop", kind="async", title="raw uvloop + httptools", family="floor", open=_open_async,
        needs=("uvloop", "httptools"), loop="uvloop",
    )  # fmt: skip
