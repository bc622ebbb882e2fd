"""What real sockets do below the protocols, and what wires make of it: on threads, asyncio, uvloop and trio."""

from __future__ import annotations

import gc
import socket
import threading
import time

import pytest

from ambassador_lib.engine import blocking_wire
from ambassador_lib.engine.wire import READ_SIZE, PeerReset

from .servers import reset, serving, until_closed
from .wires import Wires, echo, settled


def test_bytes_go_out_and_come_back(wires: Wires) -> None:
    """What is written arrives whole, whatever its size, as nothing but `bytes`, and a wire knows its two ends."""
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            for size in (1, 200, READ_SIZE, 300_000):
                sent = bytes(range(256)) * (size // 256 + 1)
                await wires.write(wire, sent, wires.in_(5))
                got = b""
                while len(got) < len(sent):
                    came = await wires.read(wire, wires.in_(5))
                    assert type(came) is bytes
                    got += came
                assert got == sent
            assert not wire.has_input() and not wire.has_hung_up()
            assert wire.get_extra_info("server_addr") == ("127.0.0.1", server.port)
            assert wire.get_extra_info("client_addr")[0] == "127.0.0.1"
            assert wire.get_extra_info("socket").fileno() > 0
            assert wire.get_extra_info("ssl_object") is wire.tls_session() is wire.alpn is None
            await wire.close()
            assert wire.has_input()

        wires.run(main)


def test_an_end_in_good_order(wires: Wires) -> None:
    """All that came before it is read first; then `b""`, again and again."""

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        ended.set()
        until_closed(sock)

    ended = threading.Event()
    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            assert ended.wait(5)
            await settled(wires, wire.has_hung_up)
            assert wire.has_input()
            assert await wires.read(wire, wires.in_(5)) == b"last words"
            for _ in range(2):
                assert await wires.read(wire, wires.in_(5)) == b""
            await wire.close()

        wires.run(main)


def test_a_reset(wires: Wires) -> None:
    """Neither bytes nor an end."""

    def handler(sock: socket.socket) -> None:
        sock.recv(10)
        reset(sock)

    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            await wires.write(wire, b"x", wires.in_(5))
            with pytest.raises(PeerReset):
                await wires.read(wire, wires.in_(5))
            await settled(wires, wire.has_hung_up)
            with pytest.raises(PeerReset):
                await wires.write(wire, b"x", wires.in_(5))
            await wire.close()

        wires.run(main)


def test_a_failed_write_leaves_what_is_still_to_be_read(wires: Wires) -> None:
    """Who has answered and gone is heard, even if nobody has looked before the next piece was sent."""

    def handler(sock: socket.socket) -> None:
        sock.recv(10)
        sock.sendall(b"no")
        time.sleep(0.05)  # else the RST overtakes the answer
        reset(sock)
        gone.set()

    gone = threading.Event()
    with serving(handler) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            await wires.write(wire, b"x", wires.in_(5))
            assert gone.wait(5), "and no turn of the loop meanwhile"
            with pytest.raises(PeerReset):
                await wires.write(wire, b"y", wires.in_(5))
            assert await wires.read(wire, wires.in_(5)) == b"no"
            await wire.close()

        wires.run(main)


@pytest.mark.slow
def test_exchanges_leave_no_garbage(wires: Wires) -> None:
    """Of ten thousand of them nothing is left to the collector, whose pauses would be felt."""
    if wires.mode.name == "trio":
        pytest.skip("anyio's cancel scopes leave some")
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)

            async def exchange(times: int) -> None:
                for _ in range(times):
                    deadline = wires.in_(20)
                    await wire.write(b"x", deadline)
                    await wire.read(deadline)

            await exchange(100)
            gc.collect()
            before = gc.get_stats()[0]["collections"]
            await exchange(10_000)
            assert gc.get_stats()[0]["collections"] - before <= 2
            await wire.close()

        wires.run(main)


def test_much_that_is_heard_waits_for_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """On threads, too, no more of an answer is gathered during an upload than it may be."""
    monkeypatch.setattr(blocking_wire, "OVERHEARD", 2**20)
    wires = Wires("sync")
    total = 8 * 2**20
    heard = 0

    def handler(sock: socket.socket) -> None:
        sending = threading.Thread(target=sock.sendall, args=(bytes(total),))
        sending.start()
        while heard < 2**20:
            time.sleep(0.001)
        until_closed(sock)  # takes the upload, and ends with it
        sending.join()

    with serving(handler) as server:

        async def main() -> None:
            nonlocal heard
            wire = await wires.dial(server)

            def hear(data: bytes) -> bool:
                nonlocal heard
                heard += len(data)
                return False

            assert await wire.listening(wire.write(bytes(16 * 2**20), wires.in_(10)), hear)
            assert 2**20 <= heard <= 2**20 + READ_SIZE
            while heard < total:
                heard += len(await wires.read(wire, wires.in_(5)))
            assert heard == total
            await wire.close()

        wires.run(main)
