"""The system's time: the one place that reads it."""

from __future__ import annotations

import time as system


class SystemClock:
    """Real time; the default `clock`."""

    monotonic = staticmethod(system.monotonic)
    time = staticmethod(system.time)
    time_ns = staticmethod(system.time_ns)
    sleep = staticmethod(system.sleep)

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the task, under asyncio and trio alike."""
        import anyio  # takes 10 ms, which a blocking client need not

        await anyio.sleep(seconds)

    def __repr__(self) -> str:
        return "SystemClock()"
