"""Raw servers on the loopback, one thread a connection, for whatever a peer may do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Handler = Callable[[Any], None]
"""Does everything with one connected socket."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Listens on a free port and runs `handler` for each connection."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._handler = handler
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(5)
        with contextlib.suppress(OSError, EOFError):
            served = self._context.wrap_socket(sock, server_side=True) if self._context is not None else sock
            try:
                self._handler(served)
            finally:
                served.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        for sock in self._sockets:
            sock.close()


@contextlib.contextmanager
def serving(handler: Handler, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(handler, context)
    try:
        yield server
    finally:
        server.close()


def read_request(sock: socket.socket) -> bytes:
    """Return one request with its body; `EOFError` at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name == b"content-length":
            while len(body) < int(value):
                body += _receive(sock)
        if name == b"transfer-encoding":
            while not body.endswith(b"0\r\n\r\n"):
                body += _receive(sock)
    return head + b"\r\n\r\n" + body


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise EOFError
    return data


def reset(sock: socket.socket) -> None:
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def until_closed(sock: socket.socket) -> None:
    """Wait for the client to go."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Handler:
    """Answer each request with the next of `answers`, the last one again and again."""

    def handler(sock: socket.socket) -> None:
        index = 0
        while True:
            request = read_request(sock)
            if seen is not None:
                seen.append(request)
            sock.sendall(answers[min(index, len(answers) - 1)])
            index += 1

    return handler


def once(answer: bytes, end: Callable[[socket.socket], None] = lambda sock: None) -> Handler:
    """Read one request, send `answer`, then do `end` (by default close)."""

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)
        if answer and end is reset:
            time.sleep(0.05)  # a RST overtakes what the client has not read yet
        end(sock)

    return handler


class H2Peer:
    """One HTTP/2 connection: `react(peer, event)` is called for each event."""

    def __init__(self, react: Callable[[H2Peer, Any], None]) -> None:
        self._react = react

    def __call__(self, sock: socket.socket) -> None:
        peer = H2Peer(self._react)
        peer.sock = sock
        peer.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="ascii"))
        peer.h2.initiate_connection()
        peer.flush()
        while data := sock.recv(65536):
            for event in peer.h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._react(peer, event)
            peer.flush()

    sock: socket.socket
    h2: h2.connection.H2Connection

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def respond(self, stream_id: int, body: bytes = b"ok", *, end: bool = True, status: str = "200") -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the client may have reset it meanwhile
            self.h2.send_headers(stream_id, [(":status", status)])
            self.h2.send_data(stream_id, body, end_stream=end)
