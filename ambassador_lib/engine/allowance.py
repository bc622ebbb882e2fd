"""How long an upstream may take to be connected to on asyncio: its own time, and not that of a loop which is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..call import INFINITY
from ..errors import connect_timeout

T = TypeVar("T")

LOOKS = 4
"""Looks at a connection within its timeout. However late one of them is, it charges no more than one that is not."""
EXCUSES = 16
"""Looks that may find something which has come and was not taken yet: no peer lives on by dripping."""


class Allowance:
    """The seconds that an upstream has for being connected to, TLS included.

    Only waits for the peer are charged. What the peer has done is asked for at the socket: a connection that the
    system has made, or bytes that it has received, are not overdue because the loop has not come to them yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._left = seconds
        self._pace = seconds / LOOKS
        self._excuses = EXCUSES
        self._since = 0.0
        self._waits: list[Callable[[], bool]] = []
        self._scope = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def of(self, work: Coroutine[object, object, T]) -> T:
        """Do `work`; `UpstreamConnectError` where the peer takes too long. Once."""
        self._arm()
        try:
            async with self._scope:
                return await work
        except TimeoutError:
            raise connect_timeout() from None
        finally:
            if self._timer is not None:
                self._timer.cancel()

    @contextmanager
    def waiting(self, has_acted: Callable[[], bool]) -> Iterator[None]:
        """Within, the peer is waited for; `has_acted` says whether it has done its part."""
        if not self._waits:
            self._since = self._loop.time()
        self._waits.append(has_acted)
        try:
            yield
        finally:
            self._waits.remove(has_acted)

    def _arm(self) -> None:
        if self._left != INFINITY:
            self._timer = self._loop.call_later(min(self._pace, self._left), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if any(has_acted() for has_acted in self._waits):
            self._excuses -= 1
        elif self._waits:
            self._left -= min(now - self._since, self._pace)
        self._since = now
        if self._left > 0 and self._excuses > 0:
            self._arm()
        else:
            self._scope.reschedule(now)
