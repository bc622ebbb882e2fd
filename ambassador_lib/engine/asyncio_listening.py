"""Listening while a request is being sent, on asyncio and uvloop: the loop tells of what comes, and no task waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .wire import OVERHEARD, PeerReset


class Listening:
    """What one upload hears; made by the task that sends it. `take` returns what has come, `None` for nothing yet."""

    def __init__(self, take: Callable[[], bytes | None], hear: Callable[[bytes], bool]) -> None:
        task = asyncio.current_task()
        assert task is not None, "requests are sent by tasks"
        self._task = task
        self._cancelling = task.cancelling()
        self._take = take
        self._hear = hear
        self._overheard = 0
        self._is_deaf = False
        self._is_cut = False
        self._is_sending = False
        self._failure: Exception | None = None

    def news(self) -> None:
        """Something has come, the end perhaps."""
        try:
            while not self._is_deaf and (data := self._take()) is not None:
                self._overheard += len(data)
                if self._hear(data):
                    self._cut()
                self._is_deaf |= not data or self._overheard >= OVERHEARD
        except PeerReset:  # sending finds out itself
            self._is_deaf = True
        except Exception as error:  # noqa: BLE001 - for whoever sends; the loop would close the connection
            self._failure = error
            self._cut()

    def _cut(self) -> None:
        self._is_deaf = self._is_cut = True
        if self._is_sending:
            self._task.cancel()

    async def during(self, sending: Coroutine[Any, Any, None]) -> bool:
        """Run `sending`, unless what has come or comes meanwhile ends it; whether it came to its end."""
        self.news()
        if self._was_cut():
            sending.close()
            return self._told()
        self._is_sending = True
        try:
            await sending
        except asyncio.CancelledError:
            if not self._was_cut() or self._task.uncancel() > self._cancelling:
                raise
            return self._told()
        except BaseException:
            self._calm_down()
            raise
        self._calm_down()
        return True

    def _told(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return False

    def _calm_down(self) -> None:
        """Take a cancellation back that `sending` has turned into something else."""
        if self._was_cut():
            self._task.uncancel()

    def _was_cut(self) -> bool:
        return self._is_cut
