"""The thread in which a real server's sockets are served: one selector, whatever the number of connections."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

JOIN_LIMIT = 5.0
"""Seconds within which a thread that was told to end must have ended, and what it was asked must be done."""

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Served(Protocol):
    """A socket's owner."""

    def ready(self, events: int) -> None:
        """Something can be read or written."""

    def close(self) -> None:
        """End: what happened was not to happen."""


class Serving:
    """Runs until `stop`: tells the owners of sockets what is ready, calls `tick` when `due` says, and what is asked.

    `due` returns a reading of `time.monotonic`, or `None`; `failed` is told what an owner should not have raised.
    """

    def __init__(
        self,
        name: str,
        *,
        due: Callable[[], float | None],
        tick: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._due = due
        self._tick = tick
        self._failed = failed
        self._selector = selectors.DefaultSelector()
        self._ear, self._waker = socket.socketpair()
        self._ear.setblocking(False)
        self._waker.setblocking(False)
        self._asked: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._selector.register(self._ear, READ)
        self._thread.start()

    def watch(self, sock: socket.socket, owner: Served, events: int) -> None:
        """Tell `owner` of these events from now on; in the serving thread, or before `start`."""
        try:
            self._selector.modify(sock, events, owner)
        except KeyError:
            self._selector.register(sock, events, owner)

    def unwatch(self, sock: socket.socket) -> None:
        """Tell no more; in the serving thread."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def do(self, work: Callable[[], None]) -> None:
        """Have `work` done in the serving thread, and wait for it; within that thread it is done at once.

        Raises what `work` raises; `RuntimeError` where it does not end within the limit.
        """
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            work()
            return
        done: Future[None] = Future()
        self._asked.append((work, done))
        self._wake()
        try:
            done.result(JOIN_LIMIT)
        except TimeoutError:
            if done.done():
                raise
            raise RuntimeError(f"thread {self._thread.name!r} did not get to it within {JOIN_LIMIT} s") from None

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the serving thread."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """End the thread, and close what belongs to it; the owners close their sockets."""
        self._is_stopping = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(JOIN_LIMIT)
            if self._thread.is_alive():
                raise RuntimeError(f"thread {self._thread.name!r} did not end within {JOIN_LIMIT} s")
        self._selector.close()
        self._ear.close()
        self._waker.close()

    def _tell(self, owner: Served, events: int) -> None:
        try:
            owner.ready(events)
        except Exception as error:  # noqa: BLE001 - one connection must not take the others with it
            self._failed(error)
            owner.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: it is over
            self._waker.send(b"\0")

    def _run(self) -> None:
        while not self._is_stopping:
            due = self._due()
            wait = None if due is None else max(0.0, due - time.monotonic())
            for key, events in self._selector.select(wait):
                if key.data is None:
                    with contextlib.suppress(OSError):
                        self._ear.recv(4096)
                else:
                    self._tell(key.data, events)
            while self._asked:
                work, done = self._asked.popleft()
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - it is whoever asked for it that is to know
                    done.set_exception(error)
                else:
                    done.set_result(None)
            due = self._due()
            if due is not None and due <= time.monotonic():
                try:
                    self._tick()
                except Exception as error:  # noqa: BLE001 - nobody else would answer any more
                    self._failed(error)
