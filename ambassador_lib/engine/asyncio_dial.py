"""Dialling on asyncio and uvloop: a socket, and the wire on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .allowance import Allowance
from .asyncio_tls import TlsWire, secured
from .asyncio_wire import BufferedWire, PlainWire
from .dialling import refused
from .loop_race import first_connected
from .readiness import WRITABLE, is_ready

if TYPE_CHECKING:
    from .asyncio_wire import AsyncioWire
    from .base import Destination
    from .tls import TlsMaterial


async def connected(
    destination: Destination, material: TlsMaterial | None, now: Callable[[], float], patience: float
) -> AsyncioWire | TlsWire:
    """Connect and do TLS, within `connect_timeout`."""
    loop = asyncio.get_running_loop()
    allowance = Allowance(loop, destination.connect_timeout)
    return await allowance.of(_dialled(loop, destination, material, now, patience, allowance))


async def _dialled(
    loop: asyncio.AbstractEventLoop,
    destination: Destination,
    material: TlsMaterial | None,
    now: Callable[[], float],
    patience: float,
    allowance: Allowance,
) -> AsyncioWire | TlsWire:
    try:
        sock = await _connected_socket(loop, destination, allowance)
    except OSError as error:
        raise refused(error) from error
    kind = PlainWire if _is_proactor(loop) else BufferedWire
    wire = kind(loop, sock, now, patience)
    dial = loop.create_unix_connection if destination.is_pipe else loop.create_connection
    try:
        await dial(lambda: wire, sock=sock)
    except OSError as error:
        raise refused(error) from error
    return wire if material is None else await secured(wire, destination, material, allowance)


async def _connected_socket(
    loop: asyncio.AbstractEventLoop, destination: Destination, allowance: Allowance
) -> socket.socket:
    if destination.is_pipe:
        return await _attempt(loop, socket.AF_UNIX, destination.socket_path, allowance)

    async def connect(host: str, port: int) -> socket.socket:
        failure = OSError(f"{host}: no address")
        for family, address in await _addresses(loop, host, port, allowance):
            try:
                return await _attempt(loop, family, address, allowance)
            except OSError as error:
                failure = error
        raise failure

    async def discard(sock: socket.socket) -> None:
        sock.close()

    if not destination.alternates:
        return await connect(destination.address, destination.port)
    return await first_connected(((destination.address, destination.port), *destination.alternates), connect, discard)


async def _addresses(
    loop: asyncio.AbstractEventLoop, host: str, port: int, allowance: Allowance
) -> list[tuple[int, Any]]:
    try:
        found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name, then: asked for in a thread
        asking = asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        with allowance.waiting(asking.done):
            found = await asking
    return [(family, address) for family, _, _, _, address in found]


async def _attempt(loop: asyncio.AbstractEventLoop, family: int, address: Any, allowance: Allowance) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        with allowance.waiting(partial(is_ready, sock, WRITABLE)):
            await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_proactor(loop: asyncio.AbstractEventLoop) -> bool:
    proactor = getattr(asyncio, "ProactorEventLoop", None)
    return proactor is not None and isinstance(loop, proactor)
