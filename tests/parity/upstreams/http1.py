"""HTTP/1.1 as an upstream speaks it, by hand, so that it can be broken at any byte."""

from __future__ import annotations

import http
import time
from typing import TYPE_CHECKING

from .records import Request
from .replies import Reply, pairs
from .wire import SILENCE, Gone, Wire

if TYPE_CHECKING:
    from .server import Server

BODILESS = frozenset({204, 304})


async def serve(wire: Wire, server: Server, connection: int) -> None:
    """Answer request after request, until either end is done."""
    while await _one(wire, server, connection):
        pass


async def _one(wire: Wire, server: Server, connection: int) -> bool:
    if server.upstream.idle is not None and not wire.buffer:
        try:
            await wire.fill(server.upstream.idle)
        except TimeoutError:
            return False
    first, *lines = (await wire.take_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    request = server.record(method, target, headers, connection, wire.tls())
    if not server.upstream.early:
        if str(request.header("expect")).lower() == "100-continue":
            await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await _read_body(wire, request)
    with server.busy():
        try:
            stays = await _reply(wire, request, server.answer(request), server.name)
            if server.upstream.early:
                await _read_body(wire, request)
        except Gone:
            if request.answered is None:
                request.gone = time.monotonic()
            raise
    return stays and str(request.header("connection")).lower() != "close"


async def _read_body(wire: Wire, request: Request) -> None:
    if "chunked" in str(request.header("transfer-encoding")).lower():
        request.chunked = True
        while size := int((await wire.take_until(b"\r\n")).partition(b";")[0], 16):
            request.body += await wire.take(size)
            await wire.take_until(b"\r\n")
        while line := await wire.take_until(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            request.trailers.append((name, value.strip()))
    elif (length := request.header("content-length")) is not None:
        request.body = await wire.take(int(str(length)))
    request.complete = True


async def _reply(wire: Wire, request: Request, reply: Reply, name: str) -> bool:
    """Answer; True where the connection stays."""
    await wire.silent_for(reply.delay)
    whole = reply.place == "after body"
    if reply.raw is not None:
        await wire.send(reply.raw)
    elif reply.place != "before head":
        head, chunked = _head(reply, name)
        await wire.send(head if reply.place != "in head" else head[: len(head) // 2])
        if reply.place != "in head" and request.method != "HEAD" and reply.status not in BODILESS:
            await _send_body(wire, reply, name, chunked=chunked, whole=whole)
    if whole:
        request.answered = time.monotonic()
    return await _end(wire, reply)


async def _end(wire: Wire, reply: Reply) -> bool:
    if reply.ending == "keep":
        return "connection: close" not in [f"{name}: {value}".lower() for name, value in pairs(reply.headers)]
    if reply.ending == "hang":
        await wire.silent_for(SILENCE)
    if reply.ending == "reset":
        # A RST overtakes what the peer has not read yet.
        await wire.silent_for(0.0 if reply.place == "before head" else 0.05)
        wire.reset()
    return False


def _head(reply: Reply, name: str) -> tuple[bytes, bool]:
    body = _body(reply, name)
    headers = pairs(reply.headers)
    chunked = not isinstance(body, bytes) and reply.length is None
    if chunked:
        headers.append(("transfer-encoding", "chunked"))
    elif reply.length is not None:
        headers.append(("content-length", str(reply.length)))
    elif isinstance(body, bytes) and reply.status not in BODILESS:
        headers.append(("content-length", str(len(body))))
    lines = [f"HTTP/1.1 {status} {_phrase(status)}\r\n\r\n" for status in reply.interim]
    lines.append(f"HTTP/1.1 {reply.status} {_phrase(reply.status)}\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    return ("".join(lines) + "\r\n").encode("latin-1"), chunked


async def _send_body(wire: Wire, reply: Reply, name: str, *, chunked: bool, whole: bool) -> None:
    body = _body(reply, name)
    if isinstance(body, bytes):
        await wire.send(body if whole else body[: len(body) // 2])
        return
    for index, piece in enumerate(body if whole else body[: max(1, len(body) - 1)]):
        if index:
            await wire.silent_for(reply.pause)
        await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked and whole:
        trailers = "".join(f"{key}: {value}\r\n" for key, value in pairs(reply.trailers))
        await wire.send(b"0\r\n" + trailers.encode("latin-1") + b"\r\n")


def _body(reply: Reply, name: str) -> bytes | list[bytes]:
    """Return the body, in pieces where it was given in pieces."""
    body = name if reply.body is None else reply.body
    if isinstance(body, str | bytes):
        return body.encode() if isinstance(body, str) else body
    return [piece.encode() if isinstance(piece, str) else piece for piece in body]


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
