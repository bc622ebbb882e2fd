"""What claims a URL: a listener's address, a virtual host's or a cluster's name (contract: three rules)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ._httpx import origin_of
from .entrance import Entry
from .policy.model import (
    Address,
    HttpConnectionManager,
    Listener,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    SocketAddress,
    VirtualHost,
)

if TYPE_CHECKING:
    import httpx

    from .routing.table import RouteTable

CACHED_URLS = 1024
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - addresses to compare with, nothing listens
_ELSEWHERE = 4
"""Farther than any listener that answers to an address."""


class ListenerEntries:
    """A listener's routes and the ways to them: `entry` by its address, the others by the name of a virtual host.

    A host that is claimed without its port (`by_host`) is that virtual host's whatever port the Host header carries;
    by a name that was claimed with its port one goes `by_name`.
    """

    __slots__ = ("by_host", "by_name", "entry", "table")

    def __init__(self, table: RouteTable, entry: Entry, by_host: Entry) -> None:
        self.table = table
        self.entry = entry
        self.by_host = by_host
        self.by_name = Entry(2, entry.listener, entry.chain)


class Claims:
    """Finds the way in for a URL; listeners are asked in the order of the file, clusters by their bare name last."""

    def __init__(self, listeners: Sequence[ListenerEntries], by_cluster_name: Mapping[str, Entry]) -> None:
        self._listeners = listeners
        self._by_cluster_name = by_cluster_name
        self._found: dict[tuple[str, str, int | None], Entry | None] = {}

    def find(self, url: httpx.URL) -> Entry | None:
        """Return the way in, `None` where nothing claims the URL."""
        key = origin_of(url)
        try:
            return self._found[key]
        except KeyError:
            if len(self._found) >= CACHED_URLS:
                self._found.clear()
            entry = self._found[key] = self._search(url)
            return entry

    def _search(self, url: httpx.URL) -> Entry | None:
        host = url.host.lower()
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
        answers = [(_nearest(listener.entry.listener, host, port), listener) for listener in self._listeners]
        nearest = min((distance for distance, _ in answers), default=_ELSEWHERE)
        if nearest < _ELSEWHERE:
            return next(listener.entry for distance, listener in answers if distance == nearest)
        names = (host,) if url.port is None else (f"{host}:{url.port}", host)
        for listener in self._listeners:
            for name in names:
                if listener.table.claims(name):
                    return listener.by_host if name is host else listener.by_name
        return next(filter(None, map(self._by_cluster_name.get, reversed(names))), None)


def _nearest(listener: Listener, host: str, port: int | None) -> int:
    """Return how near the nearest of the listener's addresses is."""
    return min((_nearness(address, host, port) for address in listener.addresses), default=_ELSEWHERE)


def _nearness(listens: Address, host: str, port: int | None) -> int:
    """Rule 1: a wildcard or loopback listener answers to every loopback name on its port.

    Where several do, the operating system would choose the one that is bound to the very address, then a wildcard one;
    the others answer where nobody else would.
    """
    address = listens.socket_address
    if address is None or address.port_value != port:
        return _ELSEWHERE
    bound = address.address
    if host == bound:
        return 0
    if host not in LOOPBACK:
        return _ELSEWHERE
    if bound in LOOPBACK:
        return 1
    if bound in _ANY:
        return 2
    return 3 if bound.startswith("127.") else _ELSEWHERE


def bare_cluster(cluster: str) -> Listener:
    """Rule 2: make the listener behind a bare cluster name, with Envoy's defaults: 15 s and no retries."""
    route = Route(match=RouteMatch(prefix=""), route=RouteAction(cluster=cluster))
    config = RouteConfiguration(virtual_hosts=(VirtualHost(name=cluster, domains=("*",), routes=(route,)),))
    manager = HttpConnectionManager(stat_prefix=cluster, route_config=config)
    address = Address(socket_address=SocketAddress(address=cluster))
    return Listener(name="", address=address, http_connection_manager=manager)


NOBODY = Listener(name="", address=Address(), http_connection_manager=HttpConnectionManager(stat_prefix=""))
"""Stands for the listener of a URL that nothing claims."""
