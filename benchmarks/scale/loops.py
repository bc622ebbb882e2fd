"""What a worker does in a turn: calls in a row, or by many callers at once, and what they took."""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LATE = 60.0
"""Seconds that httpx lets a call take: with a thousand callers it needs many."""

ENOUGH = 40
"""Calls for each host, until the last of many is called that are drawn at random."""
APART = 0.002
"""Seconds between the first calls of two callers: a thousand connections at once would be another question."""


def in_a_row(transport: httpx.BaseTransport, requests: Sequence[httpx.Request], calls: int) -> dict[str, float]:
    """Return the CPU time of one call, of so many in a row."""
    for request in requests:
        transport.handle_request(request).read()
    gc.collect()
    start = time.thread_time()
    for number in range(calls):
        response = transport.handle_request(requests[number % len(requests)])
        response.read()
        response.close()
    return {"cpu_client": (time.thread_time() - start) / calls}


def use_every_host(client: httpx.Client, urls: Iterator[str], count: int) -> dict[str, float]:
    """Call until each of so many hosts was called; return the CPU time of a first call to one beyond that of others.

    No figure where there is but one host: what a route makes with its first call would be in it.
    """
    used = {_endpoint(client.get(next(urls)))}
    first: list[float] = []
    later: list[float] = []
    for _ in range(ENOUGH * count):
        if len(used) == count:
            break
        start = time.thread_time()
        response = client.get(next(urls))
        took = time.thread_time() - start
        (later if _endpoint(response) in used else first).append(took)
        used.add(_endpoint(response))
    else:
        raise SystemExit(f"{count - len(used)} of {count} hosts were not called once")
    return {"first_use": statistics.median(first) - statistics.median(later)} if first and later else {}


def _endpoint(response: httpx.Response) -> str:
    return str(response.extensions["ambassador"].attempts[-1].endpoint)


def new_urls(client: httpx.Client, urls: Iterator[str], calls: int) -> dict[str, float]:
    """Return the CPU time of one call of a whole client, each to a URL that was never asked for."""
    for _ in range(len(range(0, calls, 10))):
        client.get(next(urls))
    gc.collect()
    start = time.thread_time()
    for _ in range(calls):
        client.get(next(urls))
    return {"cpu_client": (time.thread_time() - start) / calls}


def closed(orders: dict[str, Any], asked: dict[str, Any]) -> dict[str, float]:
    """Let so many callers call again and again for so many seconds; return what one call took."""
    run = _threads if orders["kind"] == "sync" else _tasks
    gc.collect()
    tally = Tally()
    run(orders, tally, asked["url"], asked["callers"], asked["seconds"])
    return tally.figures()


class Tally:
    """What became of calls, from `begin` on: those before only make connections."""

    def __init__(self) -> None:
        self.over = False
        self.failed = 0
        self._latencies: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Forget what was, and count from now on."""
        self.failed = 0
        self._latencies = []
        self._cpu, self._start = time.process_time(), time.perf_counter()

    def answered(self, start: float) -> None:
        self._latencies.append(time.perf_counter() - start)

    def figures(self) -> dict[str, float]:
        seconds, used = time.perf_counter() - self._start, time.process_time() - self._cpu
        ordered = sorted(self._latencies)
        if not ordered:
            raise SystemExit(f"not one of {self.failed} calls has succeeded")
        return {
            "p50": _percentile(ordered, 50),
            "p99": _percentile(ordered, 99),
            "rate": len(ordered) / seconds,
            "cpu_client": used / len(ordered),
            "failed": float(self.failed),
        }


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _made(orders: dict[str, Any], ours: str, theirs: Callable[..., Any], callers: int) -> Any:
    if orders["policy"] is not None:
        import ambassador_lib

        return getattr(ambassador_lib, ours)(orders["policy"], unmatched="reject")
    return theirs(timeout=LATE, limits=httpx.Limits(max_connections=callers, max_keepalive_connections=callers))


def _tasks(orders: dict[str, Any], tally: Tally, url: str, callers: int, seconds: float) -> None:
    async def caller(client: httpx.AsyncClient, wait: float) -> None:
        await asyncio.sleep(wait)
        while not tally.over:
            start = time.perf_counter()
            try:
                (await client.get(url)).raise_for_status()
                tally.answered(start)
            except httpx.HTTPError:
                tally.failed += 1
                await asyncio.sleep(APART)  # a refusal may have waited for nothing, and would keep all others waiting

    async def main() -> None:
        async with _made(orders, "AsyncClient", httpx.AsyncClient, callers) as client:
            await client.get(url)
            tasks = [asyncio.create_task(caller(client, number * APART)) for number in range(callers)]
            await asyncio.sleep(callers * APART)
            tally.begin()
            await asyncio.sleep(seconds)
            tally.over = True
            await asyncio.gather(*tasks)

    asyncio.run(main())


def _threads(orders: dict[str, Any], tally: Tally, url: str, callers: int, seconds: float) -> None:
    with _made(orders, "Client", httpx.Client, callers) as client:
        client.get(url)

        def caller() -> None:
            while not tally.over:
                start = time.perf_counter()
                try:
                    client.get(url).raise_for_status()
                    tally.answered(start)
                except httpx.HTTPError:
                    tally.failed += 1
                    time.sleep(APART)

        threads = [threading.Thread(target=caller) for _ in range(callers)]
        for thread in threads:
            thread.start()
            time.sleep(APART)
        tally.begin()
        time.sleep(seconds)
        tally.over = True
        for thread in threads:
            thread.join()
