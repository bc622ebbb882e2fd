"""`Upstream`: a scriptable HTTP/1.1 server on a loopback port, plain or TLS, that can be killed and revived."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from .connection import Connection
from .replies import Reply, Script, as_reply

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from .seen import Seen

JOIN_LIMIT = 5.0
"""Seconds within which a thread that was told to end must have ended."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How an upstream speaks TLS; with `client_authority` (a PEM file) it demands a client certificate signed by it."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    def context(self) -> ssl.SSLContext:
        """Return the context to accept with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        context.minimum_version = self.minimum
        context.maximum_version = self.maximum
        if self.client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_authority)
        context.sni_callback = _remember_name
        return context


class Upstream:
    """A server that answers by script and remembers what it saw; it listens from its making until `close`.

    `replies` are given in turn, one a request, and the last repeats; none at all means 200 with the upstream's name.
    Everything may be called from any thread. As a context manager it closes itself, and leaves no thread and no port.
    """

    def __init__(
        self,
        *replies: Script,
        name: str = "upstream",
        tls: ServerTls | None = None,
        host: str = "127.0.0.1",
        listening: bool = True,
    ) -> None:
        self.name = name
        self.host = host
        self.handshake_failures: list[str] = []
        self._tls = tls.context() if tls is not None else None
        self._lock = threading.Lock()
        self._scripts: dict[str | None, list[Script]] = {}
        self._seen: list[Seen] = []
        self._connections: dict[Connection, threading.Thread] = {}
        self._accepted = 0
        self._acceptor: threading.Thread | None = None
        self._waker: socket.socket | None = None
        self._socket = _reserve(host, 0)
        self.port: int = self._socket.getsockname()[1]
        self.script(*replies)
        if listening:
            self.revive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.address}{'' if self.listening else ' (killed)'}>"

    @property
    def address(self) -> str:
        """`host:port`, as reports name the endpoint."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where it can be reached directly."""
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    @property
    def listening(self) -> bool:
        """False once killed or closed."""
        return self._acceptor is not None

    @property
    def requests(self) -> list[Seen]:
        """Every request seen so far, in the order of their arrival."""
        with self._lock:
            return list(self._seen)

    @property
    def failures(self) -> int:
        """How many requests were answered with a 5xx, or not as they should."""
        return sum(seen.failed for seen in self.requests)

    @property
    def connections(self) -> int:
        """How many connections were ever accepted."""
        return self._accepted

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._connections)

    def script(self, *replies: Script, path: str | None = None) -> None:
        """Answer with `replies` from now on; with `path`, only requests for exactly that path."""
        with self._lock:
            self._scripts[path] = list(replies)

    def forget(self) -> None:
        """Drop the records."""
        with self._lock:
            self._seen.clear()

    def kill(self) -> None:
        """Vanish as a killed process does: connections end, new ones are refused. The port stays reserved."""
        self._stop()
        if self._socket.fileno() < 0:
            self._socket = _reserve(self.host, self.port)

    def revive(self) -> None:
        """Listen again on the same port."""
        if self.listening:
            return
        self._socket.listen(128)
        self._waker, ear = socket.socketpair()
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._socket, ear), name=f"{self.name} accepts", daemon=True
        )
        self._acceptor.start()

    def close(self) -> None:
        """End every connection and thread and give the port back; safe to call again."""
        self._stop()
        self._socket.close()

    def _stop(self) -> None:
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None or self._waker is None:
            return
        self._waker.close()
        _join(acceptor)
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            connection.shut_down()
        for thread in connections.values():
            _join(thread)

    def _accept(self, listener: socket.socket, ear: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, listener, ear:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
            selector.register(ear, selectors.EVENT_READ)
            while not any(key.fileobj is ear for key, _ in selector.select()):
                try:
                    sock, _ = listener.accept()
                    self._serve(sock)
                except OSError:  # it left before it was accepted
                    continue

    def _serve(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._accepted += 1
        connection = Connection(
            sock, self._accepted, record=self._record, answer=self._answer, refused=self.handshake_failures.append
        )
        thread = threading.Thread(
            target=self._run, args=(connection,), name=f"{self.name} #{self._accepted}", daemon=True
        )
        with self._lock:
            self._connections[connection] = thread
        thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _record(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def _answer(self, seen: Seen) -> Reply:
        with self._lock:
            replies = self._scripts.get(seen.path) or self._scripts[None]
            if not replies:
                return Reply(body=self.name)
            script = replies.pop(0) if len(replies) > 1 else replies[0]
        return as_reply(script, seen)


def _reserve(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen: connections are refused, and nobody else gets the port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def _join(thread: threading.Thread) -> None:
    thread.join(JOIN_LIMIT)
    if thread.is_alive():
        raise RuntimeError(f"thread {thread.name!r} did not end within {JOIN_LIMIT} s")


def _remember_name(sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    # The attribute is of no use to a server otherwise, and it goes away with the connection.
    sock.server_hostname = name  # type: ignore[misc]
