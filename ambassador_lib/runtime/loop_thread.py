"""The thread under the control thread's watches: an event loop that runs until it is told that nobody needs it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

STRAYS_TIMEOUT = 1.0
"""Seconds that a task which outlived its watch has to clean up."""
WARM_UP_TIMEOUT = 5.0
"""Seconds that whoever starts the thread waits for its imports."""


class Thread(Protocol):
    """What runs watches: a thread with an event loop, or what does its work under virtual time."""

    jobs: int
    retired: bool

    @property
    def is_current(self) -> bool:
        """Whether the caller is run by it."""

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` there; nothing happens when it has ended."""

    def wait_for(self, ended: threading.Event, timeout: float) -> bool:
        """Wait up to `timeout` (real) seconds for what ends there."""

    def stop_when_idle(self) -> None:
        """End it if it is retired and has nothing to do."""

    def join(self, timeout: float) -> bool:
        """Wait for its end; whether it has ended."""


class LoopThread:
    """A daemon thread that runs an event loop until it is retired and its last watch has ended.

    Whoever starts it waits for its imports: a fork in the middle of one would leave the child half a module for ever.
    """

    def __init__(self) -> None:
        self.jobs = 0
        self.retired = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ambassador_lib-control", daemon=True)
        self._warm = threading.Event()
        self._thread.start()
        self._warm.wait(WARM_UP_TIMEOUT)

    @property
    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` on the loop; nothing happens when the loop has ended.

        In a context of its own: what is watched belongs to no call. With the caller's, anyio and sniffio would take the
        loop for the caller's trio, and a health check would be a child of whichever span was open.
        """
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, context=contextvars.Context())

    def wait_for(self, ended: threading.Event, timeout: float) -> bool:
        return ended.wait(timeout)

    def stop_when_idle(self) -> None:
        if self.retired and self.jobs == 0:
            self.call(self._loop.stop)

    def join(self, timeout: float) -> bool:
        if self.is_current:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        loop = self._loop
        try:
            try:
                loop.run_until_complete(_warm_up())
            finally:
                self._warm.set()
            loop.run_forever()
            loop.run_until_complete(_end_strays())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


async def _warm_up() -> None:
    import anyio  # brings its parts, the one for asyncio among them, when they are first used

    with anyio.move_on_after(1):
        await anyio.sleep(0)  # noqa: ASYNC115 - what is wanted is the import that it makes


async def _end_strays() -> None:
    """Cancel whatever the watches may have left behind."""
    strays = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in strays:
        task.cancel()
    if strays:
        await asyncio.wait(strays, timeout=STRAYS_TIMEOUT)
