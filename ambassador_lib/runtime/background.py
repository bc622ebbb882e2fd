"""Work beside the caller's own: shadows of requests, and tries that race. Threads under a blocking caller.

Its twin for event loops is `loop_background`. Both are bounded, and `cancel` ends whatever still runs.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from .afresh import after_fork
from .stepping import run_sync

IDLE = 5.0
"""Seconds for which a thread without work is kept."""
PATIENCE = 1.0
"""Seconds that work which was told to end may take to do so."""

_log = logging.getLogger("ambassador_lib.background")

Work = Callable[[], Coroutine[Any, Any, None]]
"""Makes the coroutine; it sees to its own errors."""


class Job(Protocol):
    """Work that was started."""

    def cancel(self) -> None:
        """Tell it to end."""

    async def ended(self) -> bool:
        """Wait until it has, for a moment; whether it has."""


class Background(Protocol):
    """Where work runs beside the caller."""

    def start(self, work: Work, on_cancel: Callable[[], None]) -> Job | None:
        """Run `work`; `None` where too much runs already.

        `on_cancel` breaks off what the work waits for: called by `cancel`, where nothing else can interrupt it.
        """

    def cancel(self) -> None:
        """Tell all of it to end."""

    async def ended(self) -> None:
        """Wait for a moment until all of it has."""


class Threads:
    """At most `limit` daemon threads, made when there is work and kept for a while; forks begin without any.

    After `cancel` none is kept: a client that was closed leaves no thread behind.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._idle = IDLE
        self.start_afresh()
        after_fork(self)

    def start_afresh(self) -> None:
        """Forget the threads of the process that this one was forked from."""
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_ThreadJob | None] = queue.SimpleQueue()
        self._threads = 0
        self._free = 0
        self._jobs: set[_ThreadJob] = set()

    def start(self, work: Work, on_cancel: Callable[[], None]) -> Job | None:
        """Hand `work` to a free thread, or to a new one."""
        job = _ThreadJob(work, on_cancel)
        with self._lock:
            if self._free > 0:
                self._free -= 1
            elif self._threads >= self._limit or not self._begin_thread():
                return None
            self._jobs.add(job)
            self._queue.put(job)
        return job

    def _begin_thread(self) -> bool:
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:  # the system gives no more of them, or the interpreter ends
            return False
        self._threads += 1
        return True

    def _run(self) -> None:
        own = self._queue  # of this process: a fork has another
        while True:
            try:
                job = own.get(timeout=self._idle)
            except queue.Empty:
                with self._lock:
                    if own.empty():
                        self._free -= 1
                        self._threads -= 1
                        return
                continue
            if job is None:  # not counted any more
                return
            try:
                job.run()
            finally:
                with self._lock:
                    self._jobs.discard(job)
                    self._free += 1
            del job  # keeps nothing alive while there is nothing to do

    def cancel(self) -> None:
        """Break off whatever runs, and send home who has nothing to do; the others go when they are done."""
        with self._lock:
            self._idle = 0.0
            for _ in range(self._free):
                self._queue.put(None)
            self._threads -= self._free
            self._free = 0
        for job in self._running():
            job.cancel()

    async def ended(self) -> None:
        """Wait until nothing runs any more, all together no longer than for one."""
        for job in self._running():
            if not await job.ended():
                return

    def _running(self) -> list[_ThreadJob]:
        with self._lock:
            return list(self._jobs)


class _ThreadJob:
    def __init__(self, work: Work, on_cancel: Callable[[], None]) -> None:
        self._work: Work | None = work
        self._context = contextvars.copy_context()
        self._done = threading.Event()
        self._on_cancel = on_cancel

    def run(self) -> None:
        work, self._work = self._work, None
        assert work is not None, "a job runs once"
        try:
            self._context.run(run_sync, work())
        except BaseException:  # noqa: BLE001 - told to whom it concerns; the thread is for others, too
            _log.debug("work beside a call has failed", exc_info=True)
        finally:
            self._done.set()

    def cancel(self) -> None:
        if not self._done.is_set():
            self._on_cancel()

    async def ended(self) -> bool:
        return self._done.wait(PATIENCE)
