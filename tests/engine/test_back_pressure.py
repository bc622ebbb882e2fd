"""Bodies are streamed both ways: who is slow, our application or the upstream, really holds the other side."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from .conftest import Mode
from .servers import OK, read_request, serving
from .test_tls import server_context, settings

PIECE = 64 * 1024
TOTAL = 96 * 2**20
HELD = TOTAL // 3
"""More than the systems' buffers of both sides and ours take together."""
STILL = 0.25
"""Seconds without any progress, after which somebody is held."""
BOUND = 20.0


@pytest.fixture(params=["plain", "TLS"])
def destination(request: pytest.FixtureRequest, authority: trustme.CA, authority_file: Path) -> dict[str, Any]:
    """What an exchange is told of its server, and the server's side of TLS as `context`."""
    if request.param == "plain":
        return {"context": None}
    context = server_context(authority.issue_cert("upstream.test"))
    return {"context": context, "tls": settings(authority_file), "sni": "upstream.test"}


async def told(mode: Mode, event: threading.Event) -> bool:
    """Wait for another thread, while the loop goes on."""
    return event.wait(BOUND) if mode.name == "sync" else await anyio.to_thread.run_sync(event.wait, BOUND)


def test_a_slow_reader_stops_the_server(mode: Mode, destination: dict[str, Any]) -> None:
    """Of a body that nobody reads little is taken from the server; then all of it comes."""
    context = destination.pop("context")
    sent: list[int] = []
    decided = threading.Event()

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % TOTAL)
        count = 0
        sock.settimeout(STILL)
        while count < TOTAL:
            try:
                count += sock.send(bytes(min(PIECE, TOTAL - count)))
            except TimeoutError:
                sent.append(count)
                decided.set()
                sock.settimeout(BOUND)
        sent.append(count)
        decided.set()

    with serving(handler, context) as server:

        async def main(engine: Any) -> None:
            response = await mode.send(engine, mode.exchange(server, deadline=mode.after(3 * BOUND), **destination))
            assert await told(mode, decided)
            assert sent[0] < HELD, "the server was not held"
            received = 0
            if mode.name == "sync":
                for chunk in response.iter_raw():
                    received += len(chunk)
            else:
                async for chunk in response.aiter_raw():
                    received += len(chunk)
            assert received == TOTAL
            await mode.close(response)

        mode.run(main)
    assert sent[-1] == TOTAL


def test_a_slow_server_stops_the_upload(mode: Mode, destination: dict[str, Any]) -> None:
    """The application is asked for no more than the server takes; then for all of it."""
    context = destination.pop("context")
    asked = 0
    held: list[int] = []

    def chunks() -> Iterator[bytes]:
        nonlocal asked
        while asked < TOTAL:
            asked += PIECE
            yield bytes(PIECE)

    def handler(sock: socket.socket) -> None:
        head = sock.recv(100)
        before = -1
        while before != asked:
            before = asked
            time.sleep(STILL)
        held.append(asked)
        count = len(head)
        tail = b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = sock.recv(2**20)
            if not data:
                return
            count, tail = count + len(data), (tail + data)[-16:]
        held.append(count)
        sock.sendall(OK)

    with serving(handler, context) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(
                server, method="POST", stream=mode.body(chunks()), deadline=mode.after(3 * BOUND), **destination
            )
            assert await mode.read(await mode.send(engine, exchange)) == b"ok"

        mode.run(main)
    assert held[0] < HELD, "the upload was not held"
    assert held[1] > TOTAL
