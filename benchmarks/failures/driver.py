"""The application: `python -m benchmarks.failures.driver`, told by one line of JSON on its standard input.

It makes calls at a constant rate, whatever becomes of them, and measures each from when it was due. It says when it
begins (on the clock that all processes of a machine share), and at the end what became of each call.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM = 10
MOST = 2000
"""Calls under way at once; one that is due beyond that has failed."""
PATH = "/v1/charges"


def client(orders: Any) -> tuple[httpx.AsyncClient, Iterator[str]]:
    """Return the client, and where its calls go."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    how = orders["how"]
    if how == "ours":
        from ambassador_lib import AsyncClient

        return AsyncClient(orders["policy"]), itertools.repeat(orders["url"] + PATH)
    if how == "envoy":
        # The sidecar's timeouts count; it is always there to say so.
        return httpx.AsyncClient(timeout=10.0, limits=limits), itertools.repeat(orders["url"] + PATH)
    # Without a policy: each call to the next replica, once, and no longer than the policy would let it take.
    urls = [f"http://127.0.0.1:{port}{PATH}" for port in orders["ports"]]
    return httpx.AsyncClient(timeout=orders["timeout"], limits=limits), itertools.cycle(urls)


class Caller:
    """Makes the calls and takes down what became of each: when it was due, its seconds, whether it succeeded."""

    def __init__(self, client: httpx.AsyncClient, urls: Iterator[str]) -> None:
        self.outcomes: list[tuple[float, float, bool]] = []
        self._client = client
        self._urls = urls
        self._under_way: set[asyncio.Task[None]] = set()

    async def warm_up(self) -> None:
        for _ in range(WARM):
            await self._client.get(next(self._urls))

    async def run(self, begin: float, rate: float, seconds: float) -> None:
        """Make the calls; return when the last one has ended."""
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(self._under_way) >= MOST:
                self.outcomes.append((due - begin, 0.0, False))
                continue
            task = asyncio.create_task(self._call(begin, due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _call(self, begin: float, due: float) -> None:
        try:
            response = await self._client.get(next(self._urls))
            succeeded = response.status_code == 200
        except httpx.HTTPError:
            succeeded = False
        self.outcomes.append((due - begin, time.monotonic() - due, succeeded))


async def main() -> None:
    orders = json.loads(sys.stdin.readline())
    chosen, urls = client(orders)
    async with chosen:
        caller = Caller(chosen, urls)
        await caller.warm_up()
        begin = time.monotonic() + 0.2
        print(json.dumps(begin), flush=True)
        await caller.run(begin, orders["rate"], orders["seconds"])
        print(json.dumps(caller.outcomes), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
