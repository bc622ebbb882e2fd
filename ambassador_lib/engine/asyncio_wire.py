"""One connection on asyncio or uvloop: the wire, which the loop tells what happens (by `asyncio_protocols`).

What comes is copied out of the loop's one receive buffer at once, and kept until somebody reads it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..call import Deadline
from .asyncio_listening import Listening
from .blocking_wire import socket_info
from .readiness import READABLE, Watch, has_hung_up
from .waiting import Waiting
from .wire import OVERHEARD, PeerReset

BUFFER = 128 * 1024
"""Bytes that are received at once."""
HIGH_WATER = 256 * 1024
"""Bytes kept for a slow reader: with more, the peer has to wait."""
LOW_WATER = 64 * 1024
"""Bytes with which the peer may go on."""

_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()
"""One for each loop, and not for the process: loops of two threads receive at the same time."""
_inherited: list[AsyncioWire] = []


class AsyncioWire:
    """A connected socket."""

    keeps_deadlines = True

    __slots__ = (
        "_chunks", "_failure", "_incoming", "_input", "_is_choked", "_is_direct", "_is_dropped", "_is_over",
        "_is_paused", "_on_news", "_room", "_size", "_sock", "_transport", "alpn",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, now: Callable[[], float], patience: float
    ) -> None:
        self.alpn: str | None = None
        self._sock = sock
        self._input = Watch(sock, READABLE)
        self._transport: Any = None
        self._incoming = Waiting(loop, now, patience)
        self._room = Waiting(loop, now, patience)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._is_paused = False
        """Whether the peer has to wait for our reader."""
        self._is_choked = False
        """Whether our writer has to wait for the peer."""
        self._is_over = False
        """Whether nothing more will come."""
        self._on_news: Callable[[], None] | None = None
        """Told of all that comes, while somebody listens."""
        self._failure: Exception | None = None
        """Why, unless the peer has ended in good order."""
        self._is_dropped = False
        """Whether we have begun to close."""
        self._is_direct = False
        """Whether the socket is ours to send on while the transport holds nothing back."""

    # --- what the loop tells -----------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The socket is the loop's now."""
        self._transport = transport
        # The writer waits until the system has taken all: nothing of an exchange lies about when its deadline strikes.
        transport.set_write_buffer_limits(high=0)

    def received(self, data: bytes) -> None:
        """Keep what has come."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._tell()

    def eof_received(self) -> bool:
        """The peer has ended its side; ours stays open, since it may still be reading."""
        self._is_over = True
        self._tell()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, or is about to be: a write that failed makes the loop give up what is still unread."""
        if exc is not None and not self._is_over:
            self._keep_unread()
        self._is_over = True
        self._failure = self._failure or exc
        self._tell()
        self._incoming.stop()
        self._room.stop()

    def _keep_unread(self) -> None:
        """Take what the peer had sent before it broke off: a refusal, say, of what was being written."""
        with suppress(OSError):
            while self._size < OVERHEARD and (data := self._sock.recv(BUFFER)):
                self._chunks.append(data)
                self._size += len(data)

    def _tell(self) -> None:
        if self._on_news is not None:
            self._on_news()
        self._incoming.wake()

    def pause_writing(self) -> None:
        """The system takes no more."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """The system has taken all."""
        self._is_choked = False
        self._room.wake()

    # --- the wire ----------------------------------------------------------------------------------------------------

    async def read(self, deadline: Deadline) -> bytes:
        """Return what has come; without a turn of the loop where there is something."""
        while not self._chunks and not self._is_over:
            await self._incoming.under(deadline)
        data = self.take()
        assert data is not None, "something has come, or nothing ever will"
        return data

    def take(self) -> bytes | None:
        """Return what has come, `b""` for the end, `None` for nothing yet; `PeerReset`."""
        if self._chunks:
            data = self._chunks.popleft()
            self._size -= len(data)
            if self._is_paused and self._size <= LOW_WATER:
                self._resume()
            return data
        if not self._is_over:
            return None
        if self._failure is not None:
            raise PeerReset(str(self._failure)) from self._failure
        return b""

    def _resume(self) -> None:
        self._is_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def get(self, deadline: Deadline) -> bytes | None:  # noqa: ARG002 - it never waits
        """Nothing: hardly ever is an answer there at once."""
        return None

    async def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all; a cancellation in the middle leaves the connection unusable."""
        self.push(data)
        await self._flushed(deadline)

    def put(self, data: bytes, deadline: Deadline) -> Coroutine[Any, Any, None] | None:
        """Send all, or return how to wait until the system takes the rest."""
        self.push(data)
        return self._flushed(deadline) if self._is_choked else None

    async def _flushed(self, deadline: Deadline) -> None:
        while self._is_choked:
            await self._room.under(deadline)
            if self._transport.is_closing():
                raise PeerReset("closed before all was sent") from self._failure

    def push(self, data: bytes) -> None:
        """Send what the system takes, and let the loop send the rest.

        A transport whose write fails throws away what is still to be read, the peer's answer maybe: sending past it
        fails without it.
        """
        if self._is_over or self._is_dropped:
            raise PeerReset("closed by the peer", sent=False) from self._failure
        if not self._is_direct or self._is_choked:
            self._transport.write(data)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            raise PeerReset(str(error), sent=False) from error
        if sent < len(data):
            self._transport.write(memoryview(data)[sent:])

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Have `hear` told by the loop's own callbacks."""
        return await self.listening_by(self.take, sending, hear)

    async def listening_by(
        self, take: Callable[[], bytes | None], sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]
    ) -> bool:
        """As `listening`, where what comes is not for `hear` as it is."""
        ears = Listening(take, hear)
        self._on_news = ears.news
        try:
            return await ears.during(sending)
        finally:
            self._on_news = None

    @property
    def is_listened_to(self) -> bool:
        """Whether what comes is taken as it comes."""
        return self._on_news is not None

    def arrival(self, deadline: Deadline) -> Coroutine[Any, Any, None]:
        """Wait until something more comes; who listens to it has it by then."""
        return self._incoming.under(deadline)

    async def close(self) -> None:
        """Close without a farewell; a turn later the socket is closed."""
        self.drop()
        await asyncio.sleep(0)

    def drop(self) -> None:
        """Begin to close."""
        self._is_dropped = True
        self._transport.abort()

    def abort(self) -> None:
        """Shut the socket down; where its loop is closed, nobody else would ever close it."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._incoming.is_loop_closed() and not self._transport.is_closing():
            close_for_good(self._transport)

    def forget(self) -> None:
        """Close the child's copy of the descriptor, and keep the transport from doing anything about the parent's."""
        os.close(self._sock.detach())
        _inherited.append(self)

    def tls_session(self) -> ssl.SSLSession | None:
        """There is none."""
        return None

    def has_input(self) -> bool:
        """Whether the loop has told of anything, or the system does."""
        return bool(self._chunks) or self._is_over or self._input.until(0.0)

    def has_hung_up(self) -> bool:
        """Whether the loop has told of the peer's end, or the system does."""
        return self._is_over or has_hung_up(self._sock)

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do."""
        return socket_info(self._sock, info)


class BufferedWire(AsyncioWire):
    """For selector loops and uvloop, which receive and tell of it in one go."""

    __slots__ = ("_buffer",)

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, now: Callable[[], float], patience: float
    ) -> None:
        super().__init__(loop, sock, now, patience)
        buffer = _buffers.get(loop)
        if buffer is None:
            buffer = _buffers[loop] = memoryview(bytearray(BUFFER))
        self._buffer = buffer

    def connection_made(self, transport: Any) -> None:
        """The loop only watches the socket."""
        super().connection_made(transport)
        self._is_direct = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Lend the loop's buffer until `buffer_updated`."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Copy out what has come: the buffer is everybody's."""
        self.received(self._buffer[:nbytes].tobytes())


class PlainWire(AsyncioWire):
    """For the proactor of Windows, where receiving goes on while other connections are told of theirs."""

    __slots__ = ()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the socket: the proactor's transport shuts open ones down first, and fails where the peer did so."""
        super().connection_lost(exc)
        self._sock.close()


def close_for_good(transport: Any) -> None:
    """Close the socket of a transport whose loop is closed, and which so cannot do it itself."""
    with suppress(RuntimeError):  # all but the last step, which it wants to make in the loop
        transport.abort()
    lost = getattr(transport, "_call_connection_lost", None)
    if lost is not None:
        lost(None)
