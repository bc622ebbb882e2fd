"""`connect_timeout` on event loops counts the upstream's time: what a busy loop has not come to yet is not late."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from ambassador_lib.engine import asyncio_dial
from ambassador_lib.engine.allowance import EXCUSES, LOOKS, Allowance
from ambassador_lib.errors import UpstreamConnectError

from .conftest import loop_of
from .servers import serving, until_closed
from .test_alternates import refused_port, silent_port
from .test_tls import server_context, settings
from .wires import OURS, SOON, Wires

TIMEOUT = 0.04
"""Seconds to be connected in."""
BUSY = 3 * TIMEOUT
"""Seconds that the loop is kept from everything, in one go."""
LIMIT = 30.0
"""Seconds that nothing here takes, on a busy machine either."""


@pytest.fixture(params=OURS)
def wires(request: pytest.FixtureRequest) -> Wires:
    return Wires(request.param)


@pytest.fixture(params=["at once", "by the loop"])
def connects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How connects to this machine are made, which the system has done by the time that they return."""
    monkeypatch.setattr(asyncio_dial, "AT_ONCE", asyncio_dial.AT_ONCE and request.param == "at once")


def keep_busy(turns: int) -> None:
    """Take the loop longer than the timeout, at each of so many turns."""
    time.sleep(BUSY)
    if turns > 1:
        asyncio.get_running_loop().call_soon(keep_busy, turns - 1)


@pytest.mark.usefixtures("connects")
def test_a_connection_that_the_system_has_made_is_in_time(wires: Wires) -> None:
    """However many turns the loop needs for the rest, and however long they take."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def main() -> None:
            asyncio.get_running_loop().call_soon(keep_busy, 6)
            wire = await wires.dial(listener.getsockname()[1], connect_timeout=TIMEOUT)
            await wire.close()

        wires.run(main)


@pytest.mark.usefixtures("connects")
def test_the_first_address_may_fail_on_a_busy_loop(wires: Wires) -> None:
    """The next one has not had its time yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def main() -> None:
            asyncio.get_running_loop().call_soon(keep_busy, 4)
            alternates = (("127.0.0.1", listener.getsockname()[1]),)
            wire = await wires.dial(refused_port(), alternates=alternates, connect_timeout=TIMEOUT)
            await wire.close()

        wires.run(main)


@pytest.mark.usefixtures("connects")
def test_a_refusal_on_a_busy_loop_is_a_refusal(wires: Wires) -> None:
    """And no timeout: the system knew it in time."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(keep_busy, 2)
        with pytest.raises(UpstreamConnectError) as failure:
            await wires.dial(refused_port(), connect_timeout=TIMEOUT)
        assert "Connection_refused" in failure.value.reply.details

    wires.run(main)


def test_a_handshake_that_is_answered_is_in_time(wires: Wires, authority: trustme.CA, authority_file: Path) -> None:
    """Bytes that have come wait for the loop, and not the loop for them."""
    context = server_context(authority.issue_cert("upstream.test"))
    is_busy, answered = threading.Event(), threading.Event()

    def block() -> None:
        is_busy.set()
        answered.wait(LIMIT)
        keep_busy(3)

    def handler(sock: socket.socket) -> None:
        sock.recv(1, socket.MSG_PEEK)
        loops[0].call_soon_threadsafe(block)
        assert is_busy.wait(LIMIT)
        with context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as secure:
            secure.settimeout(0.02)
            try:
                secure.do_handshake()
            except TimeoutError:  # it has answered, and waits for the other side, whose loop is busy
                answered.set()
            secure.settimeout(LIMIT)
            secure.do_handshake()
            until_closed(secure)

    loops: list[asyncio.AbstractEventLoop] = []
    with serving(handler) as server:

        async def main() -> None:
            loops.append(asyncio.get_running_loop())
            wire = await wires.dial(server, tls=settings(authority_file), sni="upstream.test", connect_timeout=TIMEOUT)
            await wire.close()

        wires.run(main)
    assert answered.is_set()


@pytest.mark.parametrize("kind", ["connect", "handshake"])
def test_silence_is_a_timeout_on_a_busy_loop_too(wires: Wires, authority_file: Path, kind: str) -> None:
    """It gets the time that the loop was busy for, and no more."""
    tls = settings(authority_file) if kind == "handshake" else None
    with serving(until_closed) as server, silent_port() as silent:

        async def main() -> None:
            asyncio.get_running_loop().call_soon(keep_busy, 2)
            started = time.monotonic()
            with pytest.raises(UpstreamConnectError) as failure:
                await wires.dial(silent if tls is None else server, tls=tls, connect_timeout=TIMEOUT)
            assert failure.value.reply.details == "upstream_reset_before_response_started{connection_timeout}"
            assert time.monotonic() - started < SOON

        wires.run(main)


def on_loop(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    backend, options = loop_of(name)
    anyio.run(main, backend=backend, backend_options=options)


async def idle(allowance: Allowance, has_acted: Callable[[], bool]) -> None:
    with allowance.waiting(has_acted):
        await asyncio.Event().wait()


@pytest.mark.parametrize("name", OURS)
def test_an_idle_loop_keeps_the_timeout(name: str) -> None:
    """It strikes when it has passed, not before and soon after."""

    async def main() -> None:
        allowance = Allowance(asyncio.get_running_loop(), 0.1)
        started = time.monotonic()
        with pytest.raises(UpstreamConnectError):
            await allowance.of(idle(allowance, bool))
        assert 0.09 < time.monotonic() - started < SOON

    on_loop(name, main)


@pytest.mark.parametrize("name", OURS)
def test_a_peer_does_not_live_on_excuses(name: str) -> None:
    """Where there is always something that was not taken yet, that ends, too."""
    looks = []

    def has_acted() -> bool:
        looks.append(True)
        return True

    async def main() -> None:
        allowance = Allowance(asyncio.get_running_loop(), 0.01 * LOOKS)
        with pytest.raises(UpstreamConnectError):
            await allowance.of(idle(allowance, has_acted))

    on_loop(name, main)
    assert len(looks) == EXCUSES


def test_our_own_work_is_not_charged() -> None:
    """Between two waits for the peer it is our turn, whatever that takes."""

    async def main() -> None:
        allowance = Allowance(asyncio.get_running_loop(), 0.01)

        async def work() -> str:
            await asyncio.sleep(0.05)
            return "done"

        assert await allowance.of(work()) == "done"

    on_loop("asyncio", main)


def test_a_cancellation_from_outside_stays_one() -> None:
    """It is no connect failure, and no timer is left behind."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        allowance = Allowance(loop, 0.02)
        task = loop.create_task(allowance.of(idle(allowance, bool)))
        loop.call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.03)  # where a timer had stayed, it would fail in the loop's hands

    failures: list[Any] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        await main()

    on_loop("asyncio", watched)
    assert failures == []


@pytest.mark.parametrize("name", OURS)
def test_no_limit_is_no_timer(name: str) -> None:
    """An infinite timeout waits as long as it takes."""

    async def main() -> None:
        allowance = Allowance(asyncio.get_running_loop(), float("inf"))
        assert await allowance.of(asyncio.sleep(0, "done")) == "done"

    on_loop(name, main)


@pytest.mark.usefixtures("connects")
def test_many_at_once_are_connected(wires: Wires) -> None:
    """Each of their dials takes the loop a while, and all together take it longer than the timeout."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port = listener.getsockname()[1]

        async def dial(_: int) -> Any:
            time.sleep(0.002)  # noqa: ASYNC251 - what a call does before and after
            return await wires.dial(port, connect_timeout=TIMEOUT)

        async def main() -> None:
            for wire in await asyncio.gather(*map(dial, range(200))):
                wire.drop()
            await asyncio.sleep(0)

        wires.run(main)


@pytest.mark.skipif(not asyncio_dial.AT_ONCE, reason="only where a connect may be asked for twice")
def test_a_peer_on_the_same_machine_is_connected_to_without_waiting() -> None:
    """The loop is not asked for what the system has done."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def main() -> None:
            loop = asyncio.get_running_loop()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loop, "sock_connect", None)
                wire = await Wires("asyncio").dial(listener.getsockname()[1])
            await wire.close()

        on_loop("asyncio", main)
