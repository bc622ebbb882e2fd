"""HTTP/1.1: what is sent, and how each way of breaking off is told apart (semantics 12.1)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError

from .conftest import Mode
from .servers import OK, answering, once, read_request, reset, serving, until_closed


def test_request_on_the_wire(mode: Mode) -> None:
    """Host comes first and logical, the target as it is, no framing for an empty body."""
    seen: list[bytes] = []
    with serving(answering(OK, seen=seen)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server, headers=[(b"x-a", b"1")]))
            assert (response.status_code, await mode.read(response)) == (200, b"ok")
            assert response.extensions["http_version"] == b"HTTP/1.1"
            assert response.extensions["reason_phrase"] == b"OK"

        mode.run(main)
    assert seen == [b"GET /x?y=1 HTTP/1.1\r\nhost: app.test\r\nx-a: 1\r\n\r\n"]


def test_bodies_are_framed(mode: Mode) -> None:
    """A body at hand is announced by its length, a streamed one is chunked, an announced one is left alone."""
    seen: list[bytes] = []
    with serving(answering(OK, seen=seen)) as server:

        async def main(engine: Any) -> None:
            for changes in (
                {"stream": httpx.ByteStream(b"abc")},
                {"stream": mode.body(b"a", b"", b"bc")},
                {"stream": mode.body(b"a", b"bc"), "headers": [(b"content-length", b"3")]},
            ):
                await mode.read(await engine.send(mode.exchange(server, method="POST", **changes)))

        mode.run(main)
    assert [request.partition(b"host: app.test\r\n")[2] for request in seen] == [
        b"content-length: 3\r\n\r\nabc",
        b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"content-length: 3\r\n\r\nabc",
    ]


def test_body_that_breaks_its_announcement_is_the_applications_error(mode: Mode) -> None:
    """A body longer than its content-length is refused here, not sent."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(httpx.LocalProtocolError):
                await engine.send(
                    mode.exchange(server, stream=mode.body(b"toolong"), headers=[(b"content-length", b"3")])
                )

        mode.run(main)


def test_informational_responses_are_swallowed(mode: Mode) -> None:
    """103 Early Hints is not the response."""
    with serving(answering(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server))
            assert (response.status_code, await mode.read(response)) == (200, b"ok")

        mode.run(main)


LARGE = b"HTTP/1.1 200 OK\r\nx-large: " + b"x" * 90_000 + b"\r\n\r\n"
MANY = b"HTTP/1.1 200 OK\r\n" + b"x-a: 1\r\n" * 101 + b"content-length: 0\r\n\r\n"
CONTRADICTION = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"

BEFORE_HEAD = [
    ("close", once(b""), "connection_termination"),
    ("reset", once(b"", reset), "connection_termination"),
    ("close within the head", once(b"HTTP/1.1 200 OK\r\ncontent-le"), "protocol_error"),
    ("reset within the head", once(b"HTTP/1.1 200 OK\r\ncontent-le", reset), "connection_termination"),
    ("close after 103", once(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "connection_termination"),
    ("garbage", once(b"\x16\x03garbage that is no HTTP\r\n\r\n"), "protocol_error"),
    ("large head", once(LARGE, until_closed), "protocol_error"),
    ("many headers", once(MANY, until_closed), "protocol_error"),
    ("two lengths", once(CONTRADICTION, until_closed), "protocol_error"),
]


@pytest.mark.parametrize(
    ("handler", "reason"), [case[1:] for case in BEFORE_HEAD], ids=[case[0] for case in BEFORE_HEAD]
)
def test_failures_before_the_head(mode: Mode, handler: Any, reason: str) -> None:
    """What breaks before the response's head is told apart, and nothing stays open."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamResetError) as failure:
                await engine.send(mode.exchange(server))
            assert failure.value.reply.details == f"upstream_reset_before_response_started{{{reason}}}"
            assert mode.gauge.now == 0

        mode.run(main)
    assert server.connections == 1


LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n"

WITHIN_BODY = [
    ("close", once(LENGTH), "protocol_error", "UPE"),
    ("reset", once(LENGTH, reset), "connection_termination", "UC"),
    ("chunked close", once(CHUNKED), "protocol_error", "UPE"),
    ("bad chunk", once(CHUNKED + b"zz\r\n", until_closed), "protocol_error", "UPE"),
]


@pytest.mark.parametrize(
    ("handler", "reason", "flag"), [case[1:] for case in WITHIN_BODY], ids=[case[0] for case in WITHIN_BODY]
)
def test_failures_within_the_body(mode: Mode, handler: Any, reason: str, flag: str) -> None:
    """A body that is broken off raises while it is read, with the details of a response already started."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server))
            with pytest.raises(UpstreamResetError) as failure:
                await mode.read(response)
            await mode.close(response)
            reply = failure.value.reply
            assert (reply.details, reply.flag) == (f"upstream_reset_after_response_started{{{reason}}}", flag)
            assert mode.gauge.now == 0

        mode.run(main)


def test_body_until_close_is_whole(mode: Mode) -> None:
    """Without framing the body ends where the connection does."""
    with serving(once(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as server:

        async def main(engine: Any) -> None:
            assert await mode.read(await engine.send(mode.exchange(server))) == b"all of it"

        mode.run(main)


def test_refused(mode: Mode) -> None:
    """A refused connection is a connect failure in Envoy's words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def main(engine: Any) -> None:
        with pytest.raises(UpstreamConnectError) as failure:
            await engine.send(mode.exchange(port))
        assert failure.value.reply.details == (
            "upstream_reset_before_response_started"
            "{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        )

    mode.run(main)
    assert mode.gauge.opens == 0


def test_early_answer_to_a_large_upload_is_read(mode: Mode) -> None:
    """A server that answers 413 and closes, having read little, is heard."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def chunks() -> Iterator[bytes]:
        yield b"x"
        time.sleep(0.05)  # the answer comes, and the end of the connection
        for _ in range(3):
            yield b"y" * 1000
            time.sleep(0.01)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server, method="POST", stream=mode.body(chunks())))
            assert response.status_code == 413
            await mode.read(response)

        mode.run(main)


# --- connections are kept --------------------------------------------------------------------------------------------


def test_keep_alive(mode: Mode) -> None:
    """Requests one after the other share a connection, also after a body that nobody read but had all come."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for _ in range(3):
                await mode.read(await engine.send(mode.exchange(server)))
            response = await engine.send(mode.exchange(server))
            await mode.close(response)
            await mode.read(await engine.send(mode.exchange(server)))
            assert mode.gauge.now == 1

        mode.run(main)
    assert (server.connections, mode.gauge.opens) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
    ],
    ids=["connection: close", "bytes behind the response"],
)
def test_not_kept(mode: Mode, answer: bytes) -> None:
    """A connection that cannot or must not go on is closed with the response."""
    with serving(answering(answer)) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                assert await mode.read(await engine.send(mode.exchange(server))) == b"ok"
                assert mode.gauge.now == 0

        mode.run(main)
    assert server.connections == 2


def test_early_close_of_the_body_closes_the_connection(mode: Mode) -> None:
    """A response closed before its end gives its connection back by closing it."""
    with serving(once(LENGTH, until_closed)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server))
            assert mode.gauge.now == 1
            await mode.close(response)
            assert mode.gauge.now == 0

        mode.run(main)


def test_connection_closed_while_idle_is_replaced(mode: Mode) -> None:
    """A kept connection that the peer has closed is not used: no error, no second sending."""
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(OK)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(3):
                await mode.read(await engine.send(mode.exchange(server)))
                time.sleep(0.02)  # noqa: ASYNC251 - the server's FIN has to arrive

        mode.run(main)
    assert (server.connections, len(seen)) == (3, 3)


def test_idle_timeout(mode: Mode) -> None:
    """A connection idle for longer than the idle timeout is not used again."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                await mode.read(await engine.send(mode.exchange(server, idle_timeout=0.0)))

        mode.run(main)
    assert server.connections == 2


def test_max_requests_per_connection(mode: Mode) -> None:
    """2 requests per connection make 3 connections for 6 requests (semantics 4)."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for _ in range(6):
                await mode.read(await engine.send(mode.exchange(server, max_requests=2)))

        mode.run(main)
    assert server.connections == 3


def test_on_connected_may_refuse(mode: Mode) -> None:
    """An overflow found with the connection in hand is raised as it is, and the unused connection is kept."""
    seen: list[bytes] = []
    with serving(answering(OK, seen=seen)) as server:

        async def main(engine: Any) -> None:
            def refuse() -> None:
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await engine.send(mode.exchange(server, on_connected=refuse))
            assert mode.gauge.now == 1
            await mode.read(await engine.send(mode.exchange(server)))

        mode.run(main)
    assert (server.connections, len(seen)) == (1, 1)


# --- deadlines -------------------------------------------------------------------------------------------------------


def test_deadline_before_the_head(mode: Mode) -> None:
    """The exchange's deadline cuts the wait for the head, and the connection is closed."""
    with serving(once(b"", until_closed)) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(DeadlineExpired):
                await mode.send(engine, mode.exchange(server, deadline=mode.after(0.05)))
            assert mode.gauge.now == 0

        mode.run(main)
    assert mode.gauge.opens == 1


def test_deadline_moved_later_while_reading(mode: Mode) -> None:
    """A deadline that moves while somebody waits under it counts as moved."""

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        time.sleep(0.15)
        sock.sendall(OK)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            deadline = mode.after(0.08)

            def move() -> None:
                if mode.name == "sync":
                    threading.Timer(0.03, deadline.set, [deadline.at + 5]).start()
                else:
                    deadline.set(deadline.at + 5)

            response = await mode.send(engine, mode.exchange(server, deadline=deadline, on_connected=move))
            assert await mode.read(response) == b"ok"

        mode.run(main)


def test_deadline_within_the_body_of_a_blocking_call() -> None:
    """The deadline goes on cutting the reads of the body."""
    mode = Mode("sync")
    with serving(once(LENGTH, until_closed)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server, deadline=mode.after(0.05)))
            with pytest.raises(DeadlineExpired):
                response.read()
            response.close()

        mode.run(main)


def test_connect_timeout_is_not_the_deadline(mode: Mode) -> None:
    """`connect_timeout` is a connect failure; a deadline that strikes first is a deadline."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamConnectError) as failure:
                await mode.send(engine, mode.exchange(port, connect_timeout=0.05, deadline=mode.after(2)))
            assert failure.value.reply.details == "upstream_reset_before_response_started{connection_timeout}"
            with pytest.raises(DeadlineExpired):
                await mode.send(engine, mode.exchange(port, connect_timeout=2, deadline=mode.after(0.05)))

        mode.run(main)
        for filler in fillers:
            filler.close()
    assert mode.gauge.opens == 0


def test_no_wait_without_a_bound() -> None:
    """Without a deadline each wait ends after the engine's patience."""
    from ambassador_lib.engine.blocking import step
    from ambassador_lib.engine.pooled import PooledEngine

    mode = Mode("sync")
    with serving(once(b"", until_closed)) as server:
        engine = PooledEngine(mode.clock, patience=0.05)
        with pytest.raises(DeadlineExpired):
            step(engine.send(mode.exchange(server, deadline=Deadline())))
        step(engine.close())


# --- ending from outside ---------------------------------------------------------------------------------------------


def test_abort_from_another_thread() -> None:
    """A racer blocked on its socket is ended by `exchange.abort()`."""
    mode = Mode("sync")
    with serving(once(b"", until_closed)) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, deadline=mode.after(5))
            threading.Timer(0.05, exchange.abort).start()
            with pytest.raises(UpstreamResetError):
                await engine.send(exchange)

        started = time.monotonic()
        mode.run(main)
        assert time.monotonic() - started < 2


def test_abort_before_the_engine_began() -> None:
    """An exchange that has been aborted already does not wait for anything."""
    mode = Mode("sync")
    with serving(once(b"", until_closed)) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, deadline=mode.after(5))
            exchange.abort()
            with pytest.raises((UpstreamResetError, UpstreamConnectError)):
                await engine.send(exchange)

        mode.run(main)


def test_close_breaks_off_what_is_under_way() -> None:
    """Closing the engine ends exchanges in other threads."""
    mode = Mode("sync")
    with serving(once(b"", until_closed)) as server:

        async def main(engine: Any) -> None:
            from ambassador_lib.engine.blocking import step

            exchange = mode.exchange(
                server,
                deadline=mode.after(5),
                on_connected=lambda: threading.Timer(0.05, lambda: step(engine.close())).start(),
            )
            with pytest.raises(UpstreamResetError):
                await engine.send(exchange)
            assert mode.gauge.now == 0

        mode.run(main)
