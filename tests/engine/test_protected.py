"""What a connection that others share has begun to send, or to close, is done to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio.testing

from ambassador_lib.engine.loop import LoopNetwork
from ambassador_lib.engine.wire import CLEANING_UP
from ambassador_lib.runtime.clock import SystemClock

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
LIMIT = 30.0
"""Seconds that nothing here takes, on a busy machine either."""


def run(backend: str, main: Callable[[LoopNetwork], Awaitable[None]], **options: Any) -> None:
    async def bounded() -> None:
        with anyio.fail_after(LIMIT):  # of the loop's own clock
            await main(LoopNetwork(SystemClock().monotonic))

    anyio.run(bounded, backend=backend, backend_options=options)


def test_it_may_take_its_time() -> None:
    """A peer that reads slowly holds a write up for longer than cleaning up may take: nobody has been cancelled."""
    ended: list[float] = []

    async def slow() -> None:
        await trio.sleep(10 * CLEANING_UP)
        ended.append(trio.current_time())

    async def main(network: LoopNetwork) -> None:
        began = trio.current_time()
        await network.protected(slow())
        assert [time - began for time in ended] == [pytest.approx(10 * CLEANING_UP)]

    run("trio", main, clock=trio.testing.MockClock(autojump_threshold=0.0))


@BACKENDS
def test_it_goes_on_where_the_caller_is_cancelled(backend: str) -> None:
    """The caller leaves at once, and what it has begun is done all the same."""

    async def main(network: LoopNetwork) -> None:
        begun, go, ended = anyio.Event(), anyio.Event(), anyio.Event()

        async def work() -> None:
            begun.set()
            await go.wait()
            ended.set()

        async with anyio.create_task_group() as group:
            group.start_soon(network.protected, work())
            await begun.wait()
            group.cancel_scope.cancel()
        assert not ended.is_set()
        go.set()
        await ended.wait()

    run(backend, main)


def test_a_moment_after_the_caller_it_is_cut() -> None:
    """Nobody waits any more: what a peer does not take within that moment is given up, and so told to the work."""
    ended: list[float] = []

    async def stuck() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async def main(network: LoopNetwork) -> None:
        began = trio.current_time()
        with anyio.move_on_after(1.0):
            await network.protected(stuck())
        await trio.sleep(10 * CLEANING_UP)
        assert [time - began for time in ended] == [pytest.approx(1.0 + CLEANING_UP)]

    run("trio", main, clock=trio.testing.MockClock(autojump_threshold=0.0))


@BACKENDS
def test_its_failure_is_the_callers(backend: str) -> None:
    """Whoever waits is told."""

    async def work() -> None:
        raise ZeroDivisionError

    async def main(network: LoopNetwork) -> None:
        with pytest.raises(ZeroDivisionError):
            await network.protected(work())

    run(backend, main)
