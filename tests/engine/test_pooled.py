"""The pool: what cancellation, forks and other loops do to kept connections and to the gauge."""

from __future__ import annotations

import gc
import os
import socket
import threading
from contextlib import closing
from random import Random
from typing import Any

import anyio
import h2.events
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.engine.blocking import step
from ambassador_lib.engine.pooled import AsyncPooledEngine, PooledEngine
from ambassador_lib.errors import DeadlineExpired, UpstreamResetError

from .conftest import Mode
from .servers import OK, H2Peer, answering, once, read_request, serving, until_closed
from .test_http2 import respond_when_complete


@pytest.mark.parametrize("protocol", ["http1", "http2"])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_cancellation_at_any_point_gives_everything_back(backend: str, protocol: str) -> None:
    """Whenever the caller goes away, no connection stays counted without being kept."""

    def handler(sock: socket.socket) -> None:
        if protocol == "http1":
            read_request(sock)
            for byte in OK:
                sock.sendall(bytes([byte]))
        until_closed(sock)

    mode = Mode(backend)
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for steps in range(25):
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as group:

                        async def one() -> None:
                            response = await engine.send(mode.exchange(server, protocol=protocol, idle_timeout=0.0))
                            try:
                                await response.aread()
                            finally:
                                await response.aclose()
                            scope.cancel()

                        group.start_soon(one)
                        for _ in range(steps):
                            await anyio.lowlevel.checkpoint()
                        scope.cancel()
            engine._next_sweep = 0.0
            await engine._sweep()
            assert mode.gauge.now == 0
            assert not engine._pool.connections
            assert not engine._pool.dialling

        mode.run(main)


def test_an_engine_outlives_its_loop() -> None:
    """Connections of a loop that is gone are not used in the next one."""
    mode = Mode("asyncio")
    engine = AsyncPooledEngine(mode.clock)
    with serving(answering(OK)) as server:

        async def main() -> None:
            response = await engine.send(mode.exchange(server))
            assert await response.aread() == b"ok"
            if mode.gauge.opens == 2:
                await engine.close()

        anyio.run(main)
        anyio.run(main)
        gc.collect()  # asyncio would warn of a transport that its loop left open
    assert server.connections == 2
    assert mode.gauge.now == 0


def test_many_threads_share_an_engine() -> None:
    """Each thread gets its own answer; connections are reused; the gauge comes back to what is kept."""
    mode = Mode("sync")

    def handler(sock: socket.socket) -> None:
        while True:
            target = read_request(sock).split(b" ")[1]
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(target), target))

    wrong: list[object] = []
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            def work(number: int) -> None:
                for index in range(30):
                    target = f"/{number}/{index}"
                    body = step(engine.send(mode.exchange(server, target=target))).read()
                    if body != target.encode():
                        wrong.append((target, body))

            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert mode.gauge.now == len(engine._pool.connections) <= 8

        mode.run(main)
    assert wrong == []
    assert server.connections <= 8


def test_idle_connections_nobody_asks_for_are_swept() -> None:
    """A connection to a destination out of use is closed after its idle timeout, at some later call."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock: Any = Clock()
    mode = Mode("sync")
    engine = PooledEngine(clock)
    with serving(answering(OK)) as old, serving(answering(OK)) as new:
        step(engine.send(mode.exchange(old, idle_timeout=60))).read()
        step(engine.send(mode.exchange(new, idle_timeout=60))).read()
        clock.now = 50
        step(engine.send(mode.exchange(new, idle_timeout=60))).read()
        assert mode.gauge.now == 2
        clock.now = 100
        step(engine.send(mode.exchange(new, idle_timeout=60))).read()
        assert mode.gauge.now == 1
        step(engine.close())
    assert (old.connections, new.connections) == (1, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_leaves_the_parents_connections_alone() -> None:
    """After a fork the child lets go of it and dials anew, and the parent's connection goes on."""
    mode = Mode("sync")
    engine = PooledEngine(mode.clock)
    with serving(answering(OK)) as server:
        step(engine.send(mode.exchange(server))).read()
        (inherited,) = (pooled.connection.wire.get_extra_info("socket") for pooled in engine._pool.connections)
        child = os.fork()
        if child == 0:
            try:
                assert (mode.gauge.now, inherited.fileno()) == (0, -1)
                response = step(engine.send(mode.exchange(server)))
                os._exit(0 if response.read() == b"ok" and mode.gauge.opens == 2 else 1)
            except BaseException:  # noqa: BLE001 - a child must not run the parent's tests
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert step(engine.send(mode.exchange(server))).read() == b"ok"
        step(engine.close())
    assert (mode.gauge.opens, mode.gauge.now) == (1, 0)
    assert server.connections == 2


def test_close_with_a_response_unread(mode: Mode) -> None:
    """A response that is still open when the engine closes gives its connection back when it is closed."""
    with serving(once(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart", until_closed)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server))
            await engine.close()
            await mode.close(response)
            assert mode.gauge.now == 0

        mode.run(main)


@pytest.mark.parametrize("protocol", ["http1", "http2"])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_cancelled_exchanges_never_cross(backend: str, protocol: str) -> None:
    """Under cancellation at random moments each exchange gets its own answer or none."""
    mode = Mode(backend)
    random = Random(7)

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers: Any = event.headers
            peer.respond(event.stream_id, dict(headers)[":path"].encode())

    def http1(sock: socket.socket) -> None:
        while True:
            target = read_request(sock).split(b" ")[1]
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(target), target))

    outcomes: list[bool] = []
    with serving(http1 if protocol == "http1" else H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            async def one(index: int) -> None:
                target = f"/{index}"
                with anyio.move_on_after(random.random() * 0.03):
                    response = await engine.send(mode.exchange(server, protocol=protocol, target=target))
                    try:
                        outcomes.append(await response.aread() == target.encode())
                    finally:
                        await response.aclose()

            for start in range(0, 300, 30):
                async with anyio.create_task_group() as group:
                    for index in range(start, start + 30):
                        group.start_soon(one, index)
            assert mode.gauge.now == len(engine._pool.connections)
            assert all(pooled.connection.is_idle() for pooled in engine._pool.connections)
            response = await engine.send(mode.exchange(server, protocol=protocol, target="/last"))
            outcomes.append(await response.aread() == b"/last")

        mode.run(main)
    assert outcomes[-1]
    assert all(outcomes)


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_what_is_dialled_while_the_engine_closes_is_closed(mode: Mode, protocol: str) -> None:
    """The exchange breaks off, and no connection is left that nobody would ever close."""
    with serving(until_closed) as server:

        async def main(engine: Any) -> None:
            dial = engine._network.dial

            async def late(exchange: Any) -> Any:
                wire = await dial(exchange)
                await engine.close()
                return wire

            engine._network.dial = late
            with pytest.raises(UpstreamResetError):
                await mode.send(engine, mode.exchange(server, protocol=protocol))
            assert (mode.gauge.opens, mode.gauge.now) == (1, 0)
            assert not engine._pool.connections

        mode.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("work", ["_sweep", "close"])
def test_closing_many_goes_on_where_the_caller_is_cancelled(backend: str, work: str) -> None:
    """A call that happens to sweep, or a client's `aclose`, leaves nothing half done behind."""
    mode = Mode(backend)
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            exchanges = [mode.exchange(server, idle_timeout=0.0) for _ in range(4)]
            for exchange in exchanges:
                exchange.dropped_from = 0  # its connection is held until the body is read
            responses = [await engine.send(exchange) for exchange in exchanges]
            for response in responses:
                await response.aread()
            assert mode.gauge.now == 4
            engine._next_sweep = 0.0
            async with anyio.create_task_group() as group:
                group.start_soon(getattr(engine, work))
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            with anyio.fail_after(5):
                while mode.gauge.now:
                    await anyio.lowlevel.checkpoint()
            assert not engine._pool.connections

        mode.run(main)


def test_connections_to_a_host_that_is_gone_are_not_kept(mode: Mode) -> None:
    """They would count against the cluster's `max_connections` until their idle timeout, an hour by default."""
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            kept = await engine.send(mode.exchange(server))
            in_use = await engine.send(mode.exchange(server))
            await mode.read(kept)
            mode.gauge.retired = True
            assert await mode.read(in_use) == b"ok"
            assert mode.gauge.now == 1
            engine._next_sweep = 0.0
            await engine._sweep()
            assert mode.gauge.now == 0

        mode.run(main)


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_connections_to_a_host_that_has_failed_are_given_up(mode: Mode, protocol: str) -> None:
    """What is under way is finished; then the connection is closed, and the next exchange dials anew."""
    handler = answering(OK) if protocol == "http1" else H2Peer(respond_when_complete)
    with serving(handler) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                await mode.read(await engine.send(mode.exchange(server, protocol=protocol)))
            under_way = await engine.send(mode.exchange(server, protocol=protocol))
            mode.gauge.drains += 1
            another = await engine.send(mode.exchange(server, protocol=protocol))
            assert server.connections == 2
            assert await mode.read(under_way) == b"ok"
            assert mode.gauge.now == 1
            assert await mode.read(another) == b"ok"
            await mode.read(await engine.send(mode.exchange(server, protocol=protocol)))
            mode.gauge.drains += 1
            await mode.read(await engine.send(mode.exchange(server, protocol=protocol)))
            assert server.connections == 3

        mode.run(main)


def test_connections_of_a_loop_that_is_gone_are_swept() -> None:
    """A client that serves one `asyncio.run` after the other does not gather the connections of all of them."""
    mode = Mode("asyncio")
    engine = AsyncPooledEngine(mode.clock)
    with serving(answering(OK)) as server:

        async def main() -> None:
            engine._next_sweep = 0.0
            response = await engine.send(mode.exchange(server))
            assert await response.aread() == b"ok"

        for _ in range(3):
            anyio.run(main)
        gc.collect()  # asyncio would warn of transports that their loops left open
        assert mode.gauge.now == 1
        anyio.run(engine.close)
        gc.collect()
    assert mode.gauge.now == 0


@pytest.mark.parametrize(
    ("protocol", "greeting", "flood"),
    [
        ("http1", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("http2", bytes.fromhex("000000040000000000"), bytes.fromhex("000008060100000000") + bytes(8)),
        ("http2", bytes.fromhex("000000040000000000 000001010400000001 88"), bytes.fromhex("000000000000000001")),
    ],
    ids=["interim responses", "answers to pings never sent", "empty pieces of body"],
)
def test_a_peer_that_never_stops_is_no_way_around_a_deadline(protocol: str, greeting: bytes, flood: bytes) -> None:
    """A read that never has to wait never looks at the clock; on an event loop the caller cancels it."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 0.1
            return self.now

    def handler(sock: socket.socket) -> None:
        if protocol == "http1":
            read_request(sock)
        else:
            sock.recv(65536)
        sock.sendall(greeting)
        while True:
            sock.sendall(flood * 100)

    mode = Mode("sync")
    with serving(handler) as server:
        engine = PooledEngine(Clock())  # type: ignore[arg-type]

        def call() -> None:
            exchange = mode.exchange(server, protocol=protocol, deadline=Deadline(5.0))
            with closing(step(engine.send(exchange))) as response:
                response.read()

        with pytest.raises(DeadlineExpired):
            call()
        step(engine.close())
    assert mode.gauge.now <= 1
