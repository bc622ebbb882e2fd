"""The event-loop runtime: waits suspend the task, under asyncio and trio. The twin of `blocking`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from .._httpx import content_of
from ..call import INFINITY, Deadline
from ..errors import DeadlineExpired
from .base import BodyWatch, Clock, Pace
from .loop_bodies import PacedBody, RecordedBody, WatchedBody
from .recording import Recording

if TYPE_CHECKING:
    import anyio

    from .background import Background

T = TypeVar("T")


class LoopRuntime:
    """Suspends the calling task; keeps nothing of any one loop, so that a client outlives `asyncio.run`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now = clock.monotonic

    async def sleep(self, seconds: float, deadline: Deadline) -> None:
        """Suspend for `seconds`; `DeadlineExpired` once the deadline has passed."""
        left = deadline.at - self.now()
        if seconds >= left:
            if left > 0:
                await self.clock.sleep_async(left)
            raise DeadlineExpired
        if seconds > 0:
            await self.clock.sleep_async(seconds)

    def ticket(self) -> LoopTicket:
        """Return something that this task can wait for."""
        return LoopTicket(self)

    def within(self, deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run `work`, cancelled with `DeadlineExpired` when the deadline passes."""
        return Bounded(deadline, work, self.now)

    async def discard(self, response: httpx.Response) -> None:
        """Close a response that nobody will read."""
        drop = getattr(response.stream, "drop", None)
        if drop is not None:
            drop()
        await response.aclose()

    async def exhaust(self, response: httpx.Response, deadline: Deadline) -> None:
        """Read a response to its end, or to the deadline, and close it."""
        try:
            await self.within(deadline, _read_all(response.stream))
        finally:
            await response.aclose()

    def background(self, limit: int, name: str) -> Background:
        """Return tasks."""
        from .loop_background import Tasks

        return Tasks(limit, name)

    async def pass_on(self, transport: Any, request: httpx.Request) -> httpx.Response:
        """Hand a request to an httpx transport."""
        response: httpx.Response = await transport.handle_async_request(request)
        return response

    def replayable(self, stream: Any, recording: Recording) -> RecordedBody:
        """Wrap a streamed request body so that it can be sent again."""
        return RecordedBody(stream, recording)

    async def drain(self, stream: Any) -> None:
        """Read a request's body to its end; where that fails, nobody will."""
        try:
            async for _ in stream:
                pass
        except BaseException:
            if isinstance(stream, RecordedBody):
                await stream.abandon()
            raise

    def pace_body(self, response: httpx.Response, pace: Pace) -> None:
        """Let a response's body through no faster than `pace` allows."""
        if not response.is_closed:
            response.stream = PacedBody(response.stream, pace, self.clock)

    def watch_body(self, response: httpx.Response, watch: BodyWatch) -> None:
        """Have `watch` told how the body ends; what is there already, or was built with `content=`, has ended."""
        content = content_of(response.stream)
        if content is not None:
            watch.complete(len(content))
        elif response.is_closed:
            watch.ended()
        else:
            response.stream = WatchedBody(response.stream, watch, self)


class Bounded(Awaitable[T]):
    """`work` under a movable deadline, at no cost while `work` does not suspend.

    The first step is taken by hand: work that finishes in it (a mock, a cached answer) never arms a timer. Under
    asyncio one `call_later` is armed then, and expiry cancels the task as `asyncio.timeout` does; under trio the
    rest runs inside a cancel scope.
    """

    def __init__(self, deadline: Deadline, work: Coroutine[Any, Any, T], now: Callable[[], float]) -> None:
        self._deadline = deadline
        self._work = work
        self._now = now

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return (yield from _in_cancel_scope(self._deadline, self._work, self._now).__await__())
        return (yield from self._on_asyncio(loop))

    def _on_asyncio(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, T]:
        work = self._work
        outer = self._deadline.watch  # the work may be bounded further out, by the same deadline
        try:
            trap = work.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        timer = _Timer(self._deadline, self._now, loop, outer)
        try:
            while True:
                try:
                    sent = yield trap
                except BaseException as thrown:  # noqa: BLE001 - cancellation included, all goes to the work
                    trap = work.throw(thrown)
                else:
                    trap = work.send(sent)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if timer.caused_cancellation():
                raise DeadlineExpired from None
            raise
        finally:
            timer.disarm()


class _Timer:
    """Cancels the running task when a movable deadline passes (asyncio)."""

    __slots__ = ("_cancelling", "_deadline", "_expired", "_handle", "_loop", "_now", "_outer", "_task")

    def __init__(
        self,
        deadline: Deadline,
        now: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        outer: Callable[[], None] | None,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine of ours is stepped by a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._deadline = deadline
        self._now = now
        self._loop = loop
        self._expired = False
        self._handle: asyncio.TimerHandle | None = None
        self._outer = outer
        deadline.watch = self._moved
        self._arm()

    def _moved(self) -> None:
        self._arm()
        if self._outer is not None:
            self._outer()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._deadline.at != INFINITY and not self._expired:
            self._handle = self._loop.call_later(max(0.0, self._deadline.at - self._now()), self._fire)

    def _fire(self) -> None:
        if self._now() < self._deadline.at:  # moved, or the loop's clock runs ahead of ours
            self._arm()
            return
        self._expired = True
        self._task.cancel()

    def caused_cancellation(self) -> bool:
        """Whether the cancellation in flight is ours alone (the rule of `asyncio.timeout`)."""
        if not self._expired:
            return False
        self._expired = False
        return self._task.uncancel() <= self._cancelling

    def disarm(self) -> None:
        self._deadline.watch = self._outer
        if self._handle is not None:
            self._handle.cancel()
        if self._expired:  # the work ended by itself in the very step that brought our cancellation
            self._task.uncancel()


async def _in_cancel_scope(deadline: Deadline, work: Coroutine[Any, Any, T], now: Callable[[], float]) -> T:
    import anyio  # 20 ms and 1 MB, which asyncio's calls do without

    def scope_deadline() -> float:
        # The difference first: where both clocks are one, the sum is exact, and not a little early.
        return INFINITY if deadline.at == INFINITY else anyio.current_time() + (deadline.at - now())

    def move() -> None:
        scope.deadline = scope_deadline()
        if outer is not None:
            outer()

    with anyio.CancelScope(deadline=scope_deadline()) as scope:
        outer, deadline.watch = deadline.watch, move
        try:
            return await work
        finally:
            deadline.watch = outer
    raise DeadlineExpired


class LoopTicket:
    """Waits on an event of the running loop; may be woken from any thread."""

    def __init__(self, runtime: LoopRuntime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._woken = False
        self._notify: Callable[[], object] | None = None

    async def wait(self, deadline: Deadline) -> bool:
        """Suspend until woken; False when the deadline passed first."""
        import anyio

        event = anyio.Event()
        with self._lock:
            if self._woken:
                return True
            self._notify = from_any_thread(event)
        try:
            await self._runtime.within(deadline, event.wait())
        except DeadlineExpired:
            return self._woken
        return True

    def wake(self) -> None:
        """Wake the waiter, now or when it comes."""
        with self._lock:
            self._woken = True
            notify = self._notify
        if notify is not None:
            with suppress(RuntimeError):  # the waiter's loop has ended, and the waiter with it
                notify()


def from_any_thread(event: anyio.Event) -> Callable[[], object]:
    """Return what sets an event of the running loop from whatever thread."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        token = trio.lowlevel.current_trio_token()
        return lambda: token.run_sync_soon(event.set)
    return lambda: loop.call_soon_threadsafe(event.set)


async def _read_all(stream: Any) -> None:
    async for _ in stream:
        pass
