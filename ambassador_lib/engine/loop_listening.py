"""Listening while a request is being sent, where it takes a task: on trio, and in simulations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio

from ..call import Deadline
from ..errors import DeadlineExpired
from .wire import OVERHEARD, PeerReset

Read = Callable[[Deadline], Awaitable[bytes]]


async def listening(read: Read, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
    """Read in a task beside `sending`; see `Wire.listening`."""
    failure = None
    finished = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_overhear, read, hear, tasks.cancel_scope)
        try:
            await sending
            finished = True
        except Exception as error:  # noqa: BLE001 - out of the group, which would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return finished


async def _overhear(read: Read, hear: Callable[[bytes], bool], uploading: anyio.CancelScope) -> None:
    overheard = 0
    with suppress(PeerReset, DeadlineExpired):  # sending finds out itself
        while overheard < OVERHEARD:
            data = await read(Deadline())
            if hear(data):
                uploading.cancel()
                return
            overheard += len(data)
