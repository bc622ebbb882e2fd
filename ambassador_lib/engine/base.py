"""The seam under the stack: one try goes down as an `Exchange`, a head with a body still to be read comes back.

Engines dial, speak TLS and HTTP, pool connections and classify failures; they decide nothing. They raise only the
contract's errors (`UpstreamConnectError`, `UpstreamResetError`) and `DeadlineExpired`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .._native import mypyc_attr
from ..call import Deadline, Header

if TYPE_CHECKING:
    import httpx

    from ..policy.model.cluster import TcpKeepalive
    from .tls import TlsSettings


MAX_HEAD_SIZE = 80 * 1024
"""Bytes of a response's head; llhttp, under Envoy, takes no more either."""
MAX_STREAMS = 1024
"""Exchanges on an HTTP/2 connection. Source: `Http2ProtocolOptions.max_concurrent_streams`, as clients default it."""
BODILESS = "ambassador_bodiless"
"""The extension of a response that ended with its head, though nothing in that says so (HTTP/2)."""
MAX_HEADERS = 100
"""Header lines of a response. Source: `HttpProtocolOptions.max_headers_count`, default 100."""


class ConnectionGauge(Protocol):
    """Told of every connection that is opened and closed to one destination.

    `retired` says that discovery has dropped the host: its connections are not kept any longer than they are in use.
    `drains` counts how often the host has failed: neither are those kept that were made before it did so last.
    """

    retired: bool
    drains: int

    def opened(self) -> None:
        """One more."""

    def closed(self) -> None:
        """One less."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where connections go and how; connections are shared only between equal destinations.

    `address` is an IP (or, over an engine that resolves, a name), or a unix socket's path (`pipe_address`); `sni` the
    TLS server name, `None` for none; `san` a name that the certificate must carry besides what `tls` demands
    (auto_san_validation); `protocol` is `http1`, `http2` or `auto` (ALPN). `pool` keeps clusters and priorities apart.
    A connection is closed after `max_requests` exchanges (Envoy's `max_requests_per_connection`; 0 for no limit), and
    begins none when it is `max_age` seconds old (`max_connection_duration`). `max_headers` lines and `max_head_size`
    bytes bound a response's head; `proper_case` writes the names of headers as `X-Foo` over HTTP/1.1. An HTTP/2
    connection carries `max_streams` exchanges at once, or as many as its peer allows. With `tcp_keepalive` the system
    probes idle connections.
    """

    pool: str
    address: str
    port: int
    alternates: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    """Other addresses and ports of the same, tried where the first does not answer soon."""
    tls: TlsSettings | None = None
    sni: str | None = None
    san: str | None = None
    protocol: str = "http1"
    connect_timeout: float = 5.0
    idle_timeout: float | None = 3600.0
    max_requests: int = 0
    max_headers: int = field(default=MAX_HEADERS, compare=False)
    max_head_size: int = field(default=MAX_HEAD_SIZE, compare=False)
    proper_case: bool = field(default=False, compare=False)
    max_age: float | None = field(default=None, compare=False)
    tcp_keepalive: TcpKeepalive | None = None
    max_streams: int = field(default=MAX_STREAMS, compare=False)
    gauge: ConnectionGauge | None = field(default=None, compare=False)
    endpoint: str = field(init=False, compare=False)
    """`address:port`, IPv6 in brackets; a unix socket's path."""
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        address = f"[{self.address}]" if ":" in self.address else self.address
        object.__setattr__(self, "endpoint", self.address if self.is_pipe else f"{address}:{self.port}")
        distinct = (self.pool, self.address, self.port, self.tls, self.sni, self.san, self.protocol)
        object.__setattr__(self, "_hash", hash(distinct))

    def __hash__(self) -> int:
        return self._hash  # looked for among the connections at every exchange

    @property
    def is_pipe(self) -> bool:
        """Whether a unix socket is dialled."""
        return is_pipe(self.address)

    @property
    def socket_path(self) -> str:
        """The unix socket's path as the system wants it: `@` stands for the zero byte of abstract names."""
        return f"\0{self.address[1:]}" if self.address.startswith("@") else self.address


def pipe_address(path: str) -> str:
    """Return the address of a unix socket: its path, which no IP address or DNS name looks like."""
    return path if is_pipe(path) else f"./{path}"


def is_pipe(address: str) -> bool:
    """Tell whether an address is a unix socket's."""
    return "/" in address or address.startswith("@")


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Exchange:
    """One try as the engine sees it.

    `scheme` is the application's, and `:scheme` towards HTTP/2 upstreams, whatever the connection is. `authority` is
    the Host header, which is not among `headers`. `deadline` is absolute and may move; it also cuts the body's reads
    later on, while `connect_timeout` is counted beside it. `on_connected` is called once, when a connection (new or
    pooled) is in hand and before the request's first byte. `url` is the application's: its scheme, host and port are
    logical.
    """

    is_retried: Callable[[int, list[Header]], bool] | None = None
    """Whether an answer will be followed by another try; where it may, what the application is about to bring of a
    streamed body is waited for, and not broken off."""
    dropped_from: int = 1000
    """The least status of an answer that may be thrown away, another one being taken in its place: its body stays on
    its connection until it is read or dropped, since what is dropped with a body ends its connection (Envoy's rule)."""
    _aborted = False
    _on_abort: Callable[[], None] | None = None

    def __init__(
        self,
        method: str,
        scheme: str,
        authority: str,
        target: str,
        headers: list[Header],
        stream: Any,
        destination: Destination,
        deadline: Deadline,
        on_connected: Callable[[], None],
        url: httpx.URL,
        extensions: dict[str, Any],
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.target = target
        self.headers = headers
        self.stream = stream
        self.destination = destination
        self.deadline = deadline
        self._on_connected = on_connected
        self.url = url
        self.extensions = extensions

    def on_connected(self) -> None:
        """A connection is in hand, and nothing has been sent on it; whatever this raises ends the exchange."""
        self._on_connected()

    def on_interim(self) -> None:
        """A 1xx has come before the response."""

    @property
    def can_abort(self) -> bool:
        """Whether the engine has said how to break the exchange off."""
        return self._on_abort is not None

    def abort(self) -> None:
        """Break the exchange off, from any thread, before or while the engine works on it."""
        self._aborted = True
        if self._on_abort is not None:
            self._on_abort()

    def abortable(self, on_abort: Callable[[], None]) -> None:
        """Say what breaks the exchange off from now on (for engines); done at once if it is to be already."""
        self._on_abort = on_abort
        if self._aborted:
            on_abort()


class Engine(Protocol):
    """What carries exchanges. The blocking engines' coroutines never suspend."""

    @property
    def dials(self) -> bool:
        """True where the engine is given addresses; False where it sees the logical URL (mocks, ASGI, WSGI)."""

    def prepare(self, protocol: str) -> None:
        """Load what `protocol` needs, before a first request has to under its deadline."""

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head; its `stream` is read by the caller, under `exchange.deadline`.

        Where the whole body has come with the head, an engine may return it as a plain `httpx.ByteStream` that holds
        on to no connection any more: a complete answer.
        """

    async def close(self) -> None:
        """Close every connection."""

    def abandon(self) -> None:
        """Break every connection off, where nothing can be awaited any more."""
