"""What went wrong in prototypes of the engine: answers, counts and ends that reached somebody else's exchange."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from ambassador_lib.engine.blocking import BlockingNetwork, step
from ambassador_lib.engine.http1 import Http1Connection
from ambassador_lib.engine.pooled import AsyncPooledEngine

from .conftest import Mode
from .exchanges import exchange_of
from .servers import OK, answering, once, read_request, serving, until_closed


def echo(sock: socket.socket) -> None:
    while True:
        target = read_request(sock).split(b" ")[1]
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(target), target))


def test_an_answer_is_its_callers_when_its_connection_is_anothers(mode: Mode) -> None:
    """A body that nobody has read yet does not change when the connection brings the next answer."""
    with serving(echo) as server:

        async def main(engine: Any) -> None:
            responses = [await mode.send(engine, mode.exchange(server, target=f"/{number}")) for number in range(5)]
            bodies = [await mode.read(response) for response in responses]
            assert bodies == [b"/0", b"/1", b"/2", b"/3", b"/4"]

        mode.run(main)


def test_a_try_that_has_ended_cannot_break_another_off(mode: Mode) -> None:
    """Who breaks off a try too late hits nobody: its connection serves another exchange by then."""
    answer_second = threading.Event()

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)
        read_request(sock)
        first.abort()
        answer_second.set()
        sock.sendall(OK)

    with serving(handler) as server:
        first = mode.exchange(server)

        async def main(engine: Any) -> None:
            assert await mode.read(await mode.send(engine, first)) == b"ok"
            assert await mode.read(await mode.send(engine, mode.exchange(server))) == b"ok"
            assert answer_second.is_set()
            assert server.connections == 1

        mode.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_cancelled_connect_is_not_counted(backend: str) -> None:
    """Whenever it is cancelled, a connect leaves the count where it was, and never below."""
    mode = Mode(backend)
    lowest: list[int] = []
    closed = mode.gauge.closed

    def noted() -> None:
        closed()
        lowest.append(mode.gauge.now)

    mode.gauge.closed = noted  # type: ignore[method-assign]
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            for turns in range(12):
                async with anyio.create_task_group() as group:
                    group.start_soon(engine.send, mode.exchange(server, idle_timeout=0.0))
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    group.cancel_scope.cancel()
                assert mode.gauge.now >= 0

        mode.run(main)
    assert min(lowest, default=0) >= 0
    assert mode.gauge.opens == mode.gauge.closes


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_broken_off_exchange_leaves_its_exception_to_nobody_else(backend: str) -> None:
    """While it closes its connection others run, and for them nothing is being handled."""
    mode = Mode(backend)
    seen: list[BaseException | None] = []
    with serving(until_closed) as server:

        async def main(engine: Any) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(engine.send, mode.exchange(server))
                with anyio.fail_after(20):
                    while not server.connections:
                        await anyio.lowlevel.checkpoint()
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    for _ in range(10):
                        seen.append(sys.exc_info()[1])
                        await anyio.lowlevel.checkpoint()
            assert not engine._pool.connections

        mode.run(main)
    assert seen == [None] * 10


def test_a_connection_is_counted_off_once(mode: Mode) -> None:
    """One that was given up with its engine is not counted off again when its exchange ends."""
    with serving(once(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart", until_closed)) as server:

        async def main(engine: Any) -> None:
            response = await mode.send(engine, mode.exchange(server))
            assert mode.gauge.now == 1
            engine.abandon()
            assert mode.gauge.now == 0
            await mode.close(response)
            assert (mode.gauge.opens, mode.gauge.closes) == (1, 1)

        mode.run(main)


def test_looking_for_input_never_waits() -> None:
    """A look whether something has come returns at once; `MSG_DONTWAIT` on a socket with a timeout would wait."""
    mode = Mode("sync")
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            await mode.read(await mode.send(engine, mode.exchange(server, deadline=mode.after(30))))
            (pooled,) = engine._pool.connections
            started = time.monotonic()
            assert not pooled.connection.wire.has_input()
            assert time.monotonic() - started < 5

        mode.run(main)


def test_engines_of_loops_that_end_keep_no_tasks() -> None:
    """A loop that has carried calls ends with nothing under way."""
    mode = Mode("asyncio")
    with serving(answering(OK)) as server:

        async def main() -> None:
            engine = AsyncPooledEngine(mode.clock)
            assert await mode.read(await mode.send(engine, mode.exchange(server))) == b"ok"
            await engine.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())
    assert mode.gauge.now == 0


def test_breaking_off_and_the_end_do_not_overlap() -> None:
    """Both hold the connection's guard: what is broken off is not kept, and what is over is not broken off."""
    told: list[str] = []

    class Guard:
        def __enter__(self) -> None:
            told.append("guarded")

        def __exit__(self, *_: object) -> None:
            told.append("free")

    wire: Any = SimpleNamespace(keeps_deadlines=True, abort=lambda: told.append("broken off"))
    connection = Http1Connection(wire, SimpleNamespace())  # type: ignore[arg-type]  # neither is used
    connection.guard = Guard()  # type: ignore[assignment]

    stream = connection.open(exchange_of())
    stream.abort()
    assert told == ["guarded", "broken off", "free"]
    stream.end()
    assert told[3:] == ["guarded", "free"]
    assert not connection.is_usable()

    stream = connection.open(exchange_of())
    stream.end()
    del told[:]
    stream.abort()
    assert told == ["guarded", "free"]


def test_what_is_answered_before_it_is_asked_is_the_last() -> None:
    """A peer that refuses before anything was sent is heard, and its connection serves nobody else."""

    async def listening(sending: Any, hear: Any) -> bool:
        assert hear(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
        sending.close()
        return False

    mode = Mode("sync")
    wire: Any = SimpleNamespace(keeps_deadlines=True, listening=listening)
    connection = Http1Connection(wire, BlockingNetwork(time.monotonic))
    stream = connection.open(mode.exchange(1, method="POST", stream=mode.body(b"x")))
    assert stream.begin() is None
    response = step(stream.answer())
    assert (response.status_code, response.read()) == (503, b"busy")
    stream.end()
    assert not connection.is_usable()
