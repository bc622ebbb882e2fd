"""Connecting to the first of several addresses that answers (RFC 8305), on event loops. The twin: `blocking_race`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from .dialling import ATTEMPT_DELAY

T = TypeVar("T")


async def first_connected(
    addresses: Iterable[tuple[str, int]],
    connect: Callable[[str, int], Awaitable[T]],
    discard: Callable[[T], Awaitable[None]],
) -> T:
    """Return what the first address to answer was connected to; nothing is left of the others."""
    winners: list[T] = []
    failure = OSError("no address")

    async def attempt(host: str, port: int, failed: anyio.Event) -> None:
        nonlocal failure
        try:
            connected = await connect(host, port)
        except OSError as error:
            failure = error
            failed.set()
            return
        winners.append(connected)
        group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for host, port in addresses:
                failed = anyio.Event()
                group.start_soon(attempt, host, port, failed)
                with anyio.move_on_after(ATTEMPT_DELAY):
                    await failed.wait()
    except BaseException:
        for connected in winners:
            await discard(connected)
        raise
    if not winners:
        raise failure
    for late in winners[1:]:
        await discard(late)
    return winners[0]
