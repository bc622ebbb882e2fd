"""Connections that are given up: aborted, cancelled at any point, inherited by a fork, left behind by their loop."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
from typing import Any

import anyio
import pytest
import trustme

from ambassador_lib.engine.blocking import step
from ambassador_lib.engine.wire import PeerReset
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError

from .servers import serving, until_closed
from .test_alternates import refused_port, silent_port
from .test_tls import server_context, settings
from .wires import LOOPS, SOON, Wires, echo, in_child, needs_proc, open_sockets, settled


@pytest.mark.parametrize("doing", ["read", "write"])
def test_abort_from_another_thread(wires: Wires, doing: str) -> None:
    """Whoever reads or writes on it goes on at once."""
    with serving(lambda sock: gone.wait(10)) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            timer = threading.Timer(0.05, wire.abort)
            timer.start()
            started = time.monotonic()
            if doing == "read":
                with contextlib.suppress(PeerReset):
                    assert await wires.read(wire, wires.in_(20)) == b""
            else:
                with pytest.raises(PeerReset):
                    await wires.write(wire, bytes(64 * 2**20), wires.in_(20))
            assert time.monotonic() - started < SOON
            timer.join()
            await wire.close()
            wire.abort()

        gone = threading.Event()
        try:
            wires.run(main)
        finally:
            gone.set()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancelled_read_loses_nothing(loop: str) -> None:
    """What comes after it, or in the same turn, is for the next one: HTTP/2 hands reading over all the time."""
    wires = Wires(loop)
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            got = b""
            for turns in range(30):
                await wires.write(wire, bytes([turns]), wires.in_(5))
                async with anyio.create_task_group() as group:

                    async def read() -> None:
                        nonlocal got
                        got += await wires.read(wire, wires.in_(5))

                    group.start_soon(read)
                    for _ in range(turns % 6):
                        await anyio.lowlevel.checkpoint()
                    group.cancel_scope.cancel()
            while len(got) < 30:
                got += await wires.read(wire, wires.in_(5))
            assert got == bytes(range(30))
            await wire.close()

        wires.run(main)


@needs_proc
@pytest.mark.parametrize("kind", ["plain", "TLS", "alternates", "refused", "silent"])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.slow
def test_cancelled_dialling_leaves_no_socket(loop: str, kind: str, authority: trustme.CA) -> None:
    """Wherever the caller goes away, and whatever was on its way."""
    wires = Wires(loop)
    context = server_context(authority.issue_cert("upstream.test")) if kind == "TLS" else None
    with serving(until_closed, context) as server, silent_port() as silent:
        port = {"refused": refused_port(), "silent": silent, "alternates": silent}.get(kind, server.port)
        changes: dict[str, Any] = {"tls": settings()} if kind == "TLS" else {}
        if kind == "alternates":
            changes["alternates"] = (("127.0.0.1", refused_port()), ("127.0.0.1", server.port))

        async def main() -> None:
            async def dial() -> None:
                try:
                    wire = await wires.dial(port, **changes)
                except UpstreamConnectError:
                    return
                await wire.close()

            await anyio.sleep(0.05)
            before = open_sockets()
            for steps in range(25):
                async with anyio.create_task_group() as group:
                    group.start_soon(dial)
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    if steps > 15:
                        await anyio.sleep(0.002 * (steps - 15))
                    group.cancel_scope.cancel()
            await settled(wires, lambda: open_sockets() <= before)  # the server's side of them goes, too

        wires.run(main)


@needs_proc
def test_dialling_in_vain_leaves_no_socket(wires: Wires, authority: trustme.CA) -> None:
    """Refused, unanswered, or with a certificate that is not to be trusted."""
    context = server_context(authority.issue_cert("upstream.test"))
    with serving(until_closed, context) as server, silent_port() as silent:

        async def main() -> None:
            before = open_sockets()
            with pytest.raises(UpstreamConnectError) as refused:
                await wires.dial(refused_port())
            assert "delayed_connect_error:_Connection_refused" in refused.value.reply.details
            with pytest.raises(UpstreamConnectError) as failure:
                await wires.dial(silent, connect_timeout=0.05)
            assert failure.value.reply.details == "upstream_reset_before_response_started{connection_timeout}"
            with pytest.raises(DeadlineExpired):
                await wires.network.within(late := wires.in_(0.05), wires.dial(silent, deadline=late))
            with pytest.raises(UpstreamConnectError) as untrusted:
                await wires.dial(server, tls=settings(), san="other.test")
            assert "verify_SAN_list" in untrusted.value.reply.details
            await settled(wires, lambda: open_sockets() <= before)

        wires.run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.slow
def test_a_forked_child_lets_go_and_the_parent_goes_on(wires: Wires) -> None:
    """The child takes nothing away: not the peer's connection, not the loop's interest in it."""
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            in_child(wire.forget)
            for _ in range(3):
                await wires.write(wire, b"x", wires.in_(5))
                assert await wires.read(wire, wires.in_(5)) == b"x"
            await wire.close()

        wires.run(main)


@needs_proc
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.slow
def test_a_closed_loop_leaves_connections_that_can_be_closed(encrypted: bool, authority: trustme.CA) -> None:
    """Nobody is there any more to close them: `abort` does, so that nothing is left to the garbage collector."""
    context = server_context(authority.issue_cert("upstream.test")) if encrypted else None
    wires = Wires("asyncio")
    kept: list[Any] = []
    with serving(until_closed, context) as server:
        before = open_sockets()

        async def main() -> None:
            kept.append(await wires.dial(server, tls=settings() if encrypted else None))

        wires.run(main)
        kept.pop().abort()
        gc.collect()
        step(settled(Wires("sync"), lambda: open_sockets() <= before))


def test_a_closed_wire_does_not_wait_for_whoever_has_its_number() -> None:
    """A thread that reads from what another has closed finds out, though the descriptor is somebody else's by then."""
    wires = Wires("sync")
    with serving(until_closed) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            number = wire.get_extra_info("socket").fileno()
            await wire.close()
            with contextlib.ExitStack() as others:
                while not _is_open(number):  # the lowest is taken first, and another thread may have freed a lower one
                    for other in socket.socketpair():
                        others.enter_context(other)
                with pytest.raises(PeerReset):
                    await wires.read(wire, wires.in_(SOON))

        wires.run(main)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
