"""The simulated network: connections are two ends in one world, and bytes travel by its events.

It lies below the library's own engines (`engine.wire`): HTTP/1.1, HTTP/2, pools and health checks are the real ones.
The other end of a connection is a `Peer` of the upstream that lives at its address.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..engine.dialling import handshake_failed, refused
from ..errors import connect_failure
from .links import Dialling, Link
from .misuse import MisuseError
from .peer import peer

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
