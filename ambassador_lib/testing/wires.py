"""Accepted sockets of a real upstream, plain or TLS: they carry bytes between the system and a `Peer`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, cast

from .peer import Action, End, Peer, Send
from .serving import READ, WRITE, Serving

if TYPE_CHECKING:
    from .faults import Reception

HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""A TLS record: the fatal alert `handshake_failure`."""

LINGERING = 0.5
"""Seconds that what a client still sends is taken after the end of its connection."""
TOO_MUCH = 1 << 16


class Owner(Protocol):
    """What a wire wants of its upstream."""

    def make_peer(self, wire: Wire, alpn: str | None, client: str | None, server_name: str | None) -> Peer:
        """Return the peer, once the handshake is done."""

    def handshake_failed(self, reason: str) -> None:
        """Keep why."""

    def closed(self, wire: Wire) -> None:
        """The wire is over."""


class Wire:
    """One accepted connection; everything runs in the serving thread."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        owner: Owner,
        serving: Serving,
        tls: ssl.SSLContext | None,
        reception: Reception,
        endpoint: int,
    ) -> None:
        self.endpoint = endpoint
        self.due: float | None = None
        """When the peer wants to act, as far as it was asked."""
        self._socket = sock
        self._owner = owner
        self._serving = serving
        self._reception = reception
        self._is_secure = tls is not None
        self._tls = Tls(tls) if tls is not None and reception.kind == "accept" else None
        self._peer: Peer | None = None
        self._outgoing = bytearray()
        self._ends = False
        self._lingers = False
        self.is_closed = False

    def start(self) -> None:
        """Begin to serve."""
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._reception.kind == "refuse" or (self._reception.kind == "tls failure" and not self._is_secure):
            self._break_off()
            return
        self._serving.watch(self._socket, self, READ)
        if self._tls is None and self._reception.kind == "accept":
            self._peer = self._owner.make_peer(self, None, None, None)
            self.act()

    def ready(self, events: int) -> None:
        """Read, write, or both."""
        if events & WRITE:
            self._flush()
        if events & READ and not self.is_closed:
            self._read()

    def act(self) -> None:
        """Have the peer do what is due."""
        if self._lingers:
            if self.due is not None and self.due <= time.monotonic():
                self._let_go()
            return
        peer = self._peer
        while peer is not None and not (self.is_closed or self._lingers):
            self.due = peer.due()
            if self.due is None or self.due > time.monotonic():
                return
            self._do(peer.act(time.monotonic()))

    def close(self) -> None:
        """End in the orderly way, whatever is under way; nothing is waited for."""
        if self.is_closed:
            return
        if self._peer is not None:
            self._peer.lost(time.monotonic())
        with contextlib.suppress(OSError):  # what is left unread would turn the end into a reset
            while self._socket.recv(TOO_MUCH):
                pass
        self._let_go()

    def _linger(self) -> None:
        """End in the orderly way, and take what still comes for a moment: left unread it would make a reset of it."""
        if self._peer is not None:
            self._peer.lost(time.monotonic())
            self._peer = None
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._let_go()
            return
        self._lingers = True
        self.due = time.monotonic() + LINGERING
        self._serving.watch(self._socket, self, READ)

    def _break_off(self) -> None:
        """End with a reset: lingering for zero seconds turns the close into an RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._let_go()

    def _let_go(self) -> None:
        self.is_closed = True
        self.due = None
        self._serving.unwatch(self._socket)
        self._socket.close()
        self._owner.closed(self)

    def _read(self) -> None:
        try:
            data = self._socket.recv(TOO_MUCH)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if self._lingers:
            if not data:
                self._let_go()
            return
        if self._reception.kind == "black hole" and data:
            return
        if self._reception.kind == "tls failure" and data:
            self._outgoing += HANDSHAKE_FAILURE
            self._ends = True
            self._flush()
        elif self._tls is not None and data:
            self._read_tls(self._tls, data)
        elif self._peer is not None:
            self._peer.received(data, time.monotonic())
            self.act()
            if not data:
                self.close()
        else:
            self.close()

    def _read_tls(self, tls: Tls, data: bytes) -> None:
        try:
            plain = tls.feed(data)
        except ssl.SSLError as error:
            if self._peer is None:
                self._owner.handshake_failed(str(error))
            self._outgoing += tls.take()
            self._ends = True
            self._flush()
            return
        self._outgoing += tls.take()
        if tls.is_ready and self._peer is None:
            self._peer = self._owner.make_peer(self, *tls.facts())
        self._flush()
        for piece in plain:
            if self._peer is not None and not self.is_closed:
                self._peer.received(piece, time.monotonic())
        self.act()

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._outgoing += self._tls.wrap(action.data) if self._tls is not None else action.data
            elif isinstance(action, End):
                self._outgoing += self._tls.farewell() if self._tls is not None else b""
                self._ends = True
            else:
                self._flush()
                if not self.is_closed:
                    self._break_off()
                return
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except BlockingIOError:
            self._serving.watch(self._socket, self, READ | WRITE)
            return
        except OSError:
            self.close()
            return
        if self._ends:
            self._linger()
        elif not self.is_closed:
            self._serving.watch(self._socket, self, READ)


class NamedObject(ssl.SSLObject):
    """The server's side of a handshake, which remembers the name that it was asked for."""

    _name: str | None = None

    @property
    def server_hostname(self) -> str | None:
        """The SNI, `None` where there was none."""
        return self._name

    @server_hostname.setter
    def server_hostname(self, name: str | None) -> None:
        self._name = name


def remembering_names(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return `context` with the names that it is asked for kept, whatever else is done with them."""
    context.sslobject_class = NamedObject
    answer: Any = context.sni_callback

    def remember(sock: ssl.SSLObject, name: str | None, used: ssl.SSLContext) -> int | None:
        sock.server_hostname = name  # type: ignore[misc]
        return cast("int | None", answer(sock, name, used)) if answer is not None else None

    context.sni_callback = remember
    return context


class Tls:
    """TLS between two buffers, on the server's side."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self.is_ready = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came; return what it says, `b""` for the client's orderly end; `ssl.SSLError`."""
        self._in.write(data)
        plain: list[bytes] = []
        try:
            if not self.is_ready:
                self._object.do_handshake()
                self.is_ready = True
            while piece := self._object.read(TOO_MUCH):
                plain.append(piece)
        except ssl.SSLWantReadError:
            return plain
        except ssl.SSLZeroReturnError:
            pass
        return [*plain, b""]

    def wrap(self, data: bytes) -> bytes:
        """Return the records that carry `data`."""
        if data:
            self._object.write(data)
        return self.take()

    def farewell(self) -> bytes:
        """Return what says that nothing follows."""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self.take()

    def take(self) -> bytes:
        """Return what the handshake, or an alert, wants to be sent."""
        return self._out.read()

    def facts(self) -> tuple[str | None, str | None, str | None]:
        """Return the protocol agreed on, the client's common name, and the name it asked for."""
        certificate = self._object.getpeercert() or {}
        subject = cast("Iterable[Iterable[tuple[str, str]]]", certificate.get("subject", ()))
        client = next((value for part in subject for key, value in part if key == "commonName"), None)
        return self._object.selected_alpn_protocol(), client, self._object.server_hostname
