"""What is measured here, and how: everybody in turn, in another order each round, by the CPU time of the thread.

Nothing here waits, so CPU time is the wall time of a machine that does nothing else.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..reports.progress import Progress

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

Batch = Callable[[int], float]
"""Makes so many calls and returns the seconds that one took."""


@dataclass
class Lane:
    """One contestant of one kind, and what was measured of it: seconds a call, for each round."""

    kind: Literal["sync", "async"]
    group: str
    name: str
    batch: Batch
    seconds: list[float] = field(default_factory=list)


def sync_batch(call: Callable[[], None]) -> Batch:
    def batch(calls: int) -> float:
        start = time.thread_time()
        for _ in range(calls):
            call()
        return (time.thread_time() - start) / calls

    return batch


def async_batch(loop: asyncio.Runner, call: Callable[[], Awaitable[None]]) -> Batch:
    async def run(calls: int) -> float:
        start = time.thread_time()
        for _ in range(calls):
            await call()
        return (time.thread_time() - start) / calls

    return lambda calls: loop.run(run(calls))


def measure(lanes: Sequence[Lane], *, rounds: int, calls: int) -> None:
    """Run every lane once a round, so that all share the machine's good and bad moments; a short first time is not
    counted."""
    for lane in lanes:
        lane.batch(max(20, calls // 10))
    order = list(lanes)
    gc.collect()
    gc.freeze()  # what is there already is nobody's garbage, and need not be looked at again and again
    try:
        with Progress(rounds * len(order)) as progress:
            for _ in range(rounds):
                random.shuffle(order)
                for lane in order:
                    gc.collect()
                    lane.seconds.append(lane.batch(calls))
                    progress.step()
    finally:
        gc.unfreeze()


def less(lane: Lane, base: Lane) -> list[float]:
    """Return what a lane took beyond another, round by round."""
    return [own - other for own, other in zip(lane.seconds, base.seconds, strict=True)]


def compared(values: Sequence[float], unit: Sequence[float]) -> list[float]:
    """Return each value in terms of the other's median; single rounds of what is small divide into anything."""
    divisor = statistics.median(unit)
    return [value / divisor for value in values] if divisor > 0 else []
