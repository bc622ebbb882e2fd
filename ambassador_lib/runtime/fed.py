"""A request's body for a second reader: it follows the recording that the first one makes of the application's stream.

What is not read yet is kept, up to a bound; a reader that falls further behind is broken off, so that it can neither
hold the first one up nor the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from ..call import Deadline
from .base import Ticket
from .stepping import run_sync

LAG = 16 * 1024 * 1024
"""Bytes that a reader may be behind."""


class BrokenOff(Exception):  # noqa: N818 - a signal to the reader's own exchange, seen by nobody else
    """The first reader ended early, or this one is too slow."""


class FedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Written by one, read by another, on one loop or in two threads."""

    def __init__(self, ticket: Callable[[], Ticket], deadline: Deadline) -> None:
        self._make_ticket = ticket
        self._deadline = deadline
        self._chunks: deque[bytes] = deque()
        self._lag = 0
        self._over = False
        self._broken = False
        self._ticket: Ticket | None = None

    def put(self, chunk: bytes) -> None:
        """One more chunk."""
        if self._over:
            return
        self._lag += len(chunk)
        if self._lag > LAG:
            self.break_off()
            return
        self._chunks.append(chunk)
        self._wake()

    def end(self) -> None:
        """The body is whole."""
        self._over = True
        self._wake()

    def break_off(self) -> None:
        """No more comes, and the body is not whole; nothing happens where it is."""
        if not self._over:
            self._broken = self._over = True
            self._chunks.clear()
            self._wake()

    def _wake(self) -> None:
        ticket = self._ticket
        if ticket is not None:
            ticket.wake()

    async def _next(self) -> bytes | None:
        while True:
            # The ticket is there before the look: what comes after the look wakes it.
            ticket = self._ticket = self._make_ticket()
            if self._broken:
                raise BrokenOff
            over = self._over  # asked first: nothing comes after the end
            if self._chunks:
                chunk = self._chunks.popleft()
                self._lag -= len(chunk)
                return chunk
            if over:
                return None
            if not await ticket.wait(self._deadline):
                raise BrokenOff

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := run_sync(self._next())) is not None:
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._next()) is not None:
            yield chunk
