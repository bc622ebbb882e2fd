"""Work with I/O that is repeated on the control thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .base import Clock


async def repeat(work: Callable[[float], None], every: float, clock: Clock) -> None:
    """Call `work(now)` every `every` seconds, off the loop since it may block."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(None, work, clock.monotonic())
        await clock.sleep_async(every)
