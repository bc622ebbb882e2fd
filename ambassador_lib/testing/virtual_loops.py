"""Event loops of asyncio in virtual time: those of tests, of pytest-asyncio, of anyio, of `asyncio.run`.

A loop is adopted when it turns for the first time: its clock follows the world, and where it would wait for its next
timer, the world moves on instead. On the way out everything is as it was.
"""

from __future__ import annotations

import asyncio
import threading
import time as system
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .agenda import INFINITY
from .guards import check_address
from .misuse import MisuseError
from .stepped_loop import SteppedLoop
from .turns import GRACE, Outcome, Standstill, stands_still
from .virtual_trio import check_trio

if TYPE_CHECKING:
    from .virtual_time import VirtualTime

PATIENCE = 0.5
"""Real seconds that a loop waits for something real, where nothing virtual can wake it."""
BUSY_PATIENCE = 2.0
"""Real seconds that time waits for threads of an executor, before it passes without them."""
_CONTROL = "ambassador_lib-control"


class Loops:
    """Adopts loops while virtual time is at work."""

    def __init__(self, world: VirtualTime) -> None:
        self._world = world
        self._adopted: dict[asyncio.AbstractEventLoop, AdoptedLoop] = {}
        self._is_over = False

    def __enter__(self) -> Self:
        running = asyncio._get_running_loop()
        if running is not None:
            self._adopt(running)  # may refuse it: nothing is patched yet
        base: Any = asyncio.BaseEventLoop
        self._genuine = genuine = base._run_once

        def run_once(loop: Any) -> None:
            if not self._is_over:  # somebody may have kept this function
                self._adopt(loop)
            genuine(loop)

        self._patched = base._run_once = run_once
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        base: Any = asyncio.BaseEventLoop
        if base._run_once is self._patched:
            base._run_once = self._genuine
        for adopted in list(self._adopted.values()):
            adopted.release()
        self._adopted.clear()

    def _adopt(self, loop: Any) -> None:
        if loop in self._adopted:
            return
        if not isinstance(loop, asyncio.BaseEventLoop) or not hasattr(loop, "_selector"):
            raise _does_not_follow(loop)
        thread = threading.current_thread()
        if thread.ident != self._world.owner and (
            thread.ident in self._world.turns.strangers or thread.name == _CONTROL
        ):
            return
        for other in list(self._adopted):
            if other.is_closed():
                del self._adopted[other]
            elif other.is_running():
                raise MisuseError(
                    f"virtual time is used from two event loops at the same time, {other!r} and {loop!r}: let the "
                    "test have one; an async test calls its application over httpx.ASGITransport, not TestClient"
                )
        self._adopted[loop] = AdoptedLoop(self._world, loop)

    def check(self) -> None:
        """Raise `MisuseError` where the caller's loop does not follow virtual time."""
        loop = asyncio._get_running_loop()
        if loop is None:
            check_trio(self._world)
        elif loop not in self._adopted and not isinstance(loop, SteppedLoop):
            raise _does_not_follow(loop)


def _does_not_follow(loop: object) -> MisuseError:
    return MisuseError(
        f"{loop!r} does not follow virtual time: it must be one of asyncio's own event loops (not uvloop), and run in "
        "the test's thread or in one that the test has started"
    )


class AdoptedLoop:
    """In place of a loop's selector: whatever the loop asks of it goes to its own, but for waiting."""

    def __init__(self, world: VirtualTime, loop: Any) -> None:
        self._world = world
        self._loop = loop
        self._selector = loop._selector
        self._run_in_executor = loop.run_in_executor
        self._sock_connect = loop.sock_connect
        self._in_executor: Counter[Any] = Counter()
        self._is_released = False
        self._standstill = Standstill(world.turns)
        self._polled = -1
        self._busy_since: float | None = None
        self._shift(world.monotonic() - loop.time())
        loop._selector = self
        loop.time = world.monotonic
        loop.run_in_executor = self.run_in_executor
        loop.sock_connect = self.sock_connect

    def release(self) -> None:
        """Give the loop its own clock and selector back."""
        loop = self._loop
        with self._world.turns.changed:  # it may be waiting, in a thread of its own
            self._is_released = True
            if loop._selector is self:
                loop._selector = self._selector
            before = loop.time()
            del loop.time, loop.run_in_executor, loop.sock_connect
            self._shift(loop.time() - before)

    def _shift(self, seconds: float) -> None:
        for handle in self._loop._scheduled:
            handle._when += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """As the loop's own; while it runs, time does not pass."""
        future: asyncio.Future[Any] = self._run_in_executor(executor, function, *args)
        pool = executor or self._loop._default_executor
        self._in_executor[pool] += 1

        def executed(_: object) -> None:
            self._in_executor[pool] -= 1

        future.add_done_callback(executed)
        return future

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """As the loop's own, but for simulated addresses."""
        check_address(address)
        await self._sock_connect(sock, address)

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return what is ready; where nothing is, let virtual time pass until the next timer."""
        events: list[Any] = self._selector.select(0)
        if events or (timeout is not None and timeout <= 0):
            self._standstill.count()
            self._world.run_due()
            return events
        turns = self._world.turns
        actor = turns.me()
        actor.ready, actor.until, actor.is_held = self._is_ready, self._next_timer, self._may_be_woken
        with turns.changed:
            turns.begin(actor)
        patience = system.monotonic() + PATIENCE
        try:
            while True:
                with turns.changed:
                    if self._is_released:
                        return []
                    outcome = turns.look(actor)
                if outcome is Outcome.GO:
                    return []
                if outcome is Outcome.NOTHING:
                    self._complain(patience)
                events = self._selector.select(GRACE)
                self._polled = turns.jumps
                if events:
                    return events
        finally:
            with turns.changed:
                actor.waits, actor.is_held = False, _never

    def _is_ready(self) -> bool:
        return bool(self._loop._ready)

    def _next_timer(self) -> float:
        scheduled = self._loop._scheduled
        return scheduled[0]._when if scheduled else INFINITY

    def _may_be_woken(self) -> bool:
        """Whether something real is under way: it gets a moment before each step of time."""
        if self._is_executing():
            now = system.monotonic()
            self._busy_since = self._busy_since or now
            if now - self._busy_since < BUSY_PATIENCE:
                return True
        else:
            self._busy_since = None
        return self._has_sockets() and self._polled != self._world.turns.jumps

    def _has_sockets(self) -> bool:
        registered: Any = getattr(self._selector, "get_map", dict)()
        return registered is not None and len(registered) > 1  # one is the loop's own

    def _is_executing(self) -> bool:
        """Whether threads of an executor, or of anyio, do something other than wait for virtual time."""
        if threading.active_count() == 1:
            return False
        waiting = self._world.turns.waiting()
        for thread in threading.enumerate():
            idle: Any = getattr(thread, "idle_workers", None)  # a thread of anyio's has them
            if idle is not None and getattr(thread, "loop", None) is self._loop:
                if thread not in idle and thread.ident not in waiting:
                    return True
                waiting.discard(thread.ident or 0)
        # The end of the loop's own executor has a timeout, and is worked at by a thread of nobody's.
        ends = getattr(self._loop, "_executor_shutdown_called", False) and self._loop._default_executor is not None
        return ends or any(_works(pool, count, waiting) for pool, count in self._in_executor.items() if count)

    def _complain(self, patience: float) -> None:
        """Tell the test that it waits for nothing; a loop of another thread may well wait for that thread's caller."""
        if threading.get_ident() == self._world.owner and system.monotonic() >= patience:
            raise MisuseError(stands_still("the event loop"))


def _works(pool: Any, jobs: int, waiting: set[int]) -> bool:
    """Whether one of a pool's threads does something other than wait for virtual time."""
    threads = getattr(pool, "_threads", None)
    if not isinstance(threads, set):  # processes, say
        return True
    return min(jobs, len(threads)) > sum(thread.ident in waiting for thread in list(threads))


def _never() -> bool:
    return False
