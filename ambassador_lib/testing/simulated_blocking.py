"""The simulated network for blocking callers: a thread that waits lets virtual time pass; see `simulated_loop`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..call import Deadline
from ..engine.blocking import BlockingNetwork
from ..engine.wire import OVERHEARD, PATIENCE, READ_SIZE, PeerReset
from ..errors import DeadlineExpired, connect_timeout

if TYPE_CHECKING:
    from ..engine.base import Exchange
    from .links import Link
    from .network import VirtualWorld
    from .virtual_time import VirtualTime


class _HeardEnough(Exception):  # noqa: N818 - a signal from `write` to `listening`
    """What came ends the upload."""


class BlockingSimulatedNetwork(BlockingNetwork):
    """Connections to simulated upstreams, for threads."""

    def __init__(self, world: VirtualWorld) -> None:
        super().__init__(world.time.monotonic)
        self._world = world

    async def dial(self, exchange: Exchange) -> BlockingSimulatedWire:  # type: ignore[override]
        """Connect, within the connect timeout; no TLS is done, and ALPN says what the cluster speaks."""
        time, deadline = self._world.time, exchange.deadline
        timeout_at = time.monotonic() + exchange.destination.connect_timeout
        dialling = self._world.dial(exchange.destination, _nothing)
        exchange.abortable(dialling.abort)
        try:
            done = time.wait(lambda: dialling.is_done, lambda: min(timeout_at, deadline.at), "connecting")
        except BaseException:
            dialling.give_up()
            raise
        if not done:
            dialling.give_up()
            raise connect_timeout() if timeout_at <= deadline.at else DeadlineExpired
        return BlockingSimulatedWire(time, dialling.taken())

    def signal(self) -> SimulatedSignal:  # type: ignore[override]
        """Return something that one thread can wait for."""
        return SimulatedSignal(self._world.time)


class SimulatedSignal:
    """Waits for another thread of the same world."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._is_set = False

    def set(self) -> None:
        """Let the waiter go on."""
        self._is_set = True

    async def wait(self, deadline: Deadline) -> None:
        """Wait until set; `DeadlineExpired` when the deadline passes first."""
        if not wait_under(self._time, lambda: self._is_set, deadline, "another exchange"):
            raise DeadlineExpired


class BlockingSimulatedWire:
    """One end of a link."""

    keeps_deadlines = True

    def __init__(self, time: VirtualTime, link: Link) -> None:
        self.alpn = link.alpn
        self._time = time
        self._link = link
        self._hear: Callable[[bytes], bool] | None = None
        self._overheard = 0

    async def read(self, deadline: Deadline) -> bytes:
        """Receive what there is."""
        return self.get(deadline)

    def get(self, deadline: Deadline) -> bytes:
        """Receive what there is, or will be."""
        if not wait_under(self._time, self._link.has_input, deadline, "an answer"):
            raise DeadlineExpired
        return take(self._link)

    async def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all of it."""
        self.put(data, deadline)

    def put(self, data: bytes, deadline: Deadline) -> None:  # noqa: ARG002 - it takes no time
        """Send all of it."""
        if self._hear is not None:
            self._overhear(self._hear)
        if self._link.is_over:
            raise PeerReset("broken pipe", sent=False)
        self._link.send(data)

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Look for input before each piece that is sent."""
        self._hear, self._overheard = hear, 0
        try:
            await sending
        except _HeardEnough:
            return False
        finally:
            self._hear = None
        return True

    def _overhear(self, hear: Callable[[bytes], bool]) -> None:
        self._time.run_due()
        if self._overheard < OVERHEARD and self._link.has_input():
            data = take(self._link)
            if hear(data):
                raise _HeardEnough
            self._overheard += len(data)

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


def wait_under(time: VirtualTime, ready: Callable[[], bool], deadline: Deadline, what: str) -> bool:
    """Wait until `ready`, under a deadline that may move meanwhile, and never longer than sockets are waited for."""
    patience = time.monotonic() + PATIENCE
    return time.wait(ready, lambda: min(deadline.at, patience), what)


def take(link: Link) -> bytes:
    """Return what has arrived, `b""` at the end; `PeerReset` where it was reset."""
    if link.arrived:
        data = link.arrived.popleft()
        if len(data) > READ_SIZE:
            link.arrived.appendleft(data[READ_SIZE:])
        return data[:READ_SIZE]
    if link.is_broken:
        raise PeerReset("connection reset by peer")
    return b""


def extra_info(link: Link, info: str) -> Any:
    """Return the addresses of both ends."""
    return {"client_addr": link.client, "server_addr": link.server}.get(info)


def _nothing() -> None:
    """The thread looks itself."""
