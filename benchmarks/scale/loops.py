"""What a worker does in a turn: calls in a row, or by many callers at once, and what they took."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LATE = 60.0
"""Seconds that httpx lets a call take: with a thousand callers it needs many."""


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


def closed(orders: dict[str, Any], asked: dict[str, Any]) -> dict[str, float]:
    """Let so many callers call again and again for so many seconds; return what one call took."""
    run = _threads if orders["kind"] == "sync" else _tasks
    gc.collect()
    cpu, start = time.process_time(), time.perf_counter()
    found, failed = run(orders, asked["url"], asked["callers"], asked["seconds"])
    if not found:
        raise SystemExit(f"not one of {failed} calls has succeeded")
    latencies = sorted(found)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    return {
        "p50": _percentile(latencies, 50),
        "p99": _percentile(latencies, 99),
        "rate": len(latencies) / seconds,
        "cpu_client": used / len(latencies),
        "failed": float(failed),
    }


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _made(orders: dict[str, Any], ours: str, theirs: Callable[..., Any], callers: int) -> Any:
    if orders["policy"] is not None:
        import ambassador_lib

        return getattr(ambassador_lib, ours)(orders["policy"], unmatched="reject")
    return theirs(timeout=LATE, limits=httpx.Limits(max_connections=callers, max_keepalive_connections=callers))


def _tasks(orders: dict[str, Any], url: str, callers: int, seconds: float) -> tuple[list[float], int]:
    latencies: list[float] = []
    failures: list[Exception] = []

    async def caller(client: httpx.AsyncClient, end: float) -> None:
        while (start := time.perf_counter()) < end:
            try:
                (await client.get(url)).raise_for_status()
                latencies.append(time.perf_counter() - start)
            except httpx.HTTPError as error:
                failures.append(error)

    async def main() -> None:
        async with _made(orders, "AsyncClient", httpx.AsyncClient, callers) as client:
            await client.get(url)
            end = time.perf_counter() + seconds
            await asyncio.gather(*(caller(client, end) for _ in range(callers)))

    asyncio.run(main())
    return latencies, len(failures)


def _threads(orders: dict[str, Any], url: str, callers: int, seconds: float) -> tuple[list[float], int]:
    latencies: list[float] = []
    failures: list[Exception] = []

    with _made(orders, "Client", httpx.Client, callers) as client:
        client.get(url)
        end = time.perf_counter() + seconds

        def caller() -> None:
            while (start := time.perf_counter()) < end:
                try:
                    client.get(url).raise_for_status()
                    latencies.append(time.perf_counter() - start)
                except httpx.HTTPError as error:
                    failures.append(error)

        threads = [threading.Thread(target=caller) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return latencies, len(failures)
