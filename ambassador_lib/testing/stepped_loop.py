"""The loop under discovery and health checks in virtual time: no thread runs it, events of the world step it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agenda import Event
    from .virtual_time import VirtualTime


class _Timer(asyncio.TimerHandle):
    """A timer that leaves nothing in the agenda when it is cancelled."""

    event: Event | None = None

    def cancel(self) -> None:
        if not self.cancelled():
            super().cancel()
            if self.event is not None:
                self.event.cancel()


class SteppedLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose callbacks are events of virtual time, whoever lets it pass: a thread, asyncio or trio."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._world = time
        self.is_stepping = False

    def time(self) -> float:
        """Return virtual seconds."""
        return self._world.monotonic()

    def call_soon(  # type: ignore[override]  # the same, without the types of the arguments
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Have it called at this instant."""
        handle = asyncio.Handle(callback, args, self, context)
        self._world.call_at(self.time(), lambda: self._step(handle), beside=True)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # as above

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Have it called at that time."""
        handle = _Timer(when, callback, args, self, context)
        handle.event = self._world.call_at(when, lambda: self._step(handle), beside=True)
        return handle

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002
        """Call it at once: nothing takes time that is not virtual."""
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it wants to know
            future.set_exception(error)
        return future

    def call_soon_close(self) -> None:
        """Close, after what is due before."""
        self._world.call_at(self.time(), self.close, beside=True)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """`_Timer` has seen to it."""

    def _step(self, handle: asyncio.Handle) -> None:
        if handle.cancelled() or self.is_closed():
            return
        # Whatever runs in this thread, an event loop or trio, does not see that another one has its moment.
        outside = asyncio._get_running_loop()
        sniffed = getattr(sys.modules.get("sniffio"), "thread_local", None)
        name = getattr(sniffed, "name", None)
        asyncio._set_running_loop(self)
        if name is not None:
            sniffed.name = None  # type: ignore[union-attr]
        self.is_stepping = True
        try:
            handle._run()
        finally:
            self.is_stepping = False
            asyncio._set_running_loop(outside)
            if name is not None:
                sniffed.name = name  # type: ignore[union-attr]


class SteppedThread:
    """In place of the control thread's thread: see `runtime.loop_thread.LoopThread`."""

    def __init__(self, time: VirtualTime) -> None:
        self.jobs = 0
        self.retired = False
        self._time = time
        self._loop = SteppedLoop(time)

    @property
    def is_current(self) -> bool:
        return self._loop.is_stepping

    def call(self, function: Callable[[], object]) -> None:
        # In a context of its own: that of whoever asks may belong to trio.
        if not self._loop.is_closed():
            self._loop.call_soon(function, context=contextvars.Context())

    def wait_for(self, ended: threading.Event, timeout: float) -> bool:  # noqa: ARG002 - it takes no time
        self._time.run_due()
        return ended.is_set()

    def stop_when_idle(self) -> None:
        if self.retired and self.jobs == 0:
            self._time.call_at(self._time.monotonic(), self._end_strays, beside=True)

    def _end_strays(self) -> None:
        """Cancel whatever the watches may have left behind, then close."""
        if not self._loop.is_closed():
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._time.call_at(self._time.monotonic(), self._loop.call_soon_close, beside=True)

    def join(self, timeout: float) -> bool:  # noqa: ARG002 - it takes no time
        self._time.run_due()
        return self.jobs == 0
