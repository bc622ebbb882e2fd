"""A wire over a stream of anyio's: trio's, where the sockets of our own are asyncio's."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from ..call import Deadline
from ..errors import DeadlineExpired
from .blocking_wire import socket_info
from .dialling import handshake_failed, refused, unix_sockets
from .loop_listening import listening
from .loop_race import first_connected
from .readiness import has_hung_up, has_input
from .socket_options import keep_alive
from .wire import READ_SIZE, PeerReset

if TYPE_CHECKING:
    from .base import Destination
    from .tls import TlsMaterial

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)  # ssl.SSLError is an OSError


_inherited: list[ByteStream] = []


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


async def connected_stream(destination: Destination, material: TlsMaterial | None) -> ByteStream:
    """Connect, and do TLS where there is `material`."""
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
