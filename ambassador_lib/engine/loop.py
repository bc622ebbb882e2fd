"""The event-loop network: sockets of our own under asyncio, anyio's under trio. The twin of `blocking`.

The wires of asyncio keep deadlines themselves. Those of anyio do not: whoever reads and writes is cancelled when one
passes (`within`), and only the bound of waits without a deadline is timed here. anyio takes 20 ms and 1 MB, and under
asyncio a call meets it only where it waits for another or is broken off: it is imported there.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from .._httpx import as_bytes
from ..call import Deadline
from ..errors import DeadlineExpired
from ..runtime.loop import Bounded
from .asyncio_dial import connected as asyncio_connected
from .wire import CLEANING_UP, PATIENCE, Wire

if TYPE_CHECKING:
    from .asyncio_tls import TlsWire
    from .asyncio_wire import AsyncioWire
    from .base import Destination, Exchange
    from .loop_wire import LoopWire
    from .tls import TlsMaterial

T = TypeVar("T")


class LoopNetwork:
    """Sockets that suspend the calling task."""

    def __init__(self, now: Callable[[], float], patience: float = PATIENCE) -> None:
        self._now = now
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()
        """Kept, since a loop itself refers to its tasks weakly."""
        if "trio" in sys.modules:
            from . import loop_wire  # noqa: F401 - not at the expense of the first call's deadline

    async def dial(self, exchange: Exchange) -> Wire:
        """Connect and do TLS, under one deadline for both."""
        destination = exchange.destination
        material = destination.tls.material() if destination.tls is not None else None
        wire = await self.within(exchange.deadline, self._connected(destination, material))
        if material is not None:
            material.sessions.keep(destination.sni, wire)
        return wire

    async def _connected(
        self, destination: Destination, material: TlsMaterial | None
    ) -> LoopWire | AsyncioWire | TlsWire:
        if not self._is_trio():
            return await asyncio_connected(destination, material, self._now, self._patience)
        import anyio

        from .loop_allowance import allowed
        from .loop_wire import LoopWire, connected_stream

        dialling = connected_stream(destination, material)
        stream = await allowed(destination.connect_timeout, dialling, anyio.aclose_forcefully)
        return LoopWire(stream, self._patience)

    @staticmethod
    def _is_trio() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        return False

    def within(self, deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run `work`, cancelled with `DeadlineExpired` when the deadline passes."""
        return Bounded(deadline, work, self._now)

    async def patiently(self, work: Awaitable[T]) -> T:
        """Bound what no deadline may bound."""
        import anyio

        with anyio.move_on_after(self._patience):
            return await work
        raise DeadlineExpired

    def signal(self) -> LoopSignal:
        """Return something that one task can wait for."""
        return LoopSignal(self)

    def grace(self) -> Deadline:
        """Nothing: `shielded` cuts cleaning up."""
        return Deadline()

    def shielded(self) -> AbstractContextManager[object]:
        """Keep cancellation off for a moment."""
        import anyio

        return anyio.move_on_after(CLEANING_UP, shield=True)

    async def protected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task of its own: it may wait for a slow peer, and the caller may leave meanwhile."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            await _in_system_task(work)
            return
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    def home(self) -> object:
        """Return the running loop: sockets of one are of no use to another."""
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            import anyio.lowlevel

            return anyio.lowlevel.current_token()

    def has_passed(self, deadline: Deadline) -> bool:  # noqa: ARG002 - the caller cancels
        """Every read is a point where the caller can cancel."""
        return False

    def is_gone(self, home: object) -> bool:
        """Whether the loop is closed; trio does not tell."""
        return isinstance(home, asyncio.AbstractEventLoop) and home.is_closed()

    async def chunks(self, stream: Any) -> AsyncGenerator[bytes, None]:
        """Iterate over a request's body, and close the iterator where that breaks off."""
        source = aiter(stream)
        try:
            async for chunk in source:
                yield as_bytes(chunk)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                with self.shielded():
                    await close()

    def body(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> LoopBody:
        """Make a response's body."""
        return LoopBody(read, close)


async def _in_system_task(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` where the caller's cancellation does not reach it; it has a moment after that (trio)."""
    import trio

    scope, done = trio.CancelScope(), trio.Event()
    failures: list[Exception] = []

    async def run() -> None:
        try:
            with scope:
                await work
        except Exception as error:  # noqa: BLE001 - the caller's: left to trio it would end the whole loop
            failures.append(error)
        finally:
            done.set()

    trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())
    try:
        await done.wait()
    except trio.Cancelled:
        scope.deadline = trio.current_time() + CLEANING_UP
        raise
    if failures:
        raise failures[0]


class LoopSignal:
    """Waits on an event of the running loop."""

    def __init__(self, network: LoopNetwork) -> None:
        import anyio

        self._event = anyio.Event()
        self._network = network
        self.set = self._event.set

    async def wait(self, deadline: Deadline) -> None:
        """Suspend until set; `DeadlineExpired` at the deadline."""
        await self._network.within(deadline, self._network.patiently(self._event.wait()))


class LoopBody(httpx.AsyncByteStream):
    """A response's body, read by an async loop."""

    drop: Callable[[], None] | None = None
    """Says before `aclose` that nobody wants the body."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._read():
            yield chunk

    async def aclose(self) -> None:
        """End the exchange."""
        await self._close()
