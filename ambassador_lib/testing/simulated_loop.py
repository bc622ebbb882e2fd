"""The simulated network for event loops, asyncio and trio alike. The twin of `simulated_blocking`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from ..call import Deadline
from ..engine.loop import LoopNetwork
from ..engine.loop_wire import LoopWire
from ..engine.wire import PATIENCE, PeerReset
from ..errors import DeadlineExpired, connect_timeout
from ..runtime.loop import from_any_thread
from .simulated_blocking import extra_info, take

if TYPE_CHECKING:
    from ..engine.base import Exchange
    from .links import Link
    from .network import VirtualWorld


class LoopSimulatedNetwork(LoopNetwork):
    """Connections to simulated upstreams, for tasks."""

    def __init__(self, world: VirtualWorld) -> None:
        super().__init__(world.time.monotonic)
        self._world = world

    async def dial(self, exchange: Exchange) -> LoopSimulatedWire:
        """Connect, within the connect timeout; no TLS is done, and ALPN says what the cluster speaks."""
        self._world.time.loops.check()
        return await self.within(exchange.deadline, self._dialled(exchange))

    async def _dialled(self, exchange: Exchange) -> LoopSimulatedWire:
        waker = Waker()
        dialling = self._world.dial(exchange.destination, waker.wake)
        try:
            with anyio.move_on_after(exchange.destination.connect_timeout):
                while not dialling.is_done:
                    await waker.wait()
        except BaseException:
            dialling.give_up()
            raise
        if not dialling.is_done:
            dialling.give_up()
            raise connect_timeout()
        return LoopSimulatedWire(dialling.taken())

    async def protected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, which does not suspend here: nobody can cancel it."""
        await work


class LoopSimulatedWire(LoopWire):
    """One end of a link."""

    def __init__(self, link: Link) -> None:
        self.alpn = link.alpn
        self._link = link
        self._is_listening = False

    async def read(self, deadline: Deadline) -> bytes:  # noqa: ARG002 - the caller cancels
        """Receive what there is."""
        link = self._link
        if not link.has_input():
            waker = Waker()
            before, link.on_news = link.on_news, waker.wake
            try:
                with anyio.move_on_after(PATIENCE) as patience:
                    while not link.has_input():
                        await waker.wait()
            finally:
                link.on_news = before
            if patience.cancelled_caught:
                raise DeadlineExpired
        return take(link)

    async def write(self, data: bytes, deadline: Deadline) -> None:  # noqa: ARG002 - it takes no time
        """Send all of it."""
        if self._is_listening:
            await anyio.lowlevel.checkpoint()
        if self.has_hung_up():
            raise PeerReset("closed by the peer", sent=False)
        self._link.send(data)

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Read in a task beside `sending`."""
        self._is_listening = True
        try:
            return await super().listening(sending, hear)
        finally:
            self._is_listening = False

    async def close(self) -> None:
        """Close it."""
        self._link.close()

    def abort(self) -> None:
        """Break it off: whoever reads gets the end."""
        self._link.abort()

    def forget(self) -> None:
        """Nothing: a simulation is not shared with a child."""

    def has_input(self) -> bool:
        """Whether a read would return at once."""
        return self._link.polled().has_input()

    def has_hung_up(self) -> bool:
        """Whether the peer has closed its side."""
        return self._link.polled().has_hung_up()

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do; there is no socket, and no TLS."""
        return extra_info(self._link, info)


class Waker:
    """What a task waits for, as often as it likes; may be woken from whatever thread lets time pass."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._begin()

    def _begin(self) -> None:
        self._event = anyio.Event()
        self._tell = from_any_thread(self._event)

    async def wait(self) -> None:
        """Suspend until woken."""
        await self._event.wait()
        self._begin()

    def wake(self) -> None:
        """Let the task go on."""
        if threading.get_ident() == self._thread:
            self._event.set()
        else:
            self._tell()
