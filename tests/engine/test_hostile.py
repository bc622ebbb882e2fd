"""Upstreams that mean no good: each ends in a bounded, clear error, and nothing of it reaches the next exchange."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import hpack
import pytest

from ambassador_lib.errors import DeadlineExpired, UpstreamResetError

from .conftest import Mode
from .servers import OK, answering, read_request, serving, until_closed

TERMS = (UpstreamResetError, DeadlineExpired)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def forever(start: bytes, again: bytes) -> Callable[[Any], None]:
    """Answer with `start`, and then with `again` until the client goes."""

    def handler(sock: Any) -> None:
        read_request(sock)
        sock.sendall(start)
        block = again * (65536 // len(again) + 1)
        while True:
            sock.sendall(block)

    return handler


def once(answer: bytes) -> Callable[[Any], None]:
    """Give the first request on each connection this answer and then stay silent; the second one is answered well."""

    def handler(sock: Any) -> None:
        read_request(sock)
        sock.sendall(answer)
        read_request(sock)
        sock.sendall(OK)
        until_closed(sock)

    return handler


async def attempt(mode: Mode, engine: Any, exchange: Any) -> bytes:
    response = await mode.send(engine, exchange)
    try:
        return await mode.read(response)
    finally:
        await mode.close(response)


@pytest.mark.parametrize(
    "handler",
    [
        forever(b"HTTP/1.1 200 ", b"OK"),
        forever(b"HTTP/1.1 200 OK\r\nx: ", b"a"),
        forever(b"HTTP/1.1 200 OK\r\n", b"x: a\r\n"),
        forever(b"HTTP/1.1 200 OK\r\nx: a\r\n", b" folded\r\n"),
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        forever(b"", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
        forever(b"", b"\r\n"),
        forever(b"", b"\0"),
    ],
    ids=["status line", "header line", "headers", "folded lines", "100s", "103s", "empty lines", "zeros"],
)
def test_an_endless_head(mode: Mode, handler: Any) -> None:
    """A head without end is cut off early, in bounded memory."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(TERMS):
                await attempt(mode, engine, mode.exchange(server, deadline=mode.after(1)))
            assert mode.gauge.now == 0

        tracemalloc.start()
        try:
            mode.run(main)
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "handler",
    [
        forever(CHUNKED, b"2;" + b"a" * 100),
        forever(CHUNKED + b"2\r\nok\r\n0\r\n", b"x: a\r\n"),
        forever(CHUNKED + b"2\r\nok\r\n0\r\nx: ", b"a"),
        forever(CHUNKED + b"2\r\nok\r\n", b"0"),
    ],
    ids=["chunk extension", "trailers", "trailer line", "chunk size"],
)
def test_an_endless_end(mode: Mode, handler: Any) -> None:
    """So is framing without end inside a body."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            response = await mode.send(engine, mode.exchange(server, deadline=mode.after(2)))
            with pytest.raises(TERMS):
                await mode.runtime.within(mode.after(2), mode.read(response))
            await mode.close(response)
            assert mode.gauge.now == 0

        mode.run(main)


def test_an_endless_body_is_read_as_it_is_asked_for(mode: Mode) -> None:
    """Nothing is gathered: a body without end costs what its reader takes, and closing it ends it."""
    with serving(forever(b"HTTP/1.1 200 OK\r\n\r\n", b"a")) as server:

        async def main(engine: Any) -> None:
            response = await mode.send(engine, mode.exchange(server))
            taken = 0
            if mode.name == "sync":
                for chunk in response.iter_raw():
                    taken += len(chunk)
                    if taken > 8 * 2**20:
                        break
            else:
                async with contextlib.aclosing(response.stream.__aiter__()) as chunks:  # type: ignore[union-attr,type-var]
                    async for chunk in chunks:
                        taken += len(chunk)
                        if taken > 8 * 2**20:
                            break
            await mode.close(response)
            assert mode.gauge.now == 0

        tracemalloc.start()
        try:
            mode.run(main)
            assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
        finally:
            tracemalloc.stop()


FORGED = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"


@pytest.mark.parametrize(
    "answer",
    [
        OK + FORGED,
        OK + b"x",
        b"HTTP/1.1 204 No Content\r\n\r\n" + FORGED,
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nok" + FORGED,
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + FORGED,
        b"HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
def test_what_follows_an_answer_is_nobodys(mode: Mode, answer: bytes) -> None:
    """Bytes behind a response, or a version that keeps no connections: the next exchange dials anew."""
    answers = [answer, OK]

    def handler(sock: Any) -> None:
        read_request(sock)
        sock.sendall(answers.pop(0))
        until_closed(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            await attempt(mode, engine, mode.exchange(server, deadline=mode.after(5)))
            assert await attempt(mode, engine, mode.exchange(server, deadline=mode.after(5))) == b"ok"
            assert server.connections == 2

        mode.run(main)


@pytest.mark.parametrize("before", [0, 1, 2], ids=["at first", "after GET", "after two"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_body_where_there_is_none(mode: Mode, method: str, before: int) -> None:
    """A body in answer to HEAD is not taken for the next answer, or for what the same head announced to GET."""
    with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as server:

        async def main(engine: Any) -> None:
            async def body(method: str) -> bytes:
                return await attempt(mode, engine, mode.exchange(server, method=method, deadline=mode.after(5)))

            assert [await body("GET") for _ in range(before)] == [b"ok"] * before
            assert await body(method) == (b"" if method == "HEAD" else b"ok")
            assert await body("GET") == b"ok"
            assert server.connections == (2 if method == "HEAD" else 1)

        mode.run(main)


def test_an_answer_before_the_question(mode: Mode) -> None:
    """What came on a kept connection before a request was sent is not its answer."""

    def handler(sock: Any) -> None:
        read_request(sock)
        sock.sendall(OK)
        if not told.is_set():
            sock.sendall(FORGED)
            told.set()
        with contextlib.suppress(EOFError):
            read_request(sock)
            sock.sendall(OK)

    told = threading.Event()
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                assert await attempt(mode, engine, mode.exchange(server, deadline=mode.after(5))) == b"ok"
                assert told.wait(5), "else it may come behind the next question, and nobody could tell"

        mode.run(main)


def test_http10_that_keeps_its_connection(mode: Mode) -> None:
    """A peer of HTTP/1.0 that says keep-alive is asked again on the same connection."""

    def handler(sock: Any) -> None:
        while True:
            read_request(sock)
            sock.sendall(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok")

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(3):
                assert await attempt(mode, engine, mode.exchange(server, deadline=mode.after(5))) == b"ok"

        mode.run(main)
    assert server.connections == 1


def test_something_else_than_http(mode: Mode) -> None:
    """Other protocols show at the first bytes, before a line or a head is whole."""
    for greeting in (b"hello", b"SSH-2.0-x\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"\0\0\x12\x04\0\0\0\0\0"):
        with serving(once(greeting)) as server:

            async def main(engine: Any, server: Any = server) -> None:
                with pytest.raises(UpstreamResetError, match="protocol error"):
                    await attempt(mode, engine, mode.exchange(server, deadline=mode.after(5)))

            mode.run(main)


# --- HTTP/2 ----------------------------------------------------------------------------------------------------------


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0, size: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(payload) if size is None else size)[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


DATA, HEADERS, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
HEAD = hpack.Encoder().encode([(":status", "200")])


def over_http2(answer: bytes, again: bytes = b"") -> Callable[[Any], None]:
    """After the request, send `answer`, and `again` until the client goes; nothing is read meanwhile but at leisure."""

    def handler(sock: Any) -> None:
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        state.initiate_connection()
        sock.sendall(state.data_to_send())
        seen = b""
        while b"\x01" not in seen[40:]:
            seen += sock.recv(65536)
        sock.sendall(answer)
        if not again:
            until_closed(sock)
            return
        block = again * (16384 // len(again) + 1)
        sock.setblocking(False)
        while True:
            with contextlib.suppress(BlockingIOError):
                if not sock.recv(1 << 20):
                    return
            with contextlib.suppress(BlockingIOError):
                sock.send(block)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        over_http2(frame(DATA, size=2**24 - 1, stream=1)),
        over_http2(frame(HEADERS, HEAD, stream=1), frame(CONTINUATION, b"", stream=1)),
        over_http2(frame(HEADERS, b"\x00\x7f\x80\x80\x80\x80\x80\x80\x80\x80\x01", flags=END_HEADERS, stream=1)),
        over_http2(
            frame(HEADERS, HEAD + b"\x40\x01a\x7f\x80\x7f" + b"b" * 16000, flags=0, stream=1),
            frame(CONTINUATION, b"b" * 16000, stream=1),
        ),
        over_http2(
            frame(HEADERS, HEAD + b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 9000, flags=END_HEADERS, stream=1)
        ),
        over_http2(frame(PUSH, b"\0\0\0\2" + HEAD, flags=END_HEADERS, stream=1)),
        over_http2(frame(DATA, b"x", stream=1)),
        over_http2(frame(DATA, b"x", stream=9)),
        over_http2(frame(HEADERS, HEAD, flags=END_HEADERS, stream=2)),
        over_http2(frame(WINDOW, b"\0\0\0\0", stream=1)),
        over_http2(frame(WINDOW, b"\x7f\xff\xff\xff", stream=0)),
        over_http2(frame(SETTINGS, b"x")),
        over_http2(frame(SETTINGS, b"\0\4\xff\xff\xff\xff")),
        over_http2(frame(PING, b"x")),
        over_http2(frame(RST, b"x", stream=1)),
        over_http2(frame(RST, b"\0\0\0\0", stream=1)),
        over_http2(frame(GOAWAY, b"\0\0\0\0\0\0\0\0"), frame(GOAWAY, b"\0\0\0\0\0\0\0\0")),
        over_http2(frame(HEADERS, hpack.Encoder().encode([("x", "no status")]), flags=5, stream=1)),
        over_http2(frame(HEADERS, hpack.Encoder().encode([(":status", "2e2")]), flags=5, stream=1)),
        over_http2(frame(HEADERS, hpack.Encoder().encode([(":status", "200"), ("X", "upper")]), flags=5, stream=1)),
        over_http2(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        over_http2(b"", frame(SETTINGS)),
        over_http2(b"", frame(PING, b"12345678")),
        over_http2(b"", frame(WINDOW, b"\0\0\0\0", stream=3)),
        over_http2(b"", frame(0xEE, b"unknown")),
        over_http2(frame(HEADERS, HEAD, flags=END_HEADERS, stream=1), frame(DATA, b"", stream=1)),
        over_http2(b"", frame(HEADERS, hpack.Encoder().encode([(":status", "103")]), flags=END_HEADERS, stream=1)),
    ],
)
def test_http2_that_means_no_good(mode: Mode, handler: Any) -> None:
    """Whatever the frames are, each exchange ends with an error of the upstream's or at its deadline, in bounded
    memory, and so does the one after it."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                deadline = mode.after(0.5)
                exchange = mode.exchange(server, protocol="http2", deadline=deadline)
                with pytest.raises(TERMS):
                    await mode.runtime.within(deadline, attempt(mode, engine, exchange))

        tracemalloc.start()
        try:
            mode.run(main)
            assert tracemalloc.get_traced_memory()[1] < 24 * 2**20
        finally:
            tracemalloc.stop()


def test_a_window_that_never_opens(mode: Mode) -> None:
    """An upload waits for room until its deadline, and the connection serves others meanwhile."""
    handler = over_http2(frame(SETTINGS, b"\0\4\0\0\0\0"))
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            body = mode.body(b"x" * 200_000)
            with pytest.raises(TERMS):
                await mode.send(
                    engine,
                    mode.exchange(server, protocol="http2", method="POST", stream=body, deadline=mode.after(0.5)),
                )

        mode.run(main)
    assert server.connections == 1


def test_resets_at_every_moment(mode: Mode) -> None:
    """A RST before, within and after the head, and within the body."""
    for answer in (
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nx: a\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
    ):

        def handler(sock: socket.socket, answer: bytes = answer) -> None:
            read_request(sock)
            sock.sendall(answer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        with serving(handler) as server:

            async def main(engine: Any, server: Any = server) -> None:
                with pytest.raises(UpstreamResetError):
                    await attempt(mode, engine, mode.exchange(server, deadline=mode.after(5)))
                assert mode.gauge.now == 0

            mode.run(main)
