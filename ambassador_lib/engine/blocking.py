"""The blocking network: plain sockets, each operation under the time that is left. The twin of `loop`."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from .._httpx import as_bytes
from ..call import Deadline
from ..errors import DeadlineExpired, connect_failure, connect_timeout
from .blocking_race import Race
from .blocking_wire import BlockingTlsWire, BlockingWire, shut_down
from .dialling import bare, handshake_failed, refused, unix_sockets
from .socket_options import tune
from .wire import CLEANING_UP, PATIENCE

if TYPE_CHECKING:
    from .base import Destination, Exchange
    from .tls import TlsMaterial

T = TypeVar("T")


def step(work: Awaitable[T]) -> T:
    """Run a coroutine that never suspends, to its end, on this thread."""
    assert isinstance(work, Coroutine)
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # a StopIteration's value is untyped
    work.close()
    raise RuntimeError(f"{work!r} suspended on a blocking network")


class BlockingNetwork:
    """Sockets that block the calling thread."""

    def __init__(self, now: Callable[[], float], patience: float = PATIENCE) -> None:
        self._now = now
        self._patience = patience

    async def dial(self, exchange: Exchange) -> BlockingWire:
        """Connect and do TLS, under one deadline for both."""
        destination = exchange.destination
        material = destination.tls.material() if destination.tls is not None else None
        timeout_at = self._now() + destination.connect_timeout
        until = min(timeout_at, exchange.deadline.at)
        try:
            sock = self._connect(exchange, until)
            if material is not None:
                sock = self._secure(sock, destination, material, until)
        except TimeoutError:
            raise (connect_timeout() if timeout_at <= exchange.deadline.at else DeadlineExpired()) from None
        except OSError as error:  # nothing to dial with: no descriptors, or no such sockets
            raise refused(error) from error
        if material is None:
            return BlockingWire(sock, self._now, self._patience)
        assert isinstance(sock, ssl.SSLSocket)
        wire = BlockingTlsWire(sock, self._now, self._patience)
        material.sessions.keep(destination.sni, wire)
        return wire

    def _connect(self, exchange: Exchange, until: float) -> socket.socket:
        if exchange.destination.alternates:
            options = partial(tune, keepalive=exchange.destination.tcp_keepalive)
            race = Race(_addresses(exchange.destination), partial(self._left, until), options)
            exchange.abortable(race.abort)
            sock = race.run()
            exchange.abortable(partial(shut_down, sock))
            sock.settimeout(self._left(until))
            return sock
        failure = connect_failure("no address")
        for family, address in _addresses(exchange.destination):
            try:
                return self._attempt(exchange, family, address, until)
            except TimeoutError:
                raise
            except OSError as error:
                failure = refused(error)
        raise failure

    def _attempt(self, exchange: Exchange, family: int, address: Any, until: float) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        exchange.abortable(partial(shut_down, sock))
        try:
            tune(sock, exchange.destination.tcp_keepalive)
            sock.settimeout(self._left(until))
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _secure(
        self, sock: socket.socket, destination: Destination, material: TlsMaterial, until: float
    ) -> socket.socket:
        try:
            sock = secure = material.context.wrap_socket(
                sock, server_hostname=destination.sni, do_handshake_on_connect=False
            )
            material.sessions.offer(secure)
            secure.settimeout(self._left(until))
            secure.do_handshake()
            material.check(secure, destination.san)
        except TimeoutError:
            sock.close()
            raise
        except (OSError, ValueError) as error:
            sock.close()
            raise handshake_failed(error) from error
        except BaseException:
            sock.close()
            raise
        return sock

    def _left(self, until: float) -> float:
        left = until - self._now()
        if left <= 0:  # a timeout of 0 would mean "do not block"
            raise TimeoutError
        return min(left, self._patience)

    def within(self, deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:  # noqa: ARG002
        """Run `work`: nothing can interrupt a thread, and its sockets look at the deadline."""
        return work

    def signal(self) -> BlockingSignal:
        """Return something that one thread can wait for."""
        return BlockingSignal(self._now, self._patience)

    def grace(self) -> Deadline:
        """Return a moment from now."""
        return Deadline(self._now() + CLEANING_UP)

    def shielded(self) -> AbstractContextManager[object]:
        """Nothing cancels a thread."""
        return nullcontext()

    async def protected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`."""
        await work

    def home(self) -> object:
        """Sockets are bound to no loop."""
        return None

    def has_passed(self, deadline: Deadline) -> bool:
        """Look at the clock: a read that never has to wait does not."""
        return self._now() >= deadline.at

    def is_gone(self, home: object) -> bool:  # noqa: ARG002 - there are no loops here
        """Threads come and go, and sockets stay."""
        return False

    async def chunks(self, stream: Any) -> AsyncGenerator[bytes, None]:
        """Iterate over a request's body."""
        for chunk in stream:
            yield as_bytes(chunk)

    def body(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> BlockingBody:
        """Make a response's body."""
        return BlockingBody(read, close)


class BlockingSignal:
    """Waits on a `threading.Event`."""

    def __init__(self, now: Callable[[], float], patience: float) -> None:
        self._now = now
        self._patience = patience
        self._event = threading.Event()
        self.set = self._event.set

    async def wait(self, deadline: Deadline) -> None:
        """Block until set; `DeadlineExpired` when the deadline, which may move meanwhile, passes first."""
        at = deadline.at
        while not self._event.wait(max(0.0, min(at - self._now(), self._patience))):
            if deadline.at <= at:
                raise DeadlineExpired
            at = deadline.at


class BlockingBody(httpx.SyncByteStream):
    """A response's body, read by a plain loop."""

    drop: Callable[[], None] | None = None
    """Says before `close` that nobody wants the body."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        while chunk := step(self._read()):
            yield chunk

    def close(self) -> None:
        """End the exchange."""
        step(self._close())


def _addresses(destination: Destination) -> Iterator[tuple[int, Any]]:
    if destination.is_pipe:
        yield unix_sockets(), destination.socket_path
        return
    for host, port in ((destination.address, destination.port), *destination.alternates):
        try:
            found = socket.getaddrinfo(bare(host), port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise connect_failure(f"{host}: {error.strerror}") from error
        for family, _, _, _, address in found:
            yield family, address
