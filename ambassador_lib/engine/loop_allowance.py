"""How long an upstream may take to be connected to on loops that show no sockets. The twin: `allowance`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from ..call import INFINITY
from ..errors import connect_timeout

T = TypeVar("T")

LOOKS = 16
"""Looks at the time within the timeout: each charges its share of it, however late a busy loop comes to it."""


async def allowed(seconds: float, work: Awaitable[T], discard: Callable[[T], Awaitable[None]]) -> T:
    """Do `work`; `UpstreamConnectError` where that takes longer than so many seconds of a loop that turns.

    What has come while the loop was busy is taken before the next look. A connection that nobody gets is discarded.
    """
    made: list[T] = []
    failure: Exception = connect_timeout()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_count_down, seconds, group.cancel_scope)
            try:
                made.append(await work)
            except Exception as error:  # noqa: BLE001 - the group would make another of it
                failure = error
            group.cancel_scope.cancel()
    except BaseException:
        for connected in made:
            await discard(connected)
        raise
    if not made:
        raise failure
    return made[0]


async def _count_down(seconds: float, scope: anyio.CancelScope) -> None:
    if seconds == INFINITY:
        return
    for _ in range(LOOKS):
        await anyio.sleep(seconds / LOOKS)
    scope.cancel()
