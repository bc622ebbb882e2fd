"""What is asyncio's own below the protocols: back-pressure, buffers, and loops that receive in other ways."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import anyio
import pytest
import trustme

from ambassador_lib.engine import asyncio_listening
from ambassador_lib.engine.asyncio_wire import BUFFER, HIGH_WATER, PlainWire
from ambassador_lib.errors import DeadlineExpired

from .servers import serving, until_closed
from .test_tls import server_context, settings
from .wires import OURS, Wires, echo, settled


@pytest.mark.parametrize("loop", OURS)
def test_a_slow_reader_holds_the_sender(loop: str) -> None:
    """Of what nobody reads little is kept, and nothing is lost."""
    wires = Wires(loop)
    total = 32 * 2**20

    def handler(sock: socket.socket) -> None:
        sock.sendall(bytes(total))

    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            await settled(wires, lambda: wire._is_paused)
            await anyio.sleep(0.05)
            assert HIGH_WATER < wire._size <= HIGH_WATER + BUFFER
            received = 0
            while data := await wire.read(wires.in_(5)):
                received += len(data)
                assert wire._size <= HIGH_WATER + BUFFER
            assert received == total
            await wire.close()

        wires.run(main)


def test_loops_of_two_threads_do_not_share_what_they_receive() -> None:
    """Each loop has a buffer of its own: bytes never turn up on another connection."""
    wrong: list[bytes] = []

    def work(letter: bytes) -> None:
        wires = Wires("asyncio")

        async def main() -> None:
            wire = await wires.dial(server)
            for _ in range(200):
                sent = letter * 50_000
                await wire.write(sent, wires.in_(20))
                got = b""
                while len(got) < len(sent):
                    got += await wire.read(wires.in_(20))
                if got != sent:
                    wrong.append(got)
            await wire.close()

        wires.run(main)

    with serving(echo) as server:
        threads = [threading.Thread(target=work, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def test_a_proactor_receives_without_the_shared_buffer() -> None:
    """On Windows' loop bytes come as they are and go through the transport, under the same deadlines."""
    wires = Wires("proactor")
    stalled = threading.Event()

    def handler(sock: Any) -> None:
        sock.sendall(sock.recv(1000))
        stalled.wait(10)

    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            assert isinstance(wire, PlainWire)
            await wire.write(b"x" * 200, wires.in_(5))
            assert await wire.read(wires.in_(5)) == b"x" * 200
            with pytest.raises(DeadlineExpired):
                await wire.write(bytes(64 * 2**20), wires.in_(0.1))
            await wire.close()

        try:
            wires.run(main)
        finally:
            stalled.set()


# --- listening -------------------------------------------------------------------------------------------------------


def talk(*words: bytes) -> Any:
    """Say one word after the other, a moment apart, and then no more."""

    def handler(sock: Any) -> None:
        for word in words:
            sock.sendall(word)
            time.sleep(0.03)
        socket.socket.shutdown(sock, socket.SHUT_WR)
        until_closed(sock)

    return handler


async def send_for_ever(wire: Any, deadline: Any) -> None:
    while True:
        await wire.write(bytes(2**16), deadline)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("loop", OURS)
def test_what_is_heard_ends_the_sending(loop: str, encrypted: bool, authority: trustme.CA) -> None:
    """At once, wherever the sender waits, and with what came before it; the caller is not cancelled."""
    wires = Wires(loop)
    context = server_context(authority.issue_cert("upstream.test")) if encrypted else None
    with serving(talk(b"on", b"off", b"gone"), context) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings() if encrypted else None)
            heard: list[bytes] = []

            def hear(data: bytes) -> bool:
                heard.append(data)
                return b"off" in data

            assert not await wire.listening(asyncio.sleep(30), hear)
            assert b"".join(heard) == b"onoff"
            task = asyncio.current_task()
            assert task is not None and task.cancelling() == 0
            assert await wire.read(wires.in_(5)) == b"gone"
            assert not await wire.listening(send_for_ever(wire, wires.in_(20)), lambda data: not data)
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", OURS)
def test_what_is_heard_before_anything_is_sent(loop: str) -> None:
    """Who has refused already is sent nothing."""
    wires = Wires(loop)
    with serving(talk(b"no")) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            await settled(wires, lambda: bool(wire._chunks))
            assert not await wire.listening(send_for_ever(wire, wires.in_(5)), lambda data: data == b"no")
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", OURS)
def test_failures_while_listening(loop: str) -> None:
    """Those of the sender and of the listener reach the caller, and so does a cancellation that no word has caused."""
    wires = Wires(loop)

    def confused(data: bytes) -> bool:
        raise LookupError(data.decode())

    async def fail() -> None:
        raise KeyError

    async def turn_into_a_failure() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise KeyError from None

    with serving(talk(b"what?", b"yes")) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            with pytest.raises(LookupError, match="what"):
                await wire.listening(asyncio.sleep(30), confused)
            with pytest.raises(KeyError):
                await wire.listening(fail(), lambda _: False)
            with pytest.raises(KeyError):
                await wire.listening(turn_into_a_failure(), lambda _: True)
            task = asyncio.current_task()
            assert task is not None and task.cancelling() == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await wire.listening(asyncio.sleep(30), lambda _: False)
            assert not wire.is_listened_to
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", OURS)
def test_much_that_is_heard_waits_for_its_reader(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is much larger than the request is not gathered while that is being sent."""
    monkeypatch.setattr(asyncio_listening, "OVERHEARD", 2**20)
    wires = Wires(loop)
    total = 8 * 2**20

    with serving(lambda sock: sock.sendall(bytes(total))) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            heard = 0

            def hear(data: bytes) -> bool:
                nonlocal heard
                heard += len(data)
                return False

            assert await wire.listening(settled(wires, lambda: wire._is_paused), hear)
            assert 2**20 <= heard <= 2**20 + BUFFER
            while data := await wire.read(wires.in_(5)):
                heard += len(data)
            assert heard == total
            await wire.close()

        wires.run(main)
