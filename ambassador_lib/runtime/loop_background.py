"""Work beside the caller's own on event loops: asyncio's tasks, trio's system tasks. The twin of `background`."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .background import PATIENCE, Job, Work


class Tasks:
    """At most `limit` tasks, each of the loop that it was started on."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._jobs: set[Any] = set()

    def start(self, work: Work, on_cancel: Callable[[], None]) -> Job | None:  # noqa: ARG002 - a task is cancelled
        """Start a task on the running loop."""
        with self._lock:
            self._jobs = {job for job in self._jobs if not job.is_over()}
            if len(self._jobs) >= self._limit:
                return None
        job: _AsyncioJob | _TrioJob
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            job = _TrioJob(work, self._name)
        else:
            job = _AsyncioJob(work, self._name, loop)
        with self._lock:
            self._jobs.add(job)
        return job

    def cancel(self) -> None:
        """Cancel whatever runs, on whichever loop."""
        for job in self._running():
            job.cancel()

    async def ended(self) -> None:
        """Wait until nothing runs any more on this loop, all together no longer than for one."""
        running = self._running()
        if not running:
            return
        import anyio

        with anyio.move_on_after(PATIENCE, shield=True):
            for job in running:
                await job.ended()

    def _running(self) -> list[Any]:
        with self._lock:
            return [job for job in self._jobs if not job.is_over()]


class _AsyncioJob:
    def __init__(self, work: Work, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._has_begun = self._is_cancelled = False
        self._task = loop.create_task(self._run(work), name=name)

    async def _run(self, work: Work) -> None:
        self._has_begun = True
        if self._is_cancelled:
            self._task.cancel()
        await work()

    def is_over(self) -> bool:
        return self._task.done() or self._loop.is_closed()

    def cancel(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the task with it
            if asyncio.get_running_loop() is self._loop:
                self._cancel()
                return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        """Break it off, once it has begun: a task that has not would never give back what it is to look after."""
        self._is_cancelled = True
        if self._has_begun:
            self._task.cancel()

    async def ended(self) -> bool:
        if self._loop is asyncio.get_running_loop():
            await asyncio.wait({self._task}, timeout=PATIENCE)
        return self._task.done()


class _TrioJob:
    def __init__(self, work: Work, name: str) -> None:
        import trio

        self._scope = trio.CancelScope()
        self._token = trio.lowlevel.current_trio_token()
        self._done = trio.Event()
        self._work: Work | None = work
        context = contextvars.copy_context()
        trio.lowlevel.spawn_system_task(self._run, name=name, context=context)

    async def _run(self) -> None:
        work, self._work = self._work, None
        assert work is not None, "a job runs once"
        try:
            with self._scope:
                await work()
        finally:
            self._done.set()

    def is_over(self) -> bool:
        return self._done.is_set()

    def cancel(self) -> None:
        import trio

        with suppress(RuntimeError, trio.RunFinishedError):
            if trio.lowlevel.current_trio_token() is self._token:
                self._scope.cancel()
                return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._scope.cancel)

    async def ended(self) -> bool:
        import trio

        with trio.move_on_after(PATIENCE, shield=True):
            await self._done.wait()
        return self._done.is_set()
