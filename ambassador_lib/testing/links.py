"""Connections of the simulated network: two ends in one world, and what it takes to make one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..engine.dialling import ATTEMPT_DELAY
from ..errors import UpstreamConnectError, connect_failure
from .misuse import MisuseError
from .peer import End, Peer, Reset, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.base import Destination
    from .agenda import Event
    from .network import VirtualWorld
    from .virtual_time import VirtualTime

MOST_ACTIONS = 100_000
"""Actions of a peer at one instant."""


class Link:
    """One connection: what the client has still to read, and the peer at the other end."""

    def __init__(
        self, time: VirtualTime, end: Peer, alpn: str | None, *, server: tuple[str, int], client: tuple[str, int]
    ) -> None:
        self.alpn = alpn
        self.server = server
        self.client = client
        self.arrived: deque[bytes] = deque()
        """What has come, as it was sent: a read takes one piece, since real ones seldom find more."""
        self.is_ended = False
        """Whether the peer has closed its side."""
        self.is_broken = False
        """Whether it was reset."""
        self.is_closed = False
        """Whether the client has closed it."""
        self.on_news: Callable[[], None] = _nothing
        self._time = time
        self._peer = end
        self._next: Event | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen on it any more."""
        return self.is_closed or self.is_broken

    def has_input(self) -> bool:
        """Whether a read would return, or fail, at once."""
        return bool(self.arrived) or self.is_ended or self.is_over

    # The client's side.

    def polled(self) -> Link:
        """Return itself, as it is when all that happens at this instant has happened."""
        self._time.run_due()
        return self

    def has_hung_up(self) -> bool:
        """Whether the peer has closed its side."""
        return self.is_ended or self.is_over

    def send(self, data: bytes) -> None:
        """Bytes for the peer, which has them at this instant, after what happens now."""
        self._time.call_at(self._time.monotonic(), lambda: self._deliver(data))

    def close(self) -> None:
        """The client goes; what was under way is lost."""
        if not self.is_over:
            self.is_closed = True
            self._time.call_at(self._time.monotonic(), self._lose)

    def abort(self) -> None:
        """Break it off, whoever uses it: reads get the end."""
        self.close()
        self.on_news()

    # The peer's side.

    def drive(self) -> None:
        """Let the peer act, now and whenever it wants to."""
        if self.is_closed:
            return
        now = self._time.monotonic()
        for _ in range(MOST_ACTIONS):
            due = self._peer.due()
            if due is None or due > now:
                break
            for action in self._peer.act(now):
                if isinstance(action, Send):
                    self.arrived.append(action.data)
                elif isinstance(action, End):
                    self.is_ended = True
                elif isinstance(action, Reset):
                    self.is_ended = self.is_broken = True
        else:
            raise MisuseError("a simulated upstream acts and acts, and no time passes")
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if due is not None and not self.is_over:
            self._next = self._time.call_at(due, self.drive)
        self.on_news()

    def break_off(self) -> None:
        """Reset it, before anything was said."""
        self.is_ended = self.is_broken = True
        self._peer.lost(self._time.monotonic())

    def _deliver(self, data: bytes) -> None:
        if not self.is_over:
            self._peer.received(data, self._time.monotonic())
            self.drive()

    def _lose(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._peer.lost(self._time.monotonic())


class Dialling:
    """A try to connect to one of several addresses: the next is tried where one fails, or is silent for long."""

    def __init__(self, world: VirtualWorld, destination: Destination, wake: Callable[[], None]) -> None:
        self.link: Link | None = None
        self.failure: UpstreamConnectError | None = None
        self._world = world
        self._destination = destination
        self._wake = wake
        self._addresses = [(destination.address, destination.port), *destination.alternates]
        self._pending = 0
        self._events: list[Event] = []
        self._is_off = False

    @property
    def is_done(self) -> bool:
        """Whether there is a connection, or none will come."""
        return self.link is not None or self.failure is not None

    def begin(self) -> None:
        """Try the next address."""
        if self._is_off or self.is_done or not self._addresses:
            return
        address, port = self._addresses.pop(0)
        self._pending += 1
        event = self._world.connect(address, port, self._destination, self._told)
        if event is not None:
            self._events.append(event)
        if self._addresses and not self.is_done:
            later = self._world.time.monotonic() + ATTEMPT_DELAY
            self._events.append(self._world.time.call_at(later, self.begin))

    def _told(self, outcome: Link | UpstreamConnectError) -> None:
        self._pending -= 1
        if isinstance(outcome, Link):
            if self._is_off or self.link is not None:
                outcome.close()
                return
            self.link = outcome
            self._wake()
        elif self._addresses:
            self.begin()
        elif not self._pending and not self.is_done:
            self.failure = outcome
            self._wake()

    def taken(self) -> Link:
        """Return the connection, or raise why there is none; once it is done."""
        if self.failure is not None:
            raise self.failure
        assert self.link is not None, "asked for when it is done"
        return self.link

    def abort(self) -> None:
        """Break it off for whoever waits."""
        if not self.is_done:
            self.failure = connect_failure("aborted")
            self._wake()

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._is_off = True
        for event in self._events:
            event.cancel()
        if self.link is not None:
            self.link.close()


def _nothing() -> None:
    """Nobody waits."""
