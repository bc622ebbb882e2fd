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
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from .base import Clock, Random

T = TypeVar("T")
MakeCoroutine = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger("ambassador_lib.control")

RESTART_BASE = 0.5
RESTART_MAX = 30.0


def restart_delay(crashes: int, random: Random) -> float:
    """Return the wait before a watch is started again after so many crashes: doubling, half of it jitter."""
    full = min(RESTART_MAX, RESTART_BASE * 2.0 ** min(crashes - 1, 16))
    return full * (0.5 + random.random() / 2)


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` for at most `seconds` of the injected clock; then it is cancelled and `TimeoutError` raised."""
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep_async(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        timer.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)


class Watch:
    """One thing that the control thread looks after, until it returns or is cancelled."""

    def __init__(self, control: ControlThread, make: MakeCoroutine, name: str, clock: Clock, random: Random) -> None:
        self.name = name
        self._control = control
        self._make = make
        self._clock = clock
        self._random = random
        self._task: asyncio.Task[None] | None = None
        self._thread: _LoopThread | None = None
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """True once nothing of it runs any more."""
        return self._ended.is_set()

    def cancel(self, timeout: float = 1.0) -> bool:
        """End the watch and wait up to `timeout` (real) seconds for it; True when it has ended. Safe to repeat.

        With a timeout of 0, and on the control thread itself, it is only told to end.
        """
        return self._control._cancel(self, timeout)

    def _attach(self, thread: _LoopThread) -> None:
        """Run on `thread` from now on; in a forked child, for the second time."""
        self._thread = thread
        self._ended = threading.Event()
        thread.running += 1
        thread.call(self._start)

    def _start(self) -> None:
        """On the control thread."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)
        self._task.add_done_callback(self._on_done)

    def _stop(self) -> None:
        """On the control thread, after `_start` (the loop keeps their order)."""
        if self._task is not None:
            self._task.cancel()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("watch %s has ended for good", self.name, exc_info=task.exception())
        self._ended.set()
        self._control._on_ended(self)

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

    def __repr__(self) -> str:
        return f"<Watch {self.name} {'ended' if self.ended else 'running'}>"


class _LoopThread:
    """A daemon thread that runs an event loop until it is retired and its last watch has ended."""

    def __init__(self) -> None:
        self.running = 0
        self.retired = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ambassador_lib-control", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` on the loop; nothing happens when the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def stop_when_idle(self) -> None:
        if self.retired and self.running == 0:
            self.call(self._loop.stop)

    def join(self, timeout: float) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        loop = self._loop
        try:
            loop.run_forever()
            loop.run_until_complete(_end_strays())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


async def _end_strays() -> None:
    """Cancel whatever the watches may have left behind."""
    strays = asyncio.all_tasks() - {asyncio.current_task()}
    for task in strays:
        if task is not None:
            task.cancel()
    await asyncio.gather(*[task for task in strays if task is not None], return_exceptions=True)


class ControlThread:
    """Starts and ends the thread as watches come and go. All of a process share `ControlThread.shared()`."""

    _shared: ClassVar[ControlThread | None] = None

    def __init__(self) -> None:
        # Reentrant: a garbage collection under the lock may finalize a client, which cancels its watches.
        self._lock = threading.RLock()
        self._watches: set[Watch] = set()
        self._thread: _LoopThread | None = None
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
        watch = Watch(self, make, name, clock, random)
        with self._lock:
            if self._thread is None:
                self._thread = _LoopThread()
            self._watches.add(watch)
            watch._attach(self._thread)
        return watch

    def close(self, timeout: float = 1.0) -> bool:
        """Cancel every watch; True when all have ended within `timeout` seconds together."""
        with self._lock:
            watches = list(self._watches)
            threads = {watch._thread for watch in watches}
        until = time.monotonic() + timeout
        for watch in watches:
            watch.cancel(0)
        return all([t is None or t.is_current or t.join(max(0.0, until - time.monotonic())) for t in threads])

    def _cancel(self, watch: Watch, timeout: float) -> bool:
        until = time.monotonic() + timeout
        with self._lock:
            thread = watch._thread
            self._forget_locked(watch)
        if thread is None:
            return watch.ended
        thread.call(watch._stop)
        if timeout <= 0 or thread.is_current:
            return watch.ended
        ended = watch._ended.wait(timeout)
        if thread.retired:
            return thread.join(max(0.0, until - time.monotonic())) and ended
        return ended

    def _on_ended(self, watch: Watch) -> None:
        """On the control thread, once for every watch."""
        with self._lock:
            thread = watch._thread
            self._forget_locked(watch)
            if thread is not None:
                thread.running -= 1
                thread.stop_when_idle()

    def _forget_locked(self, watch: Watch) -> None:
        self._watches.discard(watch)
        if not self._watches and self._thread is not None:
            self._thread.retired = True
            self._thread.stop_when_idle()
            self._thread = None

    def _start_anew_in_child(self) -> None:
        """After `fork()`: the thread is gone, what it watched is wanted still."""
        if self._thread is None:
            return
        # The loop of the parent is kept for good: to close it would take the parent's wake-up socket out of the epoll
        # set that both processes share.
        _lost_in_fork.append(self._thread)
        self._thread = _LoopThread()
        for watch in self._watches:
            _lost_in_fork.append(watch._task)
            watch._attach(self._thread)

    def __repr__(self) -> str:
        return f"<ControlThread {'running' if self.is_running else 'idle'}, {len(self._watches)} watches>"


_shared_lock = threading.Lock()
_instances: weakref.WeakSet[ControlThread] = weakref.WeakSet()
_lost_in_fork: list[object] = []
_held_for_fork: list[ControlThread] = []


def _before_fork() -> None:
    # Taken so that the child does not inherit a lock that another thread holds.
    _shared_lock.acquire()
    _held_for_fork[:] = list(_instances)
    for control in _held_for_fork:
        control._lock.acquire()


def _after_fork() -> None:
    for control in _held_for_fork:
        control._lock.release()
    _held_for_fork.clear()
    _shared_lock.release()


def _after_fork_in_child() -> None:
    for control in _held_for_fork:
        control._start_anew_in_child()
    _after_fork()


def _close_all() -> None:
    for control in list(_instances):
        control.close(0.5)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
atexit.register(_close_all)
