"""Waiting in an event loop to the microsecond: asyncio's own timers come up to a millisecond late.

A millisecond is many times what is measured here, and would be added to everybody's latency in an open loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import os
import time
from contextlib import suppress

_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1
SECOND = 1_000_000_000


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long), ("value_ns", ctypes.c_long),
    )  # fmt: skip


class Pacer:
    """Wakes tasks when their time has come, by Linux's timerfd where there is one, else by the loop's timers."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = -1
        with suppress(AttributeError):
            self._timer = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._timer >= 0:
            self._loop.add_reader(self._timer, self._tick)

    async def until(self, due: int) -> None:
        """Return at `due` nanoseconds of `time.perf_counter_ns`, or at once where that is past."""
        now = time.perf_counter_ns()
        if due <= now:
            return
        if self._timer < 0:
            await asyncio.sleep((due - now) / SECOND)
            return
        woken = self._loop.create_future()
        heapq.heappush(self._waiting, (due, next(self._numbers), woken))
        if self._waiting[0][2] is woken:
            self._arm()
        await woken

    def close(self) -> None:
        if self._timer >= 0:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)
            self._timer = -1

    def _tick(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._timer, 8)
        now = time.perf_counter_ns()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][2].done()):
            _, _, woken = heapq.heappop(self._waiting)
            if not woken.done():
                woken.set_result(None)
        self._arm()

    def _arm(self) -> None:
        if self._waiting:
            seconds, nanoseconds = divmod(self._waiting[0][0], SECOND)
            self._libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(_Spec(0, 0, seconds, nanoseconds)), None)
