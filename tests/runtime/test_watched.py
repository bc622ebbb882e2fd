"""Who keeps the deadline while a response's body is read on a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.errors import DeadlineExpired
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.runtime.loop import LoopRuntime


class Watch:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def reading(self) -> Deadline:
        """Return a deadline that has passed already: whoever looks at it ends the read."""
        return Deadline(0.0)

    def received(self, size: int) -> None:
        """Note the bytes."""
        self.told.append(size)

    def complete(self, size: int) -> None:
        """Note that all was there."""
        self.told.append(("complete", size))

    def failed(self, error: Exception) -> Exception:
        """Note the failure."""
        self.told.append(type(error))
        return error

    def ended(self) -> None:
        """Note the end."""
        self.told.append("ended")


class Body(httpx.AsyncByteStream):
    """Waits for a few turns of the loop before each chunk."""

    def __init__(self, *, keeps_deadlines: bool) -> None:
        self.keeps_deadlines = keeps_deadlines

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in (b"one", b"two"):
            for _ in range(5):
                await asyncio.sleep(0)
            yield chunk


def read(response: httpx.Response) -> list[Any]:
    """Have a body read to its end, and return what its watch was told."""
    watch = Watch()

    async def run() -> None:
        LoopRuntime(SystemClock()).watch_body(response, watch)
        await response.aread()

    asyncio.run(run())
    return watch.told


def test_a_body_that_keeps_deadlines_is_read_without_a_timer() -> None:
    """Nobody else looks at the deadline, which would have ended the read here."""
    assert [3, 3, "ended"] == read(httpx.Response(200, stream=Body(keeps_deadlines=True)))


def test_any_other_body_is_cancelled_at_the_deadline() -> None:
    """The wait for it is bounded from outside."""
    with pytest.raises(DeadlineExpired):
        read(httpx.Response(200, stream=Body(keeps_deadlines=False)))


@pytest.mark.parametrize("given", [{"content": b"four"}, {"stream": httpx.ByteStream(b"four")}])
def test_what_is_there_whole_has_ended(given: dict[str, Any]) -> None:
    """It is counted and ended at once, and stays as it is."""
    response = httpx.Response(200, **given)
    stream = response.stream
    assert [("complete", 4)] == read(response)
    assert stream is response.stream
