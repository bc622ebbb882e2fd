"""Bodies on an event loop: a response's that is watched or held back, a request's that can be sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx

from .base import BodyWatch, Clock, Pace
from .recording import Recording

if TYPE_CHECKING:
    from .loop import LoopRuntime


class WatchedBody(httpx.AsyncByteStream):
    """A response's body that tells its watch before each read, on failure and at the end."""

    def __init__(self, stream: Any, watch: BodyWatch, runtime: LoopRuntime) -> None:
        self._stream = stream
        self._watch = watch
        self._runtime = runtime
        self._keeps_deadlines: bool = getattr(stream, "keeps_deadlines", False)
        """Whether its reads end at the deadline by themselves, wherever that moves."""
        self._chunks: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None, "iterated without aiter()"
        watch = self._watch
        try:
            deadline = watch.reading()
            if self._keeps_deadlines:
                chunk = await anext(self._chunks)
            else:
                chunk = await self._runtime.within(deadline, _next_chunk(self._chunks))
            watch.received(len(chunk))
            return chunk
        except StopAsyncIteration:
            raise
        except Exception as error:
            failure = watch.failed(error)
            await self.aclose()  # as httpcore: who reads on after a failure has nothing left to close
            raise failure from error
        except BaseException:  # cancelled
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the stream below, then tell the watch."""
        try:
            await self._stream.aclose()
        finally:
            self._watch.ended()


async def _next_chunk(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks)


class PacedBody(httpx.AsyncByteStream):
    """A response's body that is let through a bit at a time."""

    def __init__(self, stream: Any, pace: Pace, clock: Clock) -> None:
        self._stream = stream
        self._pace = pace
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            left = chunk
            while left:
                count = self._pace.allow(len(left))
                if count:
                    yield left[:count]
                    left = left[count:]
                else:
                    self._pace.wait()
                    await self._clock.sleep_async(self._pace.interval)

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()


class RecordedBody(httpx.AsyncByteStream):
    """A streamed request body that can be sent again as long as its recording holds."""

    def __init__(self, stream: Any, recording: Recording) -> None:
        self.recording = recording
        self._source = aiter(stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        recording = self.recording
        for kept in list(recording.chunks):
            yield kept
        if recording.ended:
            return
        recording.wait()
        while (chunk := await self._next_chunk()) is not None:
            yield recording.add(chunk)
            recording.wait()
        recording.end()

    async def abandon(self) -> None:
        """Close the application's iterator: nobody will read on."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _next_chunk(self) -> bytes | None:
        try:
            return await anext(self._source, None)
        except BaseException as error:
            failure = self.recording.broken(error)
            if failure is error:
                raise
            raise failure from error
