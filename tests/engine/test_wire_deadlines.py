"""Deadlines on real sockets: they strike when they pass, wherever they were before, and cost nothing until then."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from typing import Any

import anyio
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.errors import DeadlineExpired

from .conftest import Mode
from .servers import serving, until_closed
from .wires import LOOPS, OURS, SOON, Wires, echo, settled


@pytest.mark.slow
def test_silence_is_cut_at_the_deadline(wires: Wires) -> None:
    """Not a moment before, and soon after; the next wait has its own."""
    with serving(until_closed) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            for seconds in (0.2, 0.05, 0.1):
                deadline = wires.in_(seconds)
                with pytest.raises(DeadlineExpired):
                    await wires.read(wire, deadline)
                assert deadline.at <= time.monotonic() < deadline.at + SOON
                assert deadline.watch is None
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("pause", [0.01, 0.0], ids=["drip", "flood"])
def test_bytes_without_end_do_not_outlast_the_deadline(wires: Wires, pause: float) -> None:
    """Whether they come one by one or faster than anybody reads."""

    def handler(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" if pause else b"x" * 65536)
            time.sleep(pause)

    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            deadline = wires.in_(0.2)

            async def read_on() -> None:
                while not wires.network.has_passed(deadline):
                    await wires.read(wire, deadline)
                raise DeadlineExpired

            with pytest.raises(DeadlineExpired):
                await read_on()
            assert deadline.at <= time.monotonic() < deadline.at + SOON
            await wire.close()

        wires.run(main)


def test_a_stalled_write_is_cut_at_the_deadline(wires: Wires) -> None:
    """A peer that reads nothing holds the sender, and no longer than until then."""
    with serving(lambda sock: gone.wait(10)) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            deadline = wires.in_(0.1)
            with pytest.raises(DeadlineExpired):
                await wires.write(wire, bytes(64 * 2**20), deadline)
            assert deadline.at <= time.monotonic() < deadline.at + SOON
            await wire.close()

        gone = threading.Event()
        try:
            wires.run(main)
        finally:
            gone.set()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.slow
def test_a_deadline_that_moves_while_somebody_waits(loop: str) -> None:
    """Earlier or later: what counts is where it is when it passes."""
    wires = Wires(loop)
    with serving(until_closed) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            for first, then in ((30.0, 0.1), (0.05, 0.2)):
                deadline = wires.in_(first)
                moved = time.monotonic() + then
                async with anyio.create_task_group() as group:

                    async def move(deadline: Deadline = deadline, moved: float = moved) -> None:
                        await anyio.sleep(0.02)
                        deadline.set(moved)

                    group.start_soon(move)
                    with pytest.raises(DeadlineExpired):
                        await wires.read(wire, deadline)
                    assert moved <= time.monotonic() < moved + SOON
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_deadline_may_bound_more_than_the_wire(loop: str) -> None:
    """Who waits further out under the same deadline is told of its moves as well."""
    wires = Wires(loop)
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            deadline = wires.in_(0.05)

            async def work() -> None:
                await wires.write(wire, b"x", deadline)
                deadline.set(time.monotonic() + 30)
                await wires.read(wire, deadline)
                await anyio.sleep(0.15)
                deadline.set(time.monotonic() + 0.05)
                await anyio.sleep(30)

            started = time.monotonic()
            with pytest.raises(DeadlineExpired):
                await wires.network.within(deadline, work())
            assert 0.2 <= time.monotonic() - started < SOON
            assert deadline.watch is None
            await wire.close()

        wires.run(main)


def test_what_is_there_is_read_after_the_deadline(mode: Mode) -> None:
    """A deadline cuts waits: of what has come already nothing is lost."""
    if mode.name == "trio":
        pytest.skip("its caller is cancelled before it looks")
    wires = Wires(mode.name)
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            await wires.write(wire, b"x", wires.in_(5))
            await settled(wires, wire.has_input)
            if mode.name != "sync":
                await anyio.sleep(0.01)  # the loop fetches it
            assert await wires.read(wire, Deadline(0.0)) == b"x"
            with pytest.raises(DeadlineExpired):
                await wires.read(wire, Deadline(0.0))
            await wire.close()

        wires.run(main)


def test_patience_ends_what_no_deadline_does(mode: Mode) -> None:
    """No wait is without a bound."""
    wires = Wires(mode.name, patience=0.05)
    with serving(until_closed) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            started = time.monotonic()
            with pytest.raises(DeadlineExpired):
                await wires.read(wire, Deadline())
            assert 0.05 <= time.monotonic() - started < SOON
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", OURS)
def test_the_injected_clock_decides(loop: str) -> None:
    """A clock that stands still lets no deadline pass, asks for no attention, and strikes when it is put forward."""

    class Clock:
        time = 0.0
        asked = 0

        def now(self) -> float:
            self.asked += 1
            return self.time

    clock = Clock()
    wires = Wires(loop, clock.now)

    def handler(sock: socket.socket) -> None:
        time.sleep(0.15)
        sock.sendall(b"late")
        until_closed(sock)

    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            assert await wire.read(Deadline(0.02)) == b"late"
            assert clock.asked < 40
            asyncio.get_running_loop().call_later(0.01, setattr, clock, "time", 1.0)
            with pytest.raises(DeadlineExpired):
                await wire.read(Deadline(0.03))
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", OURS)
def test_many_exchanges_share_one_timer(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline costs nothing until it is near; one that is nearer than the timer costs another."""
    wires = Wires(loop)
    delays: list[float] = []

    class Counting:
        """A loop that is told by its calls; uvloop's own cannot be changed."""

        def __init__(self, loop: Any) -> None:
            self._loop = loop

        def call_later(self, delay: float, *given: Any) -> Any:
            delays.append(delay)
            return self._loop.call_later(delay, *given)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._loop, name)

    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            wire._incoming._loop = Counting(wire._incoming._loop)
            for seconds in (*[20.0] * 50, *[10.0] * 50, *[20.0] * 50):
                deadline = wires.in_(seconds)
                await wire.write(b"x", deadline)
                assert await wire.read(deadline) == b"x"
            assert [round(delay) for delay in delays] == [20, 10]
            await wire.close()

        wires.run(main)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_signals_do_not_put_a_blocking_deadline_off() -> None:
    """Python starts a wait anew after each of them; the system's own timeouts would never strike."""
    wires = Wires("sync")
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with serving(until_closed) as server:

            async def main() -> None:
                wire = await wires.dial(server)
                deadline = wires.in_(0.2)
                with pytest.raises(DeadlineExpired):
                    await wire.read(deadline)
                assert time.monotonic() < deadline.at + SOON
                await wire.close()

            wires.run(main)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_asking_never_waits(wires: Wires) -> None:
    """Whether anything has come is a question to the system, under no timeout of the socket's."""
    with serving(until_closed) as server:

        async def main() -> None:
            wire = await wires.dial(server, connect_timeout=30.0)
            started = time.monotonic()
            assert not any(wire.has_input() or wire.has_hung_up() for _ in range(100))
            assert time.monotonic() - started < SOON
            await wire.close()

        wires.run(main)
