"""Answers that are whole with their head: their connection serves others before anybody has read them."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from ambassador_lib._httpx import content_of
from ambassador_lib.engine import pool as pools
from ambassador_lib.engine.base import Destination
from ambassador_lib.engine.blocking import step
from ambassador_lib.engine.http1 import Http1Connection
from ambassador_lib.engine.pool import Pool, Pooled

from .conftest import Mode
from .exchanges import exchange_of
from .replay import BlockingReplay, ReplayWire
from .servers import OK, answering, read_request, serving, until_closed

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\no\n\r\n1\r\nk\r\n0\r\nx-trailer: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (CHUNKED, b"o\nk"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, b"ok"),
    ],
    ids=["length", "chunks", "204", "304", "behind 103"],
)
def test_a_complete_answer_gives_its_connection_back_at_once(mode: Mode, answer: bytes, body: bytes) -> None:
    """The next exchange takes the same connection, though nobody has read the answer before it."""
    with serving(answering(answer)) as server:

        async def main(engine: Any) -> None:
            responses = [await engine.send(mode.exchange(server)) for _ in range(3)]
            for response in responses:
                assert type(response.stream) is httpx.ByteStream
                assert await mode.read(response) == body
            assert mode.gauge.now == 1

        mode.run(main)
    assert server.connections == 1


def test_an_answer_that_may_be_dropped_stays_on_its_connection(mode: Mode) -> None:
    """Envoy ends a connection whose response is dropped with its body; one without a body costs nothing."""
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"
    empty = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    with serving(answering(OK, busy, empty, OK)) as server:

        async def main(engine: Any) -> None:
            async def send() -> Any:
                exchange = mode.exchange(server)
                exchange.dropped_from = 500
                return await engine.send(exchange)

            assert type((await send()).stream) is httpx.ByteStream
            response = await send()
            assert type(response.stream) is not httpx.ByteStream
            response.stream.drop()
            await mode.close(response)
            assert mode.gauge.now == 0

        mode.run(main)
    with serving(answering(empty, OK)) as server:

        async def again(engine: Any) -> None:
            for status in (503, 200):
                exchange = mode.exchange(server)
                exchange.dropped_from = 500
                response = await engine.send(exchange)
                assert response.status_code == status
                if hasattr(response.stream, "drop"):
                    response.stream.drop()
                await mode.close(response)
            assert mode.gauge.now == 1

        mode.run(again)
    assert server.connections == 1


def test_an_answer_that_comes_again_may_be_dropped_again(mode: Mode) -> None:
    """However well known, what may be thrown away with a body stays on its connection; and so does one to be kept."""
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"
    with serving(answering(*[busy] * 4)) as server:

        async def main(engine: Any) -> None:
            for least in (1000, 1000, 500):
                exchange = mode.exchange(server)
                exchange.dropped_from = least
                response = await engine.send(exchange)
                assert (type(response.stream) is httpx.ByteStream) == (least > 503)
                assert await mode.read(response) == b"busy"
            exchange = mode.exchange(server)
            exchange.dropped_from = 500
            response = await engine.send(exchange)
            response.stream.drop()
            await mode.close(response)
            assert mode.gauge.now == 0

        mode.run(main)
    assert server.connections == 1


def test_a_known_answer_in_pieces_or_with_something_behind_it() -> None:
    """How it comes makes no difference: it is whole when its body is, and what follows it ends the connection."""
    head, body = OK[:-2], OK[-2:]
    answers = [(OK,), (head, body), (head[:9], head[9:] + body), (head + body[:1], body[1:]), (OK,), (OK + b"x",)]
    wire = ReplayWire([piece for pieces in answers for piece in pieces], ends=False)
    connection = Http1Connection(wire, BlockingReplay(wire))
    for number in range(len(answers)):
        assert connection.has_room()
        stream = connection.open(Mode("sync").exchange(80))
        response = stream.begin() or step(stream.answer())
        assert response.headers.raw == [(b"content-length", b"2")]
        content = content_of(response.stream)
        if content is None:
            content = b"".join(iter(lambda: step(stream.read()), b""))  # noqa: B023 - called at once
        assert content == b"ok"
        stream.end()
        assert connection.is_usable() == (number < len(answers) - 1)
    assert not wire.pieces


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"x",
        OK + b"\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + OK,
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
    ],
)
def test_a_complete_answer_whose_connection_cannot_go_on_closes_it(mode: Mode, answer: bytes) -> None:
    """Before the answer is returned."""
    with serving(answering(answer)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server))
            assert mode.gauge.now == 0
            assert await mode.read(response) in (b"ok", b"o\nk")

        mode.run(main)
    assert server.connections == 1


def test_what_an_application_does_to_an_answer_is_not_in_the_next(mode: Mode) -> None:
    """A head that comes again is not read again, and belongs to each response all the same."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for _ in range(3):
                response = await engine.send(mode.exchange(server))
                assert response.headers.raw == [(b"content-length", b"2")]
                response.headers["x-mine"] = "1"
                del response.headers["content-length"]

        mode.run(main)


def test_a_head_that_comes_again_may_mean_something_else(mode: Mode) -> None:
    """The same bytes answer HEAD without a body; a head that begins like the one before is another."""
    longer = OK.replace(b"\r\n\r\n", b"\r\nx: y\r\n\r\n")
    answers = [OK, OK, OK.removesuffix(b"ok"), OK, longer, OK.replace(b"200", b"201")]

    def handler(sock: socket.socket) -> None:
        for answer in answers:
            read_request(sock)
            sock.sendall(answer)
        until_closed(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for method, answer in zip(("GET", "GET", "HEAD", "GET", "GET", "GET"), answers, strict=True):
                response = await engine.send(mode.exchange(server, method=method))
                assert await mode.read(response) == (b"" if method == "HEAD" else b"ok")
                assert response.status_code == int(answer[9:12])
                assert ("x" in response.headers) == (b"x: y" in answer)

        mode.run(main)
    assert server.connections == 1


def test_an_exchange_that_is_over_breaks_nobody_off(mode: Mode) -> None:
    """`abort` after the answer is complete: the connection is another's by then."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            first = mode.exchange(server)
            await mode.read(await engine.send(first))
            second = mode.exchange(server, on_connected=first.abort)
            assert await mode.read(await engine.send(second)) == b"ok"

        mode.run(main)
    assert server.connections == 1


@pytest.mark.parametrize("idle", [1, 256])
def test_a_checkout_costs_the_same_however_many_are_idle(idle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last that was used is taken, and only it is looked at; so is one that is removed from anywhere."""
    stale: list[Any] = []

    class Connection:
        is_exclusive = True
        busy = False

        def open(self, exchange: Any) -> Any:
            self.busy = True
            return self

        def has_room(self) -> bool:
            return not self.busy

        def is_idle(self) -> bool:
            return not self.busy

        def is_usable(self) -> bool:
            return True

        def is_stale(self) -> bool:
            stale.append(self)
            return False

    compared = 0

    class Compared(Pooled):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = Pooled.__hash__

    hashed = 0
    whole = Destination.__hash__

    def counted(self: Destination) -> int:
        nonlocal hashed
        hashed += 1
        return whole(self)

    monkeypatch.setattr(pools.Destination, "__hash__", counted)
    pool = Pool(lambda: 0.0)
    key = (None, Destination("c", "127.0.0.1", 80))
    exchange = exchange_of()
    all_of_them: list[Any] = []
    for _ in range(idle):
        pooled = Compared(Connection(), key, lambda: 0.0)  # type: ignore[arg-type]
        assert pool.add(pooled)
        pool.open(pooled, exchange)
        all_of_them.append(pooled)
    for pooled in all_of_them:
        pooled.connection.busy = False
        assert not pool.settle(pooled)
    hashed = compared = 0
    taken = pool.take(key, exchange)
    assert taken is not None
    assert taken[0] is all_of_them[-1]
    assert not taken[0].is_overdue(0.0)
    assert stale == [taken[0].connection]
    taken[0].connection.busy = False  # type: ignore[attr-defined]
    assert not pool.settle(taken[0])
    pool.remove(all_of_them[0])
    assert hashed <= 3
    assert compared == 0


def test_a_sweep_forgets_no_destination_that_is_in_use() -> None:
    """A connection that was out while the idle ones were looked at is found again when it is given back."""

    class Connection:
        is_exclusive = True

        def open(self, exchange: Any) -> Any:
            return None

        def has_room(self) -> bool:
            return False

        def is_usable(self) -> bool:
            return True

    pool = Pool(lambda: 0.0)
    key = (None, Destination("c", "127.0.0.1", 80))
    exchange = exchange_of()
    pooled = Pooled(Connection(), key, lambda: 0.0)  # type: ignore[arg-type]
    assert pool.add(pooled)
    pool.open(pooled, exchange)
    assert pool.withdraw(lambda _: True) == []
    assert not pool.settle(pooled)
    taken = pool.take(key, exchange)
    assert taken is not None
    assert taken[0] is pooled
    pool.remove(pooled)
    assert pool.withdraw(lambda _: True) == []
    assert not pool._free
