"""`Upstream`: a real server on loopback ports, told by script, that speaks HTTP/1.1 and HTTP/2, plain or TLS."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self
from typing import Protocol as HasContext

from .dns import RealNames
from .listeners import Listener, bound, bound_beside
from .peer import Peer, Protocol, peer
from .script import Scripted
from .serving import Serving
from .wires import Wire, remembering_names

if TYPE_CHECKING:
    import socket
    import ssl
    from types import TracebackType

    from .faults import Answer
    from .latency import RandomNumbers


ALPN: dict[Protocol, list[str]] = {"auto": ["h2", "http/1.1"], "http1": ["http/1.1"], "http2": ["h2"]}


class MakesContext(HasContext):
    """How a server speaks TLS: `ServerTls`, or something of one's own."""

    def context(self) -> ssl.SSLContext:
        """Return the context to accept with."""


class Upstream(Scripted):
    """A server that answers by script and remembers what it saw; it listens from its making until `close`.

    `answers` are given in turn, one a request, and the last repeats: short for `replies(*answers)`. With none, and
    without `strict`, it answers 200 with its name. `protocol` is what it speaks (`"auto"`: what the client does).
    Endpoint 0 is `host` with a free `port`; others have the same port at 127.0.0.2 and so on, where the system has
    these addresses. Everything may be called from any thread; a verb has taken effect when it returns. As a context
    manager it closes itself, and leaves no thread, no port and no file descriptor.

    Two things that a server cannot do: count attempts that the system refuses for it, or leaves unanswered. Faults
    with `times` or `probability` are therefore played on accepted connections: `refuses(2)` resets them at once,
    `black_holes(2)` lets them hear nothing. Without such a count connections are really refused, or (on Linux) really
    not answered.
    """

    is_simulated = False
    dns: RealNames

    def __init__(
        self,
        *answers: Answer,
        name: str = "upstream",
        tls: MakesContext | None = None,
        host: str = "127.0.0.1",
        endpoints: int | None = None,
        protocol: Protocol = "auto",
        strict: bool = False,
        random: RandomNumbers | None = None,
    ) -> None:
        super().__init__(name, clock=time.monotonic, random=random, strict=strict, endpoints=endpoints)
        self.host = host
        self.handshake_failures: list[str] = []
        """Why TLS handshakes failed, in OpenSSL's words."""
        self._protocol = protocol
        self._tls: ssl.SSLContext | None = None
        self.speak(tls)
        if answers:
            self.replies(*answers)
        self._wires: set[Wire] = set()
        self._accepted = 0
        self._is_closed = False
        self._process = os.getpid()
        self._is_stale = False
        self._serving = Serving(f"{name} serves", due=self._due, tick=self._tick, failed=self._failed)
        self.dns = RealNames(self, self._serving)
        self._listeners_by_endpoint: list[Listener] = []
        self._next_standing: float | None = None
        try:
            first = bound(host, 0)
            self.port: int = first.getsockname()[1]
            self._listeners_by_endpoint.append(self._listener(first, 0))
            self._add_missing()
            self._serving.start()
        except BaseException:
            self._close_all()
            self._serving.stop()
            raise
        self.on_change(self._changed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.address}{' (closed)' if self._is_closed else ''}>"

    # --- where it is, and what is connected --------------------------------------------------------------------------

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each endpoint."""
        return [each.address for each in self._listeners_by_endpoint]

    @property
    def address(self) -> str:
        """`host:port` of endpoint 0, as reports name it."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where endpoint 0 can be reached directly."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were ever accepted."""
        return self._accepted

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._wires)

    def speak(self, tls: MakesContext | None) -> None:
        """Speak TLS, or plainly, on connections made from now on; `ServerTls`, or whatever else has `context()`."""
        context = tls.context() if tls is not None else None
        if context is not None:
            remembering_names(context).set_alpn_protocols(ALPN[self._protocol])
        self._tls = context

    def grow(self, count: int) -> None:
        """Have at least `count` endpoints; `ScriptError` where it was made with a number of them that is less."""
        super().grow(count)
        if not self._is_closed:
            self._serving.do(self._add_missing)

    def close(self) -> None:
        """End every connection and the thread, and give the ports back; safe to call again."""
        if self._is_closed or os.getpid() != self._process:  # after a fork all of it is the parent's
            return
        self._is_closed = True
        try:
            self._serving.do(self._close_all)
        finally:
            self._serving.stop()

    # --- in the serving thread ---------------------------------------------------------------------------------------

    def make_peer(self, wire: Wire, alpn: str | None, client: str | None, server_name: str | None) -> Peer:
        """Return the server's side of an accepted connection."""
        self._accepted += 1
        return peer(
            self,
            wire.endpoint,
            self._accepted,
            protocol="http2" if alpn == "h2" else self._protocol,
            client=client,
            server_name=server_name,
        )

    def handshake_failed(self, reason: str) -> None:
        """Keep why."""
        self.handshake_failures.append(reason)

    def _failed(self, error: Exception) -> None:
        self._noted.append(f"{self.name} broke: {error!r}")

    def closed(self, wire: Wire) -> None:
        """A connection is over."""
        self._wires.discard(wire)

    def _listener(self, sock: socket.socket, endpoint: int) -> Listener:
        return Listener(sock, self._serving, lambda accepted: self._accept(accepted, endpoint))

    def _add_endpoint(self) -> None:
        taken = {host for host, _ in self.addresses}
        sock = bound_beside(self.host, self.port, taken)
        self._listeners_by_endpoint.append(self._listener(sock, len(self._listeners_by_endpoint)))

    def _add_missing(self) -> None:
        while len(self._listeners_by_endpoint) < self.endpoint_count:
            self._add_endpoint()
        self._refresh()

    def _accept(self, sock: socket.socket, endpoint: int) -> None:
        reception = self.reception(endpoint, time.monotonic())
        wire = Wire(sock, owner=self, serving=self._serving, tls=self._tls, reception=reception, endpoint=endpoint)
        self._wires.add(wire)
        wire.start()

    def _changed(self) -> None:
        if self._is_closed:
            return
        if self._serving.is_here:
            self._is_stale = True
        else:
            self._serving.do(self._refresh)

    def _due(self) -> float | None:
        if self._is_stale:
            return 0.0
        times = [wire.due for wire in self._wires]
        times.append(self._next_standing)
        return min((at for at in times if at is not None), default=None)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._is_stale or (self._next_standing is not None and self._next_standing <= now):
            self._refresh()
            return
        self._act([each for each in self._wires if each.due is not None and each.due <= now])

    def _refresh(self) -> None:
        """Ask for everything anew: what becomes of new connections, and of those that are open."""
        self._is_stale = False
        self._next_standing = None
        now = time.monotonic()
        for endpoint, listener in enumerate(self._listeners_by_endpoint):
            standing = self.standing(endpoint, now)
            {"accept": listener.open, "refuse": listener.shut, "black hole": listener.deafen}[standing]()
        self._act(list(self._wires))
        changes = [self.next_change(endpoint, now) for endpoint in range(self.endpoint_count)]
        self._next_standing = min((at for at in changes if at is not None), default=None)

    def _act(self, wires: list[Wire]) -> None:
        for wire in wires:
            try:
                wire.act()
            except Exception as error:  # noqa: BLE001 - one connection must not take the others with it
                self._failed(error)
                wire.close()

    def _close_all(self) -> None:
        for wire in list(self._wires):
            wire.close()
        for listener in self._listeners_by_endpoint:
            listener.close()
        self.dns.close()
