"""HTTP/1.1: what is sent, and how each way of breaking off is told apart (semantics 12.1)."""

from __future__ import annotations

import socket
import threading
import time
from array import array
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib.call import Deadline, Header
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError

from .conftest import Mode
from .servers import OK, Handler, answering, once, read_request, reset, serving, until_closed
from .wires import LOOPS


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
    """A body at hand is announced by its length, a streamed one is chunked, an announced one is left alone.

    A chunk may be any buffer, and is as long as its bytes are.
    """
    seen: list[bytes] = []
    with serving(answering(OK, seen=seen)) as server:

        async def main(engine: Any) -> None:
            for changes in (
                {"stream": httpx.ByteStream(b"abc")},
                {"stream": mode.body(b"a", b"", b"bc")},
                {"stream": mode.body(b"a", b"bc"), "headers": [(b"content-length", b"3")]},
                {"stream": mode.body([bytearray(b"a"), array("H", b"bcde")])},
                {"stream": mode.body([memoryview(b"abc")]), "headers": [(b"content-length", b"3")]},
            ):
                await mode.read(await engine.send(mode.exchange(server, method="POST", **changes)))

        mode.run(main)
    assert [request.partition(b"host: app.test\r\n")[2] for request in seen] == [
        b"content-length: 3\r\n\r\nabc",
        b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"content-length: 3\r\n\r\nabc",
        b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n4\r\nbcde\r\n0\r\n\r\n",
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


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["silence", "100"])
def test_a_body_is_sent_whether_or_not_somebody_waits_for_it(mode: Mode, answer: bytes) -> None:
    """`Expect: 100-continue` is a question that the server need not answer, and the answer is not the response."""

    def handler(sock: socket.socket) -> None:
        while b"\r\n\r\n" not in (data := sock.recv(65536, socket.MSG_PEEK)):
            assert data
        sock.sendall(answer)
        seen.append(read_request(sock))
        sock.sendall(OK)

    seen: list[bytes] = []
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(
                server,
                method="POST",
                stream=mode.body(b"a", b"b"),
                headers=[(b"expect", b"100-continue"), (b"content-length", b"2")],
                deadline=mode.after(5),
            )
            assert await mode.read(await mode.send(engine, exchange)) == b"ok"

        mode.run(main)
    assert seen[0].endswith(b"\r\n\r\nab")


LARGE = b"HTTP/1.1 200 OK\r\nx-large: " + b"x" * 90_000 + b"\r\n\r\n"
MANY = b"HTTP/1.1 200 OK\r\n" + b"x-a: 1\r\n" * 101 + b"content-length: 0\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
CONTRADICTION = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"

REFUSED = {
    "length and coding": b"200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0",
    "304 with length and coding": b"304 NM\r\ncontent-length: 2\r\ntransfer-encoding: chunked",
    "the same length twice": b"200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\nab",
    "the same length twice in a line": b"200 OK\r\ncontent-length: 2, 2\r\n\r\nab",
    "204 with a length": b"204 No Content\r\ncontent-length: 2\r\n\r\nab",
    "204 with a coding": b"204 No Content\r\ntransfer-encoding: chunked",
    "204 with two lengths of 0": b"204 No Content\r\ncontent-length: 0\r\ncontent-length: 0",
    "103 with a length": b"103 Early Hints\r\ncontent-length: 2\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0",
    "103 with a coding": b"103 Early Hints\r\ntransfer-encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0",
    "control character": b"200 OK\r\nfoo: b\x01r\r\ncontent-length: 0",
    "delete character": b"200 OK\r\nfoo: b\x7fr\r\ncontent-length: 0",
    "control character in 103": b"103 Early Hints\r\nfoo: \x1f\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0",
}
"""Heads that h11 accepts and Envoy does not."""

SOONER = 4.0
"""Seconds: before the server gives up, whose end would be a failure like the others."""

BEFORE_HEAD = [
    ("close", once(b""), "connection_termination"),
    ("reset", once(b"", reset), "connection_termination"),
    ("close within the head", once(b"HTTP/1.1 200 OK\r\ncontent-le"), "protocol_error"),
    ("reset within the head", once(b"HTTP/1.1 200 OK\r\ncontent-le", reset), "protocol_error"),
    ("close after 103", once(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "connection_termination"),
    ("garbage", once(b"\x16\x03garbage that is no HTTP\r\n\r\n"), "protocol_error"),
    ("large head", once(LARGE, until_closed), "protocol_error"),
    ("many headers", once(MANY, until_closed), "protocol_error"),
    ("two lengths", once(CONTRADICTION, until_closed), "protocol_error"),
    ("a switch nobody asked for", once(SWITCH, until_closed), "protocol_error"),
    *(
        (name, once(b"HTTP/1.1 " + head + b"\r\n\r\n", until_closed), "protocol_error")
        for name, head in REFUSED.items()
    ),
]


@pytest.mark.parametrize(
    ("handler", "reason"), [case[1:] for case in BEFORE_HEAD], ids=[case[0] for case in BEFORE_HEAD]
)
def test_failures_before_the_head(mode: Mode, handler: Any, reason: str) -> None:
    """What breaks before the response's head is told apart, and nothing stays open."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamResetError) as failure:
                await engine.send(mode.exchange(server, deadline=mode.after(SOONER)))
            assert failure.value.reply.details == f"upstream_reset_before_response_started{{{reason}}}"
            assert mode.gauge.now == 0

        mode.run(main)
    assert server.connections == 1


LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n"

WITHIN_BODY = [
    ("close", once(LENGTH), "protocol_error", "UPE"),
    ("reset", once(LENGTH, reset), "protocol_error", "UPE"),
    ("chunked close", once(CHUNKED), "protocol_error", "UPE"),
    ("bad chunk", once(CHUNKED + b"zz\r\n", until_closed), "protocol_error", "UPE"),
    ("endless chunk line", once(CHUNKED + b"1;" + b"x" * 200_000, until_closed), "protocol_error", "UPE"),
]


@pytest.mark.parametrize(
    ("handler", "reason", "flag"), [case[1:] for case in WITHIN_BODY], ids=[case[0] for case in WITHIN_BODY]
)
def test_failures_within_the_body(mode: Mode, handler: Any, reason: str, flag: str) -> None:
    """A body that is broken off raises while it is read, with the details of a response already started."""
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server, deadline=mode.after(SOONER)))
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


def test_a_refusal_is_heard_though_the_upload_is_reset(mode: Mode) -> None:
    """An answer that came before the server reset the connection counts, however far writing the request had come."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(20):  # where the reset meets the writer is chance
                response = await engine.send(mode.exchange(server, method="POST", stream=mode.body([b"x" * 4_000_000])))
                assert response.status_code == 413
                assert await mode.read(response) == b"no"

        mode.run(main)


@pytest.mark.parametrize(
    ("answer", "status", "body", "headers"),
    [
        (b"204 NC\r\ncontent-length: 0\r\nx: y\r\n\r\n", 204, b"", [(b"x", b"y")]),
        (b"103 EH\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\nx: a\tb\r\ncontent-length: 0\r\n\r\n", 200, b"", None),
        (b"200 OK\r\nx: b\xe9\r\nContent-Length: 28\r\n\r\n\r\ncontent-length: 1, 2\r\nabcd", 200, None, None),
    ],
    ids=["204 with length 0", "103 with length 0", "a body like headers"],
)
def test_heads_that_are_no_offence(mode: Mode, answer: bytes, status: int, body: Any, headers: Any) -> None:
    """A length of 0 is dropped where there is no body; tabs and bytes above 127 are values; a body is no head."""
    with serving(answering(b"HTTP/1.1 " + answer)) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                response = await engine.send(mode.exchange(server))
                content = await mode.read(response)
                assert response.status_code == status
                assert content == (b"\r\ncontent-length: 1, 2\r\nabcd" if body is None else body)
                assert headers is None or response.headers.raw == headers

        mode.run(main)
    assert server.connections == 1


# --- the answer comes before the request is sent ---------------------------------------------------------------------

MEGABYTE = b"x" * 2**20
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"


def upload(mode: Mode, kind: str, megabytes: int = 12) -> Any:
    """Return a request's body: at hand, in large or in small chunks."""
    if kind == "fixed":
        return httpx.ByteStream(MEGABYTE * megabytes)
    size = 2**20 if kind == "chunks" else 2**12
    return mode.body(iter([b"x" * size] * (megabytes * 2**20 // size)))


uploads = pytest.mark.parametrize("kind", ["fixed", "chunks", "small chunks"])


@uploads
@pytest.mark.parametrize(
    ("answer", "status"),
    [(BUSY, 503), (b"HTTP/1.1 103 EH\r\n\r\n" + BUSY, 503), (OK, 200)],
    ids=["refusal", "refusal after 103", "whole response"],
)
def test_an_answer_ends_an_upload_that_nobody_reads(mode: Mode, kind: str, answer: bytes, status: int) -> None:
    """Who refuses or has answered in full need not read on: the answer counts, and the connection is not kept."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(answer)
        gone.wait(5)

    gone = threading.Event()
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, method="POST", stream=upload(mode, kind), deadline=mode.after(4))
            response = await mode.send(engine, exchange)
            assert response.status_code == status
            assert await mode.read(response) == answer[-4:].strip()
            assert mode.gauge.now == 0

        try:
            mode.run(main)
        finally:
            gone.set()


@uploads
def test_an_answer_before_the_connection_breaks_is_heard(mode: Mode, kind: str) -> None:
    """The upload fails by a RST, and what the peer said before it is the response."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(BUSY)
        time.sleep(0.05)  # else the RST overtakes the answer
        reset(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, method="POST", stream=upload(mode, kind), deadline=mode.after(4))
            response = await mode.send(engine, exchange)
            assert (response.status_code, await mode.read(response)) == (503, b"busy")
            assert mode.gauge.now == 0

        mode.run(main)


def echo(size: int) -> Handler:
    """Send back `size` bytes of the request's body while it is still coming."""

    def handler(sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        sent = 0
        while sent < size:
            sock.sendall(body[: size - sent])
            sent += len(body)
            body = sock.recv(65536) if sent < size else b""
        if b"chunked" in head:  # longer than what it carries
            until_closed(sock)

    return handler


@uploads
def test_an_echo_does_not_stall(mode: Mode, kind: str) -> None:
    """A peer that answers while it reads goes on getting the request, and its answer arrives whole."""
    with serving(echo(12 * 2**20)) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, method="POST", stream=upload(mode, kind), deadline=mode.after(8))
            response = await mode.send(engine, exchange)
            assert len(await mode.read(response)) == 12 * 2**20

        mode.run(main)


@uploads
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "connection_termination"),
        (b"HTTP/1.1 200 OK\r\ncont", "protocol_error"),
        (b"\x16\x03\r\n\r\n", "protocol_error"),
    ],
    ids=["nothing", "half a head", "garbage"],
)
def test_what_is_no_answer_ends_an_upload(mode: Mode, kind: str, answer: bytes, reason: str) -> None:
    """A peer that ends its side or speaks something else during the upload has failed."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        gone.wait(5)

    gone = threading.Event()
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, method="POST", stream=upload(mode, kind), deadline=mode.after(4))
            with pytest.raises(UpstreamResetError) as failure:
                await mode.send(engine, exchange)
            assert failure.value.reply.details == f"upstream_reset_before_response_started{{{reason}}}"
            assert mode.gauge.now == 0

        try:
            mode.run(main)
        finally:
            gone.set()


@uploads
def test_a_connection_is_kept_after_a_large_upload(mode: Mode, kind: str) -> None:
    """Listening during the upload costs the connection nothing where the peer answers after it."""

    def handler(sock: socket.socket) -> None:
        end = b"x" * 2**12 if kind == "fixed" else b"0\r\n\r\n"
        while True:
            count, tail = 0, b""
            while count < 2**20 or not tail.endswith(end):
                data = sock.recv(65536)
                if not data:
                    return
                count, tail = count + len(data), (tail + data)[-(2**12) :]
                if kind == "fixed" and count > 2**20:
                    break
            sock.sendall(OK)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                exchange = mode.exchange(server, method="POST", stream=upload(mode, kind, 1), deadline=mode.after(4))
                assert await mode.read(await mode.send(engine, exchange)) == b"ok"

        mode.run(main)
    assert server.connections == 1


def test_a_switch_of_protocols_during_an_upload_is_a_response(mode: Mode) -> None:
    """101 to a request that asked for it ends HTTP: nothing behind it is parsed."""

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nwhatever")
        until_closed(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            asking = [(b"upgrade", b"x"), (b"connection", b"upgrade")]
            exchange = mode.exchange(server, headers=asking, stream=upload(mode, "fixed"), deadline=mode.after(4))
            response = await mode.send(engine, exchange)
            assert response.status_code == 101
            await mode.close(response)
            assert mode.gauge.now == 0

        mode.run(main)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("retried", [True, False])
def test_an_upload_that_will_be_sent_again_is_not_broken_off(loop: str, retried: bool) -> None:
    """A refusal that is retried waits for the application's next piece, and asks for no more; else it ends both."""
    mode = Mode(loop)
    told: list[str] = []
    pulling = threading.Event()
    heard: Any = None

    def is_retried(status: int, _: Any) -> bool:
        heard.set()
        return retried and status == 503

    class Upload(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"1"
            try:
                pulling.set()
                await (heard.wait() if retried else anyio.sleep_forever())
                told.append("went on")
                yield b"2"
                told.append("asked for more")
                yield b"3"
            finally:
                told.append("closed")

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        assert pulling.wait(5)
        sock.sendall(BUSY)
        until_closed(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            nonlocal heard
            heard = anyio.Event()
            exchange = mode.exchange(server, method="POST", stream=Upload(), deadline=mode.after(5))
            exchange.is_retried = is_retried
            response = await mode.send(engine, exchange)
            assert (response.status_code, await mode.read(response)) == (503, b"busy")

        mode.run(main)
    assert told == (["went on", "closed"] if retried else ["closed"])


def test_the_applications_failure_during_an_upload_is_its_own(mode: Mode) -> None:
    """What the request's stream raises comes out as it is."""

    def chunks() -> Iterator[bytes]:
        yield MEGABYTE
        raise ZeroDivisionError

    with serving(until_closed) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(ZeroDivisionError):
                await engine.send(mode.exchange(server, method="POST", stream=mode.body(chunks())))
            assert mode.gauge.now == 0

        mode.run(main)


def test_deadline_during_an_upload(mode: Mode) -> None:
    """A peer that neither reads nor answers runs into the deadline."""

    def handler(sock: socket.socket) -> None:
        gone.wait(5)

    gone = threading.Event()
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, method="POST", stream=upload(mode, "fixed"), deadline=mode.after(0.1))
            with pytest.raises(DeadlineExpired):
                await mode.send(engine, exchange)
            assert mode.gauge.now == 0

        try:
            mode.run(main)
        finally:
            gone.set()


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


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
def test_a_connection_that_a_request_ends_is_closed(mode: Mode, value: bytes) -> None:
    """`connection: close` is kept by the one who says it, whatever the server does."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                response = await mode.send(engine, mode.exchange(server, headers=[(b"connection", value)]))
                assert await mode.read(response) == b"ok"
                assert mode.gauge.now == 0

        mode.run(main)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("method", "headers", "answer"),
    [
        ("GET", [(b"connection", b"upgrade"), (b"upgrade", b"x")], SWITCH),
        ("CONNECT", [], b"HTTP/1.1 200 Connected\r\n\r\n"),
    ],
    ids=["upgrade", "CONNECT"],
)
def test_a_connection_that_speaks_something_else_serves_nobody_else(
    mode: Mode, method: str, headers: list[Header], answer: bytes
) -> None:
    """What comes on it from now on is no HTTP, though nothing of it has come yet."""
    with serving(answering(answer)) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                response = await mode.send(engine, mode.exchange(server, method=method, headers=headers))
                assert await mode.read(response) == b""
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


def test_a_connection_that_is_too_old_begins_nothing(mode: Mode) -> None:
    """Idle, it is closed when somebody wants it; in use, it finishes what it has first."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for max_age in (0.0, 0.0, None, None):
                await mode.read(await engine.send(mode.exchange(server, max_age=max_age)))
            assert len(engine._pool.connections) == 1

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
            deadline = mode.after(5)
            response = await engine.send(mode.exchange(server, deadline=deadline))
            deadline.set(time.monotonic() + 0.05)
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
