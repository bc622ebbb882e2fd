"""Ports of real upstreams: reserved as long as they live, and open, shut or deaf as their script says."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Callable

from .serving import READ, Serving

# Linux, as the module `socket` does not name them: a filter of packets that a socket hears, even of those that
# want to connect. This one, of a single instruction ("return 0"), drops all.
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
TRIES = 200


class Listener:
    """A port of an upstream: reserved by a socket that never listens, served by another while it is open."""

    def __init__(self, reserved: socket.socket, serving: Serving, accepted: Callable[[socket.socket], None]) -> None:
        self.address: tuple[str, int] = reserved.getsockname()[:2]
        self._reserved = reserved
        self._serving = serving
        self._accepted = accepted
        self._socket: socket.socket | None = None
        self._is_deaf = False

    def open(self) -> None:
        """Take connections."""
        if self._socket is None:
            self._socket = bound(*self.address)
            self._socket.setblocking(False)
            self._socket.listen(1024)
            self._serving.watch(self._socket, self, READ)
        elif self._is_deaf:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        self._is_deaf = False

    def shut(self) -> None:
        """Refuse connections, as a killed process does."""
        if self._socket is not None:
            self._serving.unwatch(self._socket)
            self._socket.close()
            self._socket = None

    def deafen(self) -> None:
        """Hear no one who wants to connect; where the system cannot, they are accepted, and hear nothing."""
        self.open()
        if sys.platform == "linux" and self._socket is not None:
            program = ctypes.create_string_buffer(DROP_ALL)
            told = struct.pack("HP", 1, ctypes.addressof(program))
            self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)
            self._is_deaf = True

    def close(self) -> None:
        """Give the port back."""
        self.shut()
        self._reserved.close()

    def ready(self, events: int) -> None:  # noqa: ARG002
        """Accept all who wait."""
        while self._socket is not None:
            try:
                sock, _ = self._socket.accept()
            except OSError:  # nobody is left, or left before being accepted
                return
            self._accepted(sock)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen: connections are refused, and nobody else gets the port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform != "linux":  # elsewhere two sockets, of which one listens, share an address only so
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def bound_beside(host: str, port: int, taken: set[str]) -> socket.socket:
    """Return one more socket for the same upstream: the same port at another loopback address, where there are more.

    Elsewhere another port at the same address.
    """
    if host.startswith("127."):
        for number in range(1, TRIES):
            address = f"127.0.0.{number}"
            if address in taken:
                continue
            try:
                return bound(address, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    break
    return bound(host, 0)
