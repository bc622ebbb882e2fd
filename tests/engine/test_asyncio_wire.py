"""What is asyncio's own below the protocols: back-pressure, buffers, and loops that receive in other ways."""

from __future__ import annotations

import socket
import threading
from typing import Any

import anyio
import pytest

from ambassador_lib.engine import asyncio_dial
from ambassador_lib.engine.asyncio_wire import HIGH_WATER, PlainWire
from ambassador_lib.engine.wire import READ_SIZE
from ambassador_lib.errors import DeadlineExpired

from .servers import serving
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
            assert HIGH_WATER < wire._size <= HIGH_WATER + READ_SIZE
            received = 0
            while data := await wire.read(wires.in_(5)):
                received += len(data)
                assert wire._size <= HIGH_WATER + READ_SIZE
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


def test_a_proactor_receives_without_the_shared_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows' loop bytes come as they are and go through the transport, under the same deadlines."""
    monkeypatch.setattr(asyncio_dial, "_is_proactor", lambda _: True)
    wires = Wires("asyncio")
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
