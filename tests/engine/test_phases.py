"""How far an exchange had come when it failed, on real sockets: what may be sent again rests on it."""

from __future__ import annotations

import socket
import threading
from typing import Any

import httpx
import pytest

from ambassador_lib.engine.wire import PeerReset
from ambassador_lib.errors import Phase, UpstreamConnectError, UpstreamResetError

from .conftest import Mode
from .servers import OK, H2Peer, Handler, answering, once, read_request, reset, serving, until_closed

LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"


async def fetched(mode: Mode, engine: Any, exchange: Any) -> bytes:
    response = await mode.send(engine, exchange)
    try:
        return await mode.read(response)
    finally:
        await mode.close(response)


async def failure_of(mode: Mode, engine: Any, exchange: Any) -> UpstreamResetError:
    with pytest.raises(UpstreamResetError) as failure:
        await fetched(mode, engine, exchange)
    return failure.value


@pytest.mark.parametrize(
    ("handler", "phase"),
    [
        (once(b""), Phase.SENT_WHOLE),
        (once(b"", reset), Phase.SENT_WHOLE),
        (once(b"HTTP/1.1 103 Early Hints\r\n\r\n"), Phase.SENT_WHOLE),
        (once(b"H"), Phase.HEAD_BEGUN),
        (once(b"HTTP/1.1 200 OK\r\nx", reset), Phase.HEAD_BEGUN),
        (once(b"\x16\x03 no HTTP", until_closed), Phase.HEAD_BEGUN),
        (once(LENGTH), Phase.HEAD_BEGUN),
        (once(LENGTH + b"part"), Phase.BODY_BEGUN),
        (once(LENGTH + b"part", reset), Phase.BODY_BEGUN),
    ],
    ids=[
        "close", "reset", "close after 103", "close within the head", "reset within the head", "no HTTP",
        "close behind the head", "close within the body", "reset within the body",
    ],
)  # fmt: skip
def test_phases_of_a_new_connection(mode: Mode, handler: Handler, phase: Phase) -> None:
    """Each fault tells how far it let the exchange come; on a new connection none of them is a stale one."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            error = await failure_of(mode, engine, mode.exchange(server, deadline=mode.after(5)))
            assert (error.phase, error.reused, error.is_stale) == (phase, False, False)
            assert error.may_have_been_sent

        mode.run(main)


def test_without_a_connection_nothing_was_sent(mode: Mode) -> None:
    """A refused connection says so by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def main(engine: Any) -> None:
        with pytest.raises(UpstreamConnectError) as failure:
            await engine.send(mode.exchange(port))
        assert failure.value.phase is Phase.NOT_CONNECTED

    mode.run(main)


def test_a_request_sent_in_part(mode: Mode) -> None:
    """An upload that a reset breaks off was sent in part, whatever the peer has read of it."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        reset(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            body = mode.body(iter([b"x" * 2**20] * 64))
            exchange = mode.exchange(server, method="POST", stream=body, deadline=mode.after(5))
            error = await failure_of(mode, engine, exchange)
            assert (error.phase, error.may_have_been_sent) == (Phase.SENT_IN_PART, True)

        mode.run(main)


@pytest.mark.parametrize("end", [lambda sock: None, reset], ids=["close", "reset"])
def test_a_kept_connection_that_dies_is_told_from_a_reset(mode: Mode, end: Any) -> None:
    """What breaks a kept connection off before a byte of the answer leaves it open whether the request was seen."""

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        read_request(sock)
        end(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            assert await mode.read(await engine.send(mode.exchange(server))) == b"ok"
            error = await failure_of(mode, engine, mode.exchange(server, deadline=mode.after(5)))
            assert (error.phase, error.reused, error.is_stale) == (Phase.SENT_WHOLE, True, True)

        mode.run(main)
    assert server.connections == 1


def test_a_kept_connection_that_breaks_an_answer_off_is_not_stale(mode: Mode) -> None:
    """Once anything of the answer has come, the endpoint has seen the request."""

    def handler(sock: socket.socket) -> None:
        for answer in (OK, LENGTH + b"par"):
            read_request(sock)
            sock.sendall(answer)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            assert await mode.read(await engine.send(mode.exchange(server))) == b"ok"
            error = await failure_of(mode, engine, mode.exchange(server, deadline=mode.after(5)))
            assert (error.phase, error.reused, error.is_stale) == (Phase.BODY_BEGUN, True, False)

        mode.run(main)


def test_nothing_was_sent_where_the_connection_was_found_dead(mode: Mode) -> None:
    """A kept connection whose end is seen when the request is to be written: what is not idempotent may be repeated."""
    closed = threading.Event()

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        closed.wait(5)
        reset(sock)
        gone.set()

    gone = threading.Event()
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            assert await mode.read(await engine.send(mode.exchange(server))) == b"ok"

            def die() -> None:  # after the look at the kept connection, and before the first byte
                closed.set()
                assert gone.wait(5)
                wire = next(iter(engine._pool.connections)).connection.wire
                while not wire.has_input():
                    pass

            exchange = mode.exchange(server, method="POST", on_connected=die, deadline=mode.after(5))
            error = await failure_of(mode, engine, exchange)
            assert error.reused
            if mode.name not in ("uvloop", "proactor"):  # which do not tell what became of a write
                assert (error.phase, error.may_have_been_sent) == (Phase.NOTHING_SENT, False)

        mode.run(main)


def test_http2_tells_phases_too(mode: Mode) -> None:
    """A stream whose connection is lost says how far it had come."""

    def react(peer: H2Peer, event: Any) -> None:
        if type(event).__name__ == "RequestReceived":
            peer.respond(event.stream_id, b"part", end=False)
            peer.flush()
            peer.sock.close()

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            error = await failure_of(mode, engine, mode.exchange(server, protocol="http2", deadline=mode.after(5)))
            assert error.phase is Phase.BODY_BEGUN

        mode.run(main)


def test_an_unknown_phase_may_have_been_sent() -> None:
    """What nobody can tell, as over a transport of httpx, counts as sent."""
    from ambassador_lib.errors import connection_termination

    error = connection_termination()
    assert error.phase is None
    assert error.may_have_been_sent
    assert not error.is_stale


def test_a_write_that_fails_may_have_sent_some_unless_it_knows() -> None:
    """Wires say so only where they know."""
    assert PeerReset("broken").sent
    assert not PeerReset("broken", sent=False).sent


def test_a_request_that_cannot_be_sent_leaves_the_connection_to_others(mode: Mode) -> None:
    """A header or a length that is the application's mistake: nothing is sent, and the connection is kept."""
    seen: list[bytes] = []
    with serving(answering(OK, seen=seen)) as server:

        async def main(engine: Any) -> None:
            for changes in (
                {"headers": [(b"x-a", b"1\r\nx-b: 2")]},
                {"headers": [(b"x-a", b" 1")]},
                {"headers": [(b"x-a", b"1\t")]},
                {"headers": [(b"x-a", b"1\x00")]},
                {"headers": [(b"x a", b"1")]},
                {"headers": [(b"", b"1")]},
                {"headers": [(b"x-a:", b"1")]},
                {"headers": [(b"host", b"other")]},
                {"headers": [(b"content-length", b"1"), (b"content-length", b"2")]},
                {"headers": [(b"content-length", b"-1")]},
                {"headers": [(b"transfer-encoding", b"gzip")]},
                {"headers": [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")]},
                {"target": "/a b"},
                {"target": "/a\r\nx: y"},
                {"target": ""},
                {"method": "GE T"},
                {"headers": [(b"content-length", b"3")], "stream": httpx.ByteStream(b"ab")},
                {"headers": [(b"content-length", b"1")], "stream": httpx.ByteStream(b"ab")},
            ):
                with pytest.raises(httpx.LocalProtocolError):
                    await engine.send(mode.exchange(server, **changes))
            assert await mode.read(await engine.send(mode.exchange(server))) == b"ok"

        mode.run(main)
    assert (server.connections, len(seen)) == (1, 1)
