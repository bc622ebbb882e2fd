"""The control thread: one per process, an asyncio loop on which everything runs that needs background I/O.

It starts with the first thing to watch and ends with the last. What is watched is given as a function that makes a
coroutine, because the coroutine is made more than once: again after a crash (with a back-off; other watches never
notice), and again in a child process after `fork()`, where only the forking thread survives.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

# `afresh` is imported first so that it runs first: what is watched is fit for use when the thread starts anew.
from . import afresh as _afresh  # noqa: F401
from .base import Clock, Random
from .loop_thread import LoopThread, Thread

MakeCoroutine = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger("ambassador_lib.control")

RESTART_BASE = 0.5
RESTART_MAX = 30.0


def restart_delay(crashes: int, random: Random) -> float:
    """Return the wait before a watch is started again after so many crashes: doubling, half of it jitter."""
    full = min(RESTART_MAX, RESTART_BASE * 2.0 ** min(crashes - 1, 16))
    return full * (0.5 + random.random() / 2)


class _Job:
    """What a watch is on the inside: a coroutine that is made, run, and made again."""

    def __init__(
        self, make: MakeCoroutine, name: str, clock: Clock, random: Random, on_ended: Callable[[_Job], None]
    ) -> None:
        self.name = name
        self.ended = threading.Event()
        self.thread: Thread | None = None
        self.task: asyncio.Task[None] | None = None
        self._make = make
        self._clock = clock
        self._random = random
        self._on_ended = on_ended

    def attach(self, thread: Thread) -> None:
        """Run on `thread` from now on; in a forked child, for the second time."""
        self.thread = thread
        self.ended = threading.Event()
        thread.jobs += 1
        thread.call(self._start)

    def abandon(self) -> None:
        """Have the task stopped; the rest happens when it has ended."""
        if self.thread is not None:
            self.thread.call(self.stop)

    def stop(self) -> None:
        """On the control thread, after `_start` (the loop keeps their order)."""
        if self.task is not None:
            self.task.cancel()

    def _start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=self.name)
        self.task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("watch %s has ended for good", self.name, exc_info=task.exception())
        self._on_ended(self)
        self.ended.set()

    async def _run(self) -> None:
        crashes = 0
        while True:
            started = self._clock.monotonic()
            try:
                return await self._make()
            except Exception:
                if self._clock.monotonic() - started > RESTART_MAX:
                    crashes = 0
                crashes += 1
                log.exception("watch %s crashed (%d in a row) and will be started again", self.name, crashes)
            await self._clock.sleep_async(restart_delay(crashes, self._random))


class Watch:
    """One thing that the control thread looks after, until it returns or is cancelled."""

    def __init__(self, control: ControlThread, job: _Job) -> None:
        self._control = control
        self._job = job

    @property
    def ended(self) -> bool:
        """True once nothing of it runs any more."""
        return self._job.ended.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` (real) seconds for its end; True when it has ended."""
        return self._job.ended.wait(timeout)

    def cancel(self, timeout: float = 1.0) -> bool:
        """End the watch and wait up to `timeout` (real) seconds for it; True when it has ended. Safe to repeat.

        With a timeout of 0, and on the control thread itself, it is only told to end.
        """
        return self._control.end(self._job, timeout)

    def abandon(self) -> None:
        """Tell it to end, taking no lock: for finalizers, which run wherever a garbage collection happens to start."""
        self._job.abandon()

    def __repr__(self) -> str:
        return f"<Watch {self._job.name} {'ended' if self.ended else 'running'}>"


class ControlThread:
    """Starts and ends the thread as watches come and go. All of a process share `ControlThread.shared()`."""

    _shared: ClassVar[ControlThread | None] = None

    def __init__(self, make_thread: Callable[[], Thread] = LoopThread) -> None:
        self._make_thread = make_thread
        # Reentrant: a signal handler may close a client while the lock is held.
        self._lock = threading.RLock()
        self._jobs: set[_Job] = set()
        self._thread: Thread | None = None
        _instances.add(self)

    @classmethod
    def shared(cls) -> ControlThread:
        """Return the one of this process."""
        with _shared_lock:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    @property
    def is_running(self) -> bool:
        """True while there is something to watch."""
        return self._thread is not None

    def watch(self, make: MakeCoroutine, *, name: str, clock: Clock, random: Random) -> Watch:
        """Run what `make` returns on the control thread, until it returns or the watch is cancelled."""
        job = _Job(make, name, clock, random, self._on_ended)
        with self._lock:
            if self._thread is None:
                self._thread = self._make_thread()
            self._jobs.add(job)
            job.attach(self._thread)
        return Watch(self, job)

    def close(self, timeout: float = 1.0) -> bool:
        """Cancel every watch; True when all have ended within `timeout` seconds together."""
        with self._lock:
            thread, jobs = self._thread, list(self._jobs)
        for job in jobs:
            self.end(job, 0)
        return thread is None or thread.join(timeout)

    def end(self, job: _Job, timeout: float) -> bool:
        """Do what `Watch.cancel` says."""
        until = time.monotonic() + timeout
        thread = job.thread
        assert thread is not None, "a job is attached when it becomes a watch"
        with self._lock:
            self._forget_locked(job)
        job.abandon()
        if timeout <= 0 or thread.is_current:
            return job.ended.is_set()
        ended = thread.wait_for(job.ended, timeout)
        return ended and (not thread.retired or thread.join(max(0.0, until - time.monotonic())))

    def hold(self) -> None:
        """Before a fork: let no other thread be in the middle of something."""
        self._lock.acquire()

    def release(self) -> None:
        """After a fork, in both processes."""
        self._lock.release()

    def start_anew(self) -> None:
        """After a fork, in the child: the thread is gone, what it watched is wanted still."""
        if self._thread is None:
            return
        # The loop of the parent is kept for good: to close it would take the parent's wake-up socket out of the epoll
        # set that both processes share.
        _lost_in_fork.append(self._thread)
        self._thread = self._make_thread()
        for job in self._jobs:
            _lost_in_fork.append(job.task)
            job.attach(self._thread)

    def _on_ended(self, job: _Job) -> None:
        """On the control thread, once for every job."""
        with self._lock:
            self._forget_locked(job)
            if job.thread is not None:
                job.thread.jobs -= 1
                job.thread.stop_when_idle()

    def _forget_locked(self, job: _Job) -> None:
        self._jobs.discard(job)
        if not self._jobs and self._thread is not None:
            self._thread.retired = True
            self._thread.stop_when_idle()
            self._thread = None

    def __repr__(self) -> str:
        return f"<ControlThread {'running' if self.is_running else 'idle'}, {len(self._jobs)} watches>"


_shared_lock = threading.Lock()
_instances: weakref.WeakSet[ControlThread] = weakref.WeakSet()
_held_for_fork: list[ControlThread] = []
_lost_in_fork: list[object] = []


def _before_fork() -> None:
    # Taken so that the child does not inherit a lock that another thread holds.
    _shared_lock.acquire()
    _held_for_fork[:] = _instances
    for control in _held_for_fork:
        control.hold()


def _after_fork() -> None:
    for control in _held_for_fork:
        control.release()
    _held_for_fork.clear()
    _shared_lock.release()


def _after_fork_in_child() -> None:
    for control in _held_for_fork:
        control.start_anew()
    _after_fork()


def _close_all() -> None:
    for control in list(_instances):
        control.close(0.5)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
atexit.register(_close_all)
