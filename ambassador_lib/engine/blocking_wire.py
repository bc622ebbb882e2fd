"""One connected socket of the blocking network."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..call import Deadline
from ..errors import DeadlineExpired
from .readiness import READABLE, WRITABLE, Watch, has_hung_up, is_ready
from .wire import OVERHEARD, READ_SIZE, PeerReset


class _HeardEnough(Exception):  # noqa: N818 - a signal from `write` to `listening`
    """What came ends the upload."""


class BlockingWire:
    """A connected socket. Several threads may use it, one reading and one writing at a time.

    The socket itself does not block: a thread waits until it is ready, and then takes what there is. The system's own
    timeouts (`SO_RCVTIMEO`) would save one call in two, a few tenths of a microsecond, and strike too late wherever a
    signal interrupts them, since Python starts them again.
    """

    keeps_deadlines = True
    alpn: str | None = None

    def __init__(self, sock: socket.socket, now: Callable[[], float], patience: float) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._input = Watch(sock, READABLE)
        self._now = now
        self._patience = patience
        self._hear: Callable[[bytes], bool] | None = None
        self._overheard = 0

    async def read(self, deadline: Deadline) -> bytes:
        """Receive what there is, or will be."""
        return self.get(deadline)

    def get(self, deadline: Deadline) -> bytes:
        """Receive what there is, or will be: a deadline that moves later meanwhile is honoured."""
        while True:
            at = deadline.at
            left = at - self._now()
            if left > self._patience:  # noqa: PLR1730 - `min` costs three times as much
                left = self._patience
            if self._input.until(left):
                try:
                    return self._sock.recv(READ_SIZE)
                except BlockingIOError:
                    continue
                except (OSError, ValueError) as error:
                    raise PeerReset(str(error)) from error
            if deadline.at <= at:
                raise DeadlineExpired

    async def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all."""
        self.put(data, deadline)

    def put(self, data: bytes, deadline: Deadline) -> None:
        """Send all; a deadline that strikes in the middle leaves the connection unusable."""
        rest: bytes | memoryview = data
        while rest:
            events = 0 if self._hear is None else self._overhear(self._hear)
            try:
                sent = self._send(rest)
            except (BlockingIOError, ssl.SSLWantWriteError):
                events |= WRITABLE
            except ssl.SSLWantReadError:
                events = READABLE
            except (OSError, ValueError) as error:
                raise PeerReset(str(error), sent=rest is not data) from error
            else:
                if sent == len(rest):
                    return
                rest = memoryview(rest)[sent:]
                continue
            self._wait(events, deadline, self._now())

    def _receive(self) -> bytes:
        return self._sock.recv(READ_SIZE)

    def _send(self, data: bytes | memoryview) -> int:
        return self._sock.send(data)

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Look for input before each piece that is sent, and while sending has to wait."""
        self._hear = hear
        self._overheard = 0
        try:
            await sending
        except _HeardEnough:
            return False
        finally:
            self._hear = None
        return True

    def _overhear(self, hear: Callable[[bytes], bool]) -> int:
        """Take what has come; return what to wait for besides the room to send."""
        try:
            data = self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            return READABLE
        except ssl.SSLWantWriteError:
            return WRITABLE
        except (OSError, ValueError) as error:
            raise PeerReset(str(error)) from error
        if hear(data):
            raise _HeardEnough
        self._overheard += len(data)
        if self._overheard >= OVERHEARD:
            self._hear = None
            return 0
        return READABLE

    def _wait(self, events: int, deadline: Deadline, now: float) -> None:
        """Wait from `now` on until the socket is ready; a deadline that moves later meanwhile is honoured."""
        while True:
            at = deadline.at
            left = at - now
            if left <= 0:
                raise DeadlineExpired
            if left > self._patience:  # noqa: PLR1730 - as in `get`
                left = self._patience
            if self._input.until(left) if events == READABLE else is_ready(self._sock, events, left):
                return
            if deadline.at <= at:
                raise DeadlineExpired
            now = self._now()

    async def close(self) -> None:
        """Close the socket."""
        self._input.end()
        self._sock.close()

    def tls_session(self) -> ssl.SSLSession | None:
        """There is none."""
        return None

    def abort(self) -> None:
        """Shut the socket down, whoever uses it."""
        shut_down(self._sock)

    def forget(self) -> None:
        """Close the child's copy of the descriptor, and nothing else."""
        self._input.end()
        os.close(self._sock.detach())

    def has_input(self) -> bool:
        """Poll for anything at all; an idle connection's, which nobody waits for."""
        return self._input.until(0.0)

    def has_hung_up(self) -> bool:
        """Poll for the peer's end behind what is still to be read."""
        return has_hung_up(self._sock)

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do."""
        return socket_info(self._sock, info)


class BlockingTlsWire(BlockingWire):
    """A socket with TLS: OpenSSL lets only one thread at a time into a connection, and so for no longer than a moment.

    It holds bytes back that no waiting for the socket would tell of where somebody has read a record in part.
    """

    _sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, now: Callable[[], float], patience: float) -> None:
        super().__init__(sock, now, patience)
        self.alpn = sock.selected_alpn_protocol()
        self._lock = threading.Lock()
        self._session: ssl.SSLSession | None = None
        self._is_lent = False
        """Whether the application has the socket too: it may read a record in part, which `READ_SIZE` never does."""

    def get(self, deadline: Deadline) -> bytes:
        """Receive what there is, or will be; to ask OpenSSL first would mean an exception for nearly every answer."""
        now = self._now()
        # What has come in time is taken later as well.
        if deadline.at > now and not (self._is_lent and self._holds_back()):
            self._wait(READABLE, deadline, now)
        while True:
            try:
                return self._receive()
            except (BlockingIOError, ssl.SSLWantReadError):
                events = READABLE
            except ssl.SSLWantWriteError:
                events = WRITABLE
            except (OSError, ValueError) as error:
                raise PeerReset(str(error)) from error
            self._wait(events, deadline, self._now())

    def _holds_back(self) -> bool:
        with self._lock:
            return self._sock.pending() > 0

    def _receive(self) -> bytes:
        with self._lock:
            return self._sock.recv(READ_SIZE)

    def _send(self, data: bytes | memoryview) -> int:
        with self._lock:
            return self._sock.send(data)

    async def close(self) -> None:
        """Close the socket, and keep the session that it may have got."""
        self._session = self.tls_session()
        await super().close()

    def tls_session(self) -> ssl.SSLSession | None:
        """Return the session that the next connection may resume."""
        with self._lock:
            return self._sock.session or self._session

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do."""
        self._is_lent = True
        return self._sock if info == "ssl_object" else super().get_extra_info(info)


def socket_info(sock: socket.socket, info: str) -> Any:
    """Answer for the socket itself."""
    if info == "client_addr":
        return sock.getsockname()
    if info == "server_addr":
        return sock.getpeername()
    return sock if info == "socket" else None


def shut_down(sock: socket.socket) -> None:
    """Break a connection off, from any thread."""
    with suppress(OSError):  # not connected yet, or no longer
        # Not `SSLSocket.shutdown`, which takes the TLS state away from under a reading thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
