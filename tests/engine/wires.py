"""Connections without a protocol, driven as engines drive them: on threads, asyncio, uvloop and trio."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.engine.blocking import BlockingNetwork, step
from ambassador_lib.engine.loop import LoopNetwork
from ambassador_lib.engine.wire import PATIENCE

from .conftest import Mode, loop_of
from .servers import Server

LOOPS = ["asyncio", "uvloop", "trio"]
OURS = ["asyncio", "uvloop"]
"""Loops whose wires are our own."""
SOON = 20.0
"""Seconds in which even a busy machine has noticed a deadline of milliseconds."""


class Wires:
    """A network, how to run what uses it, and how to wait as the engine does."""

    def __init__(self, name: str, now: Callable[[], float] = time.monotonic, patience: float = PATIENCE) -> None:
        self.mode = Mode(name)
        self.network: Any = BlockingNetwork(now, patience) if name == "sync" else LoopNetwork(now, patience)

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self.mode.name == "sync":
            step(main())
            return
        backend, options = loop_of(self.mode.name)
        anyio.run(main, backend=backend, backend_options=options)

    async def dial(self, server: Server | int, **changes: Any) -> Any:
        return await self.network.dial(self.mode.exchange(server, **changes))

    async def read(self, wire: Any, deadline: Deadline) -> bytes:
        return await self._kept(wire, deadline, wire.read(deadline))

    async def write(self, wire: Any, data: bytes, deadline: Deadline) -> None:
        await self._kept(wire, deadline, wire.write(data, deadline))

    async def _kept(self, wire: Any, deadline: Deadline, work: Coroutine[Any, Any, Any]) -> Any:
        kept: Awaitable[Any] = work if wire.keeps_deadlines else self.network.within(deadline, work)
        return await kept

    def in_(self, seconds: float) -> Deadline:
        return Deadline(time.monotonic() + seconds)


def echo(sock: Any) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def open_sockets() -> int:
    """Count the sockets of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts sockets in /proc")


def in_child(work: Callable[[], object]) -> None:
    """Do something in a forked child, and collect its garbage there."""
    child = os.fork()
    if child == 0:
        try:
            work()
            gc.collect()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must not run the parent's tests
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def pause(wires: Wires) -> None:
    """Let the other side do something."""
    if wires.mode.name == "sync":
        time.sleep(0.01)  # noqa: ASYNC251 - it never suspends
    else:
        await anyio.sleep(0.01)


async def settled(wires: Wires, ready: Callable[[], bool]) -> None:
    """Wait until a wire has been told of something."""
    until = time.monotonic() + 5
    while not ready():
        assert time.monotonic() < until
        await pause(wires)
