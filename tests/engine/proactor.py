"""Windows' kind of event loop, anywhere: asyncio's own loop and transports of the proactor, over a stand-in for IOCP.

Operations are begun at once, write into the buffers that they were given, and are told of later, when all that were
ready have been done. Sockets cannot be watched, only read, written, connected and accepted on.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from asyncio.proactor_events import BaseProactorEventLoop
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Operation = tuple["asyncio.Future[Any]", Callable[[], Any]]
_EVENTS = (selectors.EVENT_READ, selectors.EVENT_WRITE)


class Proactor:
    """As much of `IocpProactor` as the loop asks for."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._begun: dict[int, dict[int, deque[Operation]]] = {}
        self._loop: Any = None

    def set_loop(self, loop: Any) -> None:
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        for key, ready in self._selector.select(timeout):
            for event in _EVENTS:
                if ready & event and key.fd in self._begun:
                    self._go_on(self._begun[key.fd][event])
            self._watch(key.fd)
        return []

    def close(self) -> None:
        self._selector.close()

    def recv(self, sock: socket.socket, nbytes: int, flags: int = 0) -> asyncio.Future[Any]:
        return self._begin(sock, selectors.EVENT_READ, lambda: sock.recv(nbytes, flags))

    def recv_into(self, sock: socket.socket, buf: Any, flags: int = 0) -> asyncio.Future[Any]:
        return self._begin(sock, selectors.EVENT_READ, lambda: sock.recv_into(buf, 0, flags))

    def send(self, sock: socket.socket, buf: Any, flags: int = 0) -> asyncio.Future[Any]:
        rest = memoryview(buf)
        size = len(rest)

        def send_on() -> int:
            nonlocal rest
            while rest:
                rest = rest[sock.send(rest, flags) :]
            return size

        return self._begin(sock, selectors.EVENT_WRITE, send_on)

    def connect(self, sock: socket.socket, address: Any) -> asyncio.Future[Any]:
        with suppress(BlockingIOError):
            sock.connect(address)

        def connected() -> None:
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, "the connection was refused")
            try:
                sock.getpeername()
            except OSError:
                raise BlockingIOError from None

        return self._begin(sock, selectors.EVENT_WRITE, connected)

    def accept(self, listener: socket.socket) -> asyncio.Future[Any]:
        def accepted() -> tuple[socket.socket, Any]:
            sock, address = listener.accept()
            sock.setblocking(False)
            return sock, address

        return self._begin(listener, selectors.EVENT_READ, accepted)

    def _stop_serving(self, listener: socket.socket) -> None:
        self._begun.pop(listener.fileno(), None)
        self._watch(listener.fileno())

    def _begin(self, sock: socket.socket, event: int, operation: Callable[[], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(lambda _: self._watch(descriptor))
        descriptor = sock.fileno()
        operations = self._begun.setdefault(descriptor, {event: deque() for event in _EVENTS})[event]
        operations.append((future, operation))
        if len(operations) == 1:
            self._go_on(operations)
        self._watch(descriptor)
        return future

    @staticmethod
    def _go_on(operations: deque[Operation]) -> None:
        while operations:
            future, operation = operations[0]
            if not future.done():
                try:
                    future.set_result(operation())
                except (BlockingIOError, InterruptedError):
                    return
                except OSError as error:
                    future.set_exception(error)
            operations.popleft()

    def _watch(self, descriptor: int) -> None:
        """Have the selector look for what operations wait for; what was cancelled waits for nothing."""
        begun = self._begun.get(descriptor, {})
        for operations in begun.values():
            while operations and operations[0][0].done():
                operations.popleft()
        events = sum(event for event, operations in begun.items() if operations)
        if not events:
            self._begun.pop(descriptor, None)
        if self._selector.get_map() is None:  # the loop is closed
            return
        with suppress(KeyError, OSError, ValueError):
            self._selector.unregister(descriptor)
        if events:
            with suppress(OSError, ValueError):
                self._selector.register(descriptor, events)


class ProactorLoop(BaseProactorEventLoop):
    """A loop that knows no readers and no writers."""

    _self_reading_future: asyncio.Future[Any] | None

    def __init__(self) -> None:
        super().__init__(Proactor())  # type: ignore[call-arg]  # typeshed does not know of it

    def run_forever(self) -> None:
        try:
            self.call_soon(self._loop_self_reading)  # type: ignore[attr-defined]  # as the loop of Windows does
            super().run_forever()
        finally:
            if self._self_reading_future is not None:
                self._self_reading_future.cancel()
                self._self_reading_future = None
