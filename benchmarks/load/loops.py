"""The closed and the open loop, for blocking and for async calls.

Every turn is bounded: a closed loop by its seconds, an open one by its own seconds of grace, and each by `LIMIT` for
calls that do not come back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from .arrivals import SECOND, Arrivals
from .pacer import Pacer
from .turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from ..contestants.base import AsyncCall, SyncCall

LIMIT = 30.0
"""Seconds after which calls under way are given up."""

_clock = time.perf_counter_ns


class StuckError(Exception):
    """Calls did not come back."""


def closed(call: SyncCall, callers: int, seconds: float) -> Turn:
    """Let threads call, each again as soon as it has its answer, and at least once."""
    if callers == 1:
        turn = Turn()
        _call_until(_clock() + round(seconds * SECOND), call, turn)
        return turn
    return _in_threads(callers, lambda turn: _call_until(_clock() + round(seconds * SECOND), call, turn))


async def closed_async(call: AsyncCall, callers: int, seconds: float) -> Turn:
    """Let tasks call, each again as soon as it has its answer, and at least once."""
    turn = Turn()
    end = _clock() + round(seconds * SECOND)

    async def caller() -> None:
        while True:
            begin = _clock()
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                turn.fail(error)
            else:
                turn.answer(begin, _clock())
            if _clock() >= end:
                return

    await _in_tasks(callers, caller, seconds)
    return turn


def opened(call: SyncCall, callers: int, seconds: float, rate: float) -> Turn:
    """Let calls arrive; at most `callers` threads make them."""
    arrivals = Arrivals(rate, seconds, _clock(), grace=seconds)
    lock = threading.Lock()

    def caller(turn: Turn) -> None:
        while True:
            with lock:
                due = arrivals.take(_clock())
            if due is None:
                return
            if (early := due - _clock()) > 0:
                time.sleep(early / SECOND)
            try:
                call()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                turn.fail(error)
            else:
                turn.answer(due, _clock())

    whole = _in_threads(min(callers, arrivals.count), caller)
    whole.omit(arrivals.given_up(_clock()))
    return whole


async def opened_async(call: AsyncCall, callers: int, seconds: float, rate: float) -> Turn:
    """Let calls arrive; at most `callers` tasks make them."""
    turn = Turn()
    arrivals = Arrivals(rate, seconds, _clock(), grace=seconds)
    pacer = Pacer()

    async def caller() -> None:
        while (due := arrivals.take(_clock())) is not None:
            await pacer.until(due)
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                turn.fail(error)
            else:
                turn.answer(due, _clock())

    try:
        await _in_tasks(min(callers, arrivals.count), caller, 2 * seconds)
    finally:
        pacer.close()
    turn.omit(arrivals.given_up(_clock()))
    return turn


def _call_until(end: int, call: SyncCall, turn: Turn) -> None:
    while True:
        begin = _clock()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            turn.fail(error)
        else:
            turn.answer(begin, _clock())
        if _clock() >= end:
            return


def _in_threads(count: int, caller: Callable[[Turn], None]) -> Turn:
    """Run `count` callers, each with a turn of its own: appending to one would be what they wait for."""
    turns = [Turn() for _ in range(count)]
    threads = [threading.Thread(target=caller, args=(turn,), daemon=True) for turn in turns]
    for thread in threads:
        thread.start()
    whole = Turn()
    end = time.monotonic() + LIMIT
    for thread, turn in zip(threads, turns, strict=True):
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            raise StuckError(f"calls did not come back within {LIMIT:g} s")
        whole.add(turn)
    return whole


async def _in_tasks(count: int, caller: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    tasks = [asyncio.create_task(caller()) for _ in range(count)]
    _, pending = await asyncio.wait(tasks, timeout=seconds + LIMIT)
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if pending:
        raise StuckError(f"calls did not come back within {LIMIT:g} s")
