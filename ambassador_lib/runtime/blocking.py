"""The blocking runtime: waits block the thread, and its coroutines never suspend.

Its twin is `loop`; the pair differs in how to wait, how to read a body and how to record one, and in nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from .._httpx import content_of
from ..call import Deadline
from ..errors import DeadlineExpired
from .base import BodyWatch, Clock, Pace
from .recording import Recording

if TYPE_CHECKING:
    from .background import Background

T = TypeVar("T")

Wait = Callable[[Callable[[], bool], Callable[[], float], str], bool]
"""`wait(ready, until, what)`: let time pass in this thread until something is ready, or a moment comes."""


class BlockingRuntime:
    """Blocks the calling thread. Deadlines of exchanges are kept by the blocking engines' sockets."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now = clock.monotonic
        # A clock of tests that lets time pass only while somebody waits is to be asked to wait.
        self._wait: Wait | None = getattr(clock, "wait", None)

    async def sleep(self, seconds: float, deadline: Deadline) -> None:
        """Block for `seconds`; `DeadlineExpired` once the deadline has passed."""
        left = deadline.at - self.now()
        if seconds >= left:
            if left > 0:
                self.clock.sleep(left)
            raise DeadlineExpired
        if seconds > 0:
            self.clock.sleep(seconds)

    def ticket(self) -> BlockingTicket | ClockTicket:
        """Return something that this thread can wait for."""
        return BlockingTicket(self.now) if self._wait is None else ClockTicket(self._wait)

    def within(self, _deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run `work`; a blocking engine looks at the deadline at each socket operation itself."""
        return work

    async def discard(self, response: httpx.Response) -> None:
        """Close a response that nobody will read."""
        drop = getattr(response.stream, "drop", None)
        if drop is not None:
            drop()
        response.close()

    async def exhaust(self, response: httpx.Response, deadline: Deadline) -> None:
        """Read a response to its end, or to the deadline, and close it."""
        try:
            for _ in response.stream:  # type: ignore[union-attr]  # a blocking transport's response
                if self.now() >= deadline.at:
                    return
        finally:
            response.close()

    def background(self, limit: int, name: str) -> Background:
        """Return threads."""
        if self._wait is not None:
            made: Background = self.clock.background(limit, name)  # type: ignore[attr-defined]  # as `wait`
            return made
        from .background import Threads

        return Threads(limit, name)

    async def pass_on(self, transport: Any, request: httpx.Request) -> httpx.Response:
        """Hand a request to an httpx transport."""
        response: httpx.Response = transport.handle_request(request)
        return response

    def replayable(self, stream: Any, recording: Recording) -> RecordedBody:
        """Wrap a streamed request body so that it can be sent again."""
        return RecordedBody(stream, recording)

    async def drain(self, stream: Any) -> None:
        """Read a request's body to its end."""
        for _ in stream:
            pass

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
            response.stream = WatchedBody(response.stream, watch)


class BlockingTicket:
    """Waits on a `threading.Event`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._event = threading.Event()

    async def wait(self, deadline: Deadline) -> bool:
        """Block until woken; False when the deadline passed first."""
        while not self._event.is_set():
            left = deadline.at - self._now()
            if left <= 0:
                return False
            self._event.wait(min(left, threading.TIMEOUT_MAX))
        return True

    def wake(self) -> None:
        """Wake the waiter, now or when it comes."""
        self._event.set()


class ClockTicket:
    """Waits as the clock does; woken by another thread of the same clock."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._woken = False

    async def wait(self, deadline: Deadline) -> bool:
        """Wait until woken; False when the deadline passed first."""
        return self._wait(lambda: self._woken, lambda: deadline.at, "its turn")

    def wake(self) -> None:
        """Wake the waiter, now or when it comes."""
        self._woken = True


class WatchedBody(httpx.SyncByteStream):
    """A response's body that tells its watch before each read, on failure and at the end."""

    def __init__(self, stream: Any, watch: BodyWatch) -> None:
        self._stream = stream
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        watch = self._watch
        chunks = iter(self._stream)
        while True:
            watch.reading()
            try:
                chunk = next(chunks)
                watch.received(len(chunk))
            except StopIteration:
                return
            except Exception as error:
                failure = watch.failed(error)
                self.close()  # as httpcore: who reads on after a failure has nothing left to close
                raise failure from error
            yield chunk

    def close(self) -> None:
        """Close the stream below, then tell the watch."""
        try:
            self._stream.close()
        finally:
            self._watch.ended()


class PacedBody(httpx.SyncByteStream):
    """A response's body that is let through a bit at a time."""

    def __init__(self, stream: Any, pace: Pace, clock: Clock) -> None:
        self._stream = stream
        self._pace = pace
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            left = chunk
            while left:
                count = self._pace.allow(len(left))
                if count:
                    yield left[:count]
                    left = left[count:]
                else:
                    self._pace.wait()
                    self._clock.sleep(self._pace.interval)

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()


class RecordedBody(httpx.SyncByteStream):
    """A streamed request body that can be sent again as long as its recording holds.

    A try that broke off in the middle of the upload is followed by one that sends the recorded part and then goes
    on with the application's stream.
    """

    def __init__(self, stream: Any, recording: Recording) -> None:
        self.recording = recording
        self._source = iter(stream)

    def __iter__(self) -> Iterator[bytes]:
        recording = self.recording
        yield from list(recording.chunks)
        if recording.ended:
            return
        recording.wait()
        while (chunk := self._next_chunk()) is not None:
            yield recording.add(chunk)
            recording.wait()
        recording.end()

    def _next_chunk(self) -> bytes | None:
        try:
            return next(self._source, None)
        except BaseException as error:
            failure = self.recording.broken(error)
            if failure is error:
                raise
            raise failure from error
