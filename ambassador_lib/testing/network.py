"""The simulated network: connections are two ends in one world, and bytes travel by its events.

It lies below the library's own engines (`engine.wire`): HTTP/1.1, HTTP/2, pools and health checks are the real ones.
The other end of a connection is a `Peer` of the upstream that lives at its address.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..engine.dialling import ATTEMPT_DELAY, handshake_failed, refused
from ..errors import UpstreamConnectError, connect_failure
from .misuse import MisuseError
from .peer import End, Peer, Reset, Send, peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.base import Destination
    from ..engine.wire import Network
    from .agenda import Event
    from .faults import Reception
    from .script import Scripted
    from .virtual_time import VirtualTime

NETWORK = "198.51.100."
"""Where simulated endpoints live (TEST-NET-2, RFC 5737): nobody else does."""
PORT = 80
CLIENT = "192.0.2.1"
"""Where calls come from."""
MOST_ACTIONS = 100_000


class VirtualWorld:
    """The simulated upstreams by address and by name, and the connections to them."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self._endpoints: dict[tuple[str, int], tuple[Scripted, int]] = {}
        self._addresses: dict[Scripted, list[tuple[str, int]]] = {}
        self._names: dict[str, Scripted] = {}
        self._connections: dict[tuple[Scripted, int], int] = {}
        self._links: dict[Scripted, list[Link]] = {}
        self._last = 0
        self._ports = 40_000

    # --- who lives where --------------------------------------------------------------------------------------------

    def addresses(self, upstream: Scripted) -> list[tuple[str, int]]:
        """Return the addresses of its endpoints, in their order."""
        known = self._addresses.get(upstream)
        if known is None:
            known = self._addresses[upstream] = []
            self._links[upstream] = []
            upstream.on_change(partial(self._changed, upstream))
        while len(known) < upstream.endpoint_count:
            self._last += 1
            if self._last > 250 * 250:
                raise MisuseError("there are more simulated endpoints than addresses for them")
            high, low = divmod(self._last - 1, 250)
            address = (f"{NETWORK}{low + 1}", PORT + high)
            self._endpoints[address] = (upstream, len(known))
            known.append(address)
        return list(known)

    def put_at(self, address: str, port: int, upstream: Scripted, endpoint: int) -> None:
        """Have an endpoint live at another address as well, or at a unix socket's path with port 0."""
        self.addresses(upstream)
        self._endpoints[address, port] = (upstream, endpoint)

    def name(self, name: str, upstream: Scripted) -> None:
        """Let `upstream` answer for a name; see `SimulatedResolver`."""
        self._names[name.lower().removesuffix(".")] = upstream

    def named(self, name: str) -> Scripted | None:
        """Return who answers for a name: whom it was given to, or who says that it `serves` it."""
        known = self._names.get(name.lower().removesuffix("."))
        if known is not None:
            return known
        return next((each for each in self._addresses if not each.dns.knows("") and each.dns.knows(name)), None)

    def lives_at(self, host: str, port: int) -> bool:
        """Whether a simulated endpoint has that address."""
        return (host, port) in self._endpoints

    # --- what happens -----------------------------------------------------------------------------------------------

    def network(self, *, blocking: bool) -> Network:
        """Return what engines dial with, for blocking callers or for event loops."""
        if blocking:
            from .simulated_blocking import BlockingSimulatedNetwork

            return BlockingSimulatedNetwork(self)
        from .simulated_loop import LoopSimulatedNetwork

        return LoopSimulatedNetwork(self)

    def dial(self, destination: Destination, wake: Callable[[], None]) -> Dialling:
        """Begin to connect; `wake` is called whenever something has become of it."""
        dialling = Dialling(self, destination, wake)
        dialling.begin()
        return dialling

    def connect(self, address: str, port: int, destination: Destination, told: Callable[[Any], None]) -> Event | None:
        """Try one address: tell a `Link`, or the error; a black hole tells nothing."""
        found = self._endpoints.get((address, port))
        if found is None:
            told(connect_failure(f"{address}:{port}: no simulated upstream lives there"))
            return None
        upstream, endpoint = found
        now = self.time.monotonic()
        reception = upstream.reception(endpoint, now)
        if reception.kind == "black hole":
            return None
        arrive = partial(self._arrive, upstream, endpoint, (address, port), destination, reception, told)
        return self.time.call_at(now, arrive)

    def _arrive(
        self,
        upstream: Scripted,
        endpoint: int,
        address: tuple[str, int],
        destination: Destination,
        reception: Reception,
        told: Callable[[Any], None],
    ) -> None:
        if reception.kind == "refuse":
            told(refused(ConnectionRefusedError(111, "Connection refused")))
            return
        if reception.kind == "tls failure" and destination.tls is not None:
            told(handshake_failed(ConnectionResetError(104, "the peer broke the handshake off")))
            return
        number = self._connections[upstream, endpoint] = self._connections.get((upstream, endpoint), 0) + 1
        self._ports += 1
        speaks = _spoken(destination)
        end = peer(
            upstream,
            endpoint,
            number,
            protocol=speaks,
            client=_client_name(destination),
            server_name=destination.sni if destination.tls is not None else None,
        )
        alpn = {"http1": "http/1.1", "http2": "h2", "auto": None}[speaks] if destination.tls is not None else None
        link = Link(self.time, end, alpn, server=address, client=(CLIENT, self._ports))
        links = self._links[upstream]
        links[:] = [each for each in links if not each.is_over]
        links.append(link)
        if reception.kind == "tls failure":
            link.break_off()
        else:
            link.drive()
        told(link)

    def open_connections(self, upstream: Scripted) -> int:
        """Return how many connections are open now."""
        return sum(not (link.is_over or link.is_ended) for link in self._links.get(upstream, ()))

    def connections(self, upstream: Scripted) -> int:
        """Return how many connections were ever accepted."""
        return sum(count for (whose, _), count in self._connections.items() if whose is upstream)

    def _changed(self, upstream: Scripted) -> None:
        """A script began: what is open may have to be cut."""
        for link in self._links[upstream]:
            if not link.is_over:
                self.time.call_at(self.time.monotonic(), link.drive)


def _spoken(destination: Destination) -> Literal["http1", "http2", "auto"]:
    if destination.protocol == "auto":
        return "http2" if destination.tls is not None else "http1"
    return "http2" if destination.protocol == "http2" else "http1"


def _client_name(destination: Destination) -> str | None:  # noqa: ARG001
    return None  # no certificate is shown, since no handshake is made


class Link:
    """One connection: what the client has still to read, and the peer at the other end."""

    def __init__(
        self, time: VirtualTime, end: Peer, alpn: str | None, *, server: tuple[str, int], client: tuple[str, int]
    ) -> None:
        self.alpn = alpn
        self.server = server
        self.client = client
        self.arrived = bytearray()
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
                    self.arrived += action.data
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
