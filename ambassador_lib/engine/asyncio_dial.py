"""Dialling on asyncio and uvloop: a socket, and the wire on it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .allowance import Allowance
from .asyncio_protocols import BufferedTeller, PlainTeller
from .asyncio_wire import BufferedWire, PlainWire
from .dialling import bare, refused, unix_sockets
from .readiness import WRITABLE, is_ready
from .socket_options import tune

if TYPE_CHECKING:
    from .asyncio_tls import TlsWire
    from .asyncio_wire import AsyncioWire
    from .base import Destination
    from .tls import TlsMaterial


AT_ONCE = sys.platform == "linux"
"""Whether a connect that is under way may be asked for once more, by the loop, whatever has become of it meanwhile."""
_UNDER_WAY = {errno.EINPROGRESS, errno.EAGAIN, errno.EALREADY, errno.EINTR}


async def connected(
    destination: Destination, material: TlsMaterial | None, now: Callable[[], float], patience: float
) -> AsyncioWire | TlsWire:
    """Connect and do TLS, within `connect_timeout`."""
    dial = _Dial(asyncio.get_running_loop(), destination)
    return await dial.allowance.of(dial.wire(material, now, patience))


class _Dial:
    """One way to one destination; its waits for the upstream are on the upstream's allowance."""

    def __init__(self, loop: asyncio.AbstractEventLoop, destination: Destination) -> None:
        self._loop = loop
        self._destination = destination
        self.allowance = Allowance(loop, destination.connect_timeout)

    async def wire(
        self, material: TlsMaterial | None, now: Callable[[], float], patience: float
    ) -> AsyncioWire | TlsWire:
        """Connect, give the socket to the loop, and do TLS."""
        loop, destination = self._loop, self._destination
        hand_over = loop.create_unix_connection if destination.is_pipe else loop.create_connection
        try:
            sock = await self._socket()
            wire, teller = _told(loop, sock, now, patience)
            await hand_over(lambda: teller, sock=sock)
        except OSError as error:
            raise refused(error) from error
        if material is None:
            return wire
        from .asyncio_tls import secured

        return await secured(wire, destination, material, self.allowance)

    async def _socket(self) -> socket.socket:
        destination = self._destination
        if destination.is_pipe:
            return await self._attempt(unix_sockets(), destination.socket_path)
        if not destination.alternates:
            return await self._connect(destination.address, destination.port)
        from .loop_race import first_connected

        addresses = ((destination.address, destination.port), *destination.alternates)
        return await first_connected(addresses, self._connect, _discard)

    async def _connect(self, host: str, port: int) -> socket.socket:
        failure = OSError(f"{host}: no address")
        for family, address in await self._addresses(host, port):
            try:
                return await self._attempt(family, address)
            except OSError as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int) -> list[tuple[int, Any]]:
        try:
            numeric = socket.AI_NUMERICHOST
            found: list[Any] = socket.getaddrinfo(bare(host), port, type=socket.SOCK_STREAM, flags=numeric)
        except socket.gaierror:  # a name, then: asked for in a thread
            asking = asyncio.ensure_future(self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            with self.allowance.waiting(asking.done):
                found = await asking
        return [(family, address) for family, _, _, _, address in found]

    async def _attempt(self, family: int, address: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            tune(sock, self._destination.tcp_keepalive)
            sock.setblocking(False)
            if not (AT_ONCE and _is_connected_at_once(sock, address)):
                with self.allowance.waiting(partial(is_ready, sock, WRITABLE)):
                    await self._loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return sock


def _is_connected_at_once(sock: socket.socket, address: Any) -> bool:
    """Begin to connect; tell whether that is done already, as with peers on the same machine. `OSError`: refused."""
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS and is_ready(sock, WRITABLE):
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    elif code in _UNDER_WAY:
        return False
    if code:
        raise OSError(code, os.strerror(code))
    return True


def _told(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, now: Callable[[], float], patience: float
) -> tuple[AsyncioWire, asyncio.BaseProtocol]:
    """Return a wire, and what the loop is given to tell it."""
    if watches_sockets(loop):
        buffered = BufferedWire(loop, sock, now, patience)
        return buffered, BufferedTeller(buffered)
    plain = PlainWire(loop, sock, now, patience)
    return plain, PlainTeller(plain)


async def _discard(sock: socket.socket) -> None:
    sock.close()


def watches_sockets(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop waits for sockets to be ready: then it can receive into one buffer, and be sent past.

    The proactor of Windows does not: it has begun to receive and to send before, and so knows no `add_reader`.
    """
    found = getattr(type(loop), "add_reader", None)
    return found is not None and found is not asyncio.AbstractEventLoop.add_reader
