"""A breaker that shares its state through a storage, such as Redis: kept in step with it from the control thread."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from ..runtime.shared import control_thread

if TYPE_CHECKING:
    from ..runtime.base import Clock, Random
    from ..runtime.control import ControlThread, Watch
    from .upstream import Upstream

STORAGE_INTERVAL = 1.0
"""Seconds between two looks at a breaker's shared storage."""


def watch_storage(
    upstream: Upstream, clock: Clock, random: Random, control: ControlThread | None = None
) -> list[Watch]:
    """Keep a breaker in step with the storage it shares; each access may be I/O, so the control thread does it."""
    breaker = upstream.breaker
    if breaker is None or not breaker.shares_storage:
        return []
    from ..runtime.periodic import repeat  # few breakers do

    async def keep_in_step() -> None:
        await repeat(breaker.sync_storage, STORAGE_INTERVAL, clock)

    name = f"{upstream.name} breaker storage"
    watch = control_thread(control).watch(keep_in_step, name=name, clock=clock, random=random)
    # A client that is dropped without being closed takes the watch along: it holds the breaker, not the upstream.
    weakref.finalize(upstream, watch.abandon).atexit = False
    return [watch]
