"""`connect_timeout` under trio: a busy loop uses next to nothing of it up. Its time is told to pass."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import trio.testing
import trustme

from ambassador_lib.engine.loop_allowance import LOOKS, allowed
from ambassador_lib.errors import UpstreamConnectError

from .servers import serving, until_closed
from .test_alternates import refused_port, silent_port
from .test_tls import server_context, settings
from .wires import Wires, needs_proc, open_sockets, settled

TIMEOUT = 5.0
"""Seconds of trio's time to be connected in."""
LIMIT = 30.0
"""Real seconds that nothing here takes, on a busy machine either."""


class Busy:
    """A loop whose every turn takes longer than the timeout, for as long as somebody keeps it busy."""

    def __init__(self) -> None:
        self.clock = trio.testing.MockClock()
        self.turns = 0

    async def keep(self, turns: int) -> None:
        for _ in range(turns):
            self.clock.jump(3 * TIMEOUT)
            self.turns += 1
            await trio.lowlevel.checkpoint()

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        anyio.run(main, backend="trio", backend_options={"clock": self.clock})


@pytest.fixture
def busy() -> Busy:
    return Busy()


@pytest.fixture
def wires() -> Wires:
    return Wires("trio")


async def discard(_: object) -> None:
    raise AssertionError("nothing was made that somebody does not get")


def test_a_connection_that_the_system_has_made_is_in_time(busy: Busy, wires: Wires) -> None:
    """However long the turns take that the loop needs for the rest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(busy.keep, LOOKS - 4)
                wire = await wires.dial(listener.getsockname()[1], connect_timeout=TIMEOUT)
                assert busy.turns, "it was not busy at all"
                await wire.close()

        busy.run(main)


def test_a_refusal_on_a_busy_loop_is_a_refusal(busy: Busy, wires: Wires) -> None:
    """And no timeout."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(busy.keep, LOOKS - 4)
            with pytest.raises(UpstreamConnectError) as failure:
                await wires.dial(refused_port(), connect_timeout=TIMEOUT)
        assert "Connection_refused" in failure.value.reply.details

    busy.run(main)


def test_a_handshake_that_is_answered_is_in_time(
    busy: Busy, wires: Wires, authority: trustme.CA, authority_file: Path
) -> None:
    """Bytes that have come wait for the loop, and not the loop for them."""
    context = server_context(authority.issue_cert("upstream.test"))
    greeted, is_busy, answered = threading.Event(), threading.Event(), threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.recv(1, socket.MSG_PEEK)
        greeted.set()
        assert is_busy.wait(LIMIT)
        with context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as secure:
            secure.settimeout(0.02)
            try:
                secure.do_handshake()
            except TimeoutError:  # it has answered, and waits for the other side
                answered.set()
            secure.settimeout(LIMIT)
            secure.do_handshake()
            until_closed(secure)

    async def main() -> None:
        async def keep_busy() -> None:
            until = time.monotonic() + LIMIT
            while not greeted.is_set():  # the dial goes on until it waits for its peer
                assert time.monotonic() < until
                await trio.lowlevel.checkpoint()
            is_busy.set()
            assert answered.wait(LIMIT)
            await busy.keep(LOOKS - 4)

        async with anyio.create_task_group() as group:
            group.start_soon(keep_busy)
            wire = await wires.dial(server, tls=settings(authority_file), sni="upstream.test", connect_timeout=TIMEOUT)
            await wire.close()

    with serving(handler) as server:
        busy.run(main)
    assert busy.turns


@pytest.mark.parametrize("kind", ["connect", "handshake"])
def test_silence_is_a_timeout(busy: Busy, wires: Wires, authority_file: Path, kind: str) -> None:
    """On a loop with nothing else to do it strikes when it has passed, not before and not after."""
    tls = settings(authority_file) if kind == "handshake" else None
    with serving(until_closed) as server, silent_port() as silent:

        async def main() -> None:
            started = trio.current_time()
            busy.clock.autojump_threshold = 0.05
            with pytest.raises(UpstreamConnectError) as failure:
                await wires.dial(silent if tls is None else server, tls=tls, connect_timeout=TIMEOUT)
            assert failure.value.reply.details == "upstream_reset_before_response_started{connection_timeout}"
            assert trio.current_time() - started == pytest.approx(TIMEOUT)

        busy.run(main)


def test_silence_is_a_timeout_on_a_busy_loop_too(busy: Busy, wires: Wires) -> None:
    """It gets so many turns of the loop, and no more."""
    with silent_port() as silent:

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(busy.keep, 10 * LOOKS)
                with pytest.raises(UpstreamConnectError):
                    await wires.dial(silent, connect_timeout=TIMEOUT)
                assert LOOKS / 2 < busy.turns < 3 * LOOKS
                group.cancel_scope.cancel()

        busy.run(main)


def test_no_limit_is_none(busy: Busy) -> None:
    """An infinite timeout waits as long as it takes."""

    async def main() -> None:
        busy.clock.autojump_threshold = 0

        async def work() -> str:
            await trio.sleep(10_000 * TIMEOUT)
            return "done"

        assert await allowed(float("inf"), work(), discard) == "done"

    busy.run(main)


def test_what_fails_fails_as_it_is(busy: Busy) -> None:
    """No group is put around an error."""

    async def work() -> None:
        raise ValueError("as it is")

    async def main() -> None:
        with pytest.raises(ValueError, match="as it is"):
            await allowed(TIMEOUT, work(), discard)

    busy.run(main)


def test_a_cancellation_from_outside_stays_one(busy: Busy) -> None:
    """It is no connect failure."""

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await allowed(TIMEOUT, anyio.sleep(TIMEOUT), discard)
        assert scope.cancelled_caught

    busy.run(main)


def test_what_was_made_and_nobody_gets_is_discarded(busy: Busy) -> None:
    """A cancellation just when it was done leaves nothing behind."""
    discarded: list[str] = []

    async def note(made: str) -> None:
        discarded.append(made)

    async def main() -> None:
        with trio.CancelScope() as scope:

            async def work() -> str:
                scope.cancel()
                return "connection"

            await allowed(TIMEOUT, work(), note)
        assert scope.cancelled_caught
        assert discarded == ["connection"]

    busy.run(main)


@needs_proc
def test_no_socket_is_left_of_what_took_too_long(busy: Busy, wires: Wires) -> None:
    """A dial that runs out of time closes what it had begun."""
    with silent_port() as silent:

        async def main() -> None:
            before = open_sockets()
            busy.clock.autojump_threshold = 0.05
            with pytest.raises(UpstreamConnectError):
                await wires.dial(silent, connect_timeout=TIMEOUT)
            await settled(wires, lambda: open_sockets() == before)

        busy.run(main)
