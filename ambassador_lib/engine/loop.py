"""The event-loop network: sockets of our own under asyncio, anyio's under trio. The twin of `blocking`.

The wires of asyncio keep deadlines themselves. Those of anyio do not: whoever reads and writes is cancelled when one
passes (`within`), and only the bound of waits without a deadline is timed here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.lowlevel
import httpx
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from ..call import Deadline
from ..errors import DeadlineExpired
from ..runtime.loop import Bounded
from .asyncio_dial import connected as asyncio_connected
from .blocking_wire import socket_info
from .dialling import handshake_failed, refused, unix_sockets
from .loop_allowance import allowed
from .loop_listening import listening
from .loop_race import first_connected
from .readiness import has_hung_up, has_input
from .socket_options import keep_alive
from .wire import CLEANING_UP, PATIENCE, READ_SIZE, PeerReset, Wire

if TYPE_CHECKING:
    from .asyncio_tls import TlsWire
    from .asyncio_wire import AsyncioWire
    from .base import Destination, Exchange
    from .tls import TlsMaterial

T = TypeVar("T")

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)  # ssl.SSLError is an OSError


_inherited: list[ByteStream] = []


class LoopNetwork:
    """Sockets that suspend the calling task."""

    def __init__(self, now: Callable[[], float], patience: float = PATIENCE) -> None:
        self._now = now
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()
        """Kept, since a loop itself refers to its tasks weakly."""

    async def dial(self, exchange: Exchange) -> Wire:
        """Connect and do TLS, under one deadline for both."""
        destination = exchange.destination
        material = destination.tls.material() if destination.tls is not None else None
        wire = await self.within(exchange.deadline, self._connected(destination, material))
        if material is not None:
            material.sessions.keep(destination.sni, wire)
        return wire

    async def _connected(
        self, destination: Destination, material: TlsMaterial | None
    ) -> LoopWire | AsyncioWire | TlsWire:
        if not self._is_trio():
            return await asyncio_connected(destination, material, self._now, self._patience)
        dialling = _connected_stream(destination, material)
        stream = await allowed(destination.connect_timeout, dialling, anyio.aclose_forcefully)
        return LoopWire(stream, self._patience)

    @staticmethod
    def _is_trio() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        return False

    def within(self, deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run `work`, cancelled with `DeadlineExpired` when the deadline passes."""
        return Bounded(deadline, work, self._now)

    async def patiently(self, work: Awaitable[T]) -> T:
        """Bound what no deadline may bound."""
        with anyio.move_on_after(self._patience):
            return await work
        raise DeadlineExpired

    def signal(self) -> LoopSignal:
        """Return something that one task can wait for."""
        return LoopSignal(self)

    def grace(self) -> Deadline:
        """Nothing: `shielded` cuts cleaning up."""
        return Deadline()

    def shielded(self) -> AbstractContextManager[object]:
        """Keep cancellation off for a moment."""
        return anyio.move_on_after(CLEANING_UP, shield=True)

    async def protected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` to its end: in a task of its own under asyncio, whose cancellation no shield of anyio stops."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            with self.shielded():
                await work
            return
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    def home(self) -> object:
        """Return the running loop: sockets of one are of no use to another."""
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return anyio.lowlevel.current_token()

    def has_passed(self, deadline: Deadline) -> bool:  # noqa: ARG002 - the caller cancels
        """Every read is a point where the caller can cancel."""
        return False

    def is_gone(self, home: object) -> bool:
        """Whether the loop is closed; trio does not tell."""
        return isinstance(home, asyncio.AbstractEventLoop) and home.is_closed()

    async def chunks(self, stream: Any) -> AsyncGenerator[bytes, None]:
        """Iterate over a request's body, and close the iterator where that breaks off."""
        source = aiter(stream)
        try:
            async for chunk in source:
                yield chunk
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                with self.shielded():
                    await close()

    def body(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> LoopBody:
        """Make a response's body."""
        return LoopBody(read, close)


class LoopWire:
    """A connected stream of anyio's."""

    keeps_deadlines = False

    def __init__(self, stream: ByteStream, patience: float) -> None:
        self._tls = stream.extra(TLSAttribute.ssl_object, None)
        self.alpn = self._tls.selected_alpn_protocol() if self._tls is not None else None
        self._stream = stream
        self._thread = threading.get_ident()
        self._sock: socket.socket = stream.extra(SocketAttribute.raw_socket)
        self._patience = patience

    async def read(self, deadline: Deadline) -> bytes:  # noqa: ARG002 - the caller cancels
        """Receive what there is."""
        try:
            with anyio.move_on_after(self._patience):
                return await self._stream.receive(READ_SIZE)
        except anyio.EndOfStream:
            return b""
        except BROKEN as error:
            raise PeerReset(str(error)) from error
        raise DeadlineExpired

    async def write(self, data: bytes, deadline: Deadline) -> None:  # noqa: ARG002 - the caller cancels
        """Send all; a cancellation in the middle leaves the connection unusable."""
        if self.has_hung_up():  # asyncio would throw away what is still to be read when the write fails
            raise PeerReset("closed by the peer", sent=False)
        try:
            with anyio.move_on_after(self._patience) as patience:
                await self._stream.send(data)
        except BROKEN as error:
            raise PeerReset(str(error)) from error
        if patience.cancelled_caught:
            raise DeadlineExpired

    def put(self, data: bytes, deadline: Deadline) -> Awaitable[None]:
        """Return how to send it: every call takes awaiting."""
        return self.write(data, deadline)

    def get(self, deadline: Deadline) -> bytes | None:  # noqa: ARG002
        """Nothing."""
        return None

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Read in a task beside `sending`."""
        return await listening(self.read, sending, hear)

    async def close(self) -> None:
        """Close without a farewell."""
        with suppress(*BROKEN):
            await anyio.aclose_forcefully(self._stream)

    def tls_session(self) -> ssl.SSLSession | None:
        """Return the session that the next connection may resume; OpenSSL lets one thread at a time ask."""
        if self._tls is None or threading.get_ident() != self._thread:
            return None
        return self._tls.session

    def abort(self) -> None:
        """Shut the socket down."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Keep the transport from being collected: it would unregister the parent's socket from a shared selector."""
        _inherited.append(self._stream)

    def has_input(self) -> bool:
        """Poll for anything at all."""
        return has_input(self._sock)

    def has_hung_up(self) -> bool:
        """Poll for the peer's end behind what is still to be read."""
        return has_hung_up(self._sock)

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do."""
        return self._tls if info == "ssl_object" else socket_info(self._sock, info)


class LoopSignal:
    """Waits on an event of the running loop."""

    def __init__(self, network: LoopNetwork) -> None:
        self._event = anyio.Event()
        self._network = network
        self.set = self._event.set

    async def wait(self, deadline: Deadline) -> None:
        """Suspend until set; `DeadlineExpired` at the deadline."""
        await self._network.within(deadline, self._network.patiently(self._event.wait()))


class LoopBody(httpx.AsyncByteStream):
    """A response's body, read by an async loop."""

    drop: Callable[[], None] | None = None
    """Says before `aclose` that nobody wants the body."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._read():
            yield chunk

    async def aclose(self) -> None:
        """End the exchange."""
        await self._close()


async def _connected_stream(destination: Destination, material: TlsMaterial | None) -> ByteStream:
    stream: ByteStream
    try:
        if destination.is_pipe:
            unix_sockets()
            stream = await anyio.connect_unix(destination.socket_path)
        elif destination.alternates:
            addresses = ((destination.address, destination.port), *destination.alternates)
            stream = await first_connected(addresses, anyio.connect_tcp, anyio.aclose_forcefully)
        else:
            stream = await anyio.connect_tcp(destination.address, destination.port)
    except OSError as error:
        cause = error.__cause__
        raise refused(cause if isinstance(cause, OSError) else error) from error
    if destination.tcp_keepalive is not None:
        try:
            keep_alive(stream.extra(SocketAttribute.raw_socket), destination.tcp_keepalive)
        except OSError as error:
            await anyio.aclose_forcefully(stream)
            raise refused(error) from error
    return stream if material is None else await _secured(stream, destination, material)


async def _secured(stream: ByteStream, destination: Destination, material: TlsMaterial) -> ByteStream:
    try:
        secure = await TLSStream.wrap(
            stream,
            server_side=False,
            hostname=destination.sni,
            ssl_context=material.context,
            standard_compatible=False,  # HTTP has its own framing: an end without close_notify is an end
        )
        material.check(secure.extra(TLSAttribute.ssl_object), destination.san)
    except BaseException as error:
        await anyio.aclose_forcefully(stream)
        if isinstance(error, (OSError, ValueError, ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream)):
            raise handshake_failed(error) from error
        raise
    return secure
