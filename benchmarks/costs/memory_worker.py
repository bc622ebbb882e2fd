"""A fresh process that tells what memory it takes: `python -m benchmarks.costs.memory_worker COMPILED WHAT ...`.

A process is weighed by what is resident, and by how much of that is of no file; what there may be many of by the bytes
that Python holds for each of them, since an allocator's pages are too coarse for these. Packages that a fresh install
does not bring are not there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from typing import TYPE_CHECKING

from .. import compiled
from ..load.absence import NOT_FRESH, remove
from ..world.proc import anonymous, resident

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

Weights = dict[str, float]
"""Bytes by the names of figures."""
MADE_AT_ONCE = 50
SETTLING = 0.1
"""Seconds in which the loop does what it has still to do: its callbacks hold answers until then."""


def process(who: str, kind: str, url: str, policy: str) -> Weights:
    """Make one call; return the bytes of the process then, with the client still open."""
    from httpx import AsyncClient as TheirAsyncClient  # both have it
    from httpx import Client as TheirClient

    if who == "ours":
        from ambassador_lib import AsyncClient, Client
    if kind == "sync":
        client = Client(policy, unmatched="reject") if who == "ours" else TheirClient()
        with client:
            client.get(url).raise_for_status()
            return _weight()

    async def main() -> Weights:
        caller = AsyncClient(policy, unmatched="reject") if who == "ours" else TheirAsyncClient()
        async with caller:
            (await caller.get(url)).raise_for_status()
            return _weight()

    return asyncio.run(main())


def connections(count: int, url: str, policy: str) -> float:
    """Open so many connections beside one that is there; return the bytes of each, once all are idle."""
    from ambassador_lib import AsyncClient

    async def open_many(client: httpx.AsyncClient) -> None:
        streams = []
        for _ in range(0, count, MADE_AT_ONCE):
            # Answers whose bodies are not read keep their connections: the next ones need others.
            requests = [client.build_request("GET", url) for _ in range(MADE_AT_ONCE)]
            streams += await asyncio.gather(*(client.send(request, stream=True) for request in requests))
        for response in streams:
            await response.aread()
            await response.aclose()

    async def main() -> float:
        async with AsyncClient(policy, unmatched="reject") as client:
            (await client.get(url)).raise_for_status()
            before = _held()
            await open_many(client)
            await asyncio.sleep(SETTLING)
            return (_held() - before) / (count - 1)

    return asyncio.run(main())


def sized(policies: list[str]) -> float:
    """Build a transport for the second of two policies; return the bytes beyond one of the first."""
    import httpx

    from ambassador_lib import AmbassadorTransport

    from .null import NullTransport
    from .policy import URL

    def build(path: str) -> AmbassadorTransport:
        transport = AmbassadorTransport(path, inner=NullTransport(streamed=False))
        transport.handle_request(httpx.Request("GET", URL)).read()
        return transport

    for _ in range(2):
        build(policies[0]).close()  # whatever is remembered once, or by whoever reads again
    weights, kept = [], []
    for path in policies:
        before = _held()
        kept.append(build(path))
        weights.append(_held() - before)
    return weights[1] - weights[0]


def _weight() -> Weights:
    gc.collect()
    own = os.getpid()
    return {"memory-of-process": float(resident(own) or 0), "own-memory-of-process": float(anonymous(own) or 0)}


def _held() -> float:
    import tracemalloc

    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return float(tracemalloc.get_traced_memory()[0])


WEIGHED: dict[str, Callable[..., Weights]] = {
    "process": process,
    "connections": lambda count, url, policy: {"memory-a-connection": connections(int(count), url, policy)},
    "sized": lambda name, *policies: {name: sized(list(policies))},
}


if __name__ == "__main__":
    remove((*NOT_FRESH, "opentelemetry.sdk"))
    compiled.use(sys.argv[1])
    weighed = WEIGHED[sys.argv[2]](*sys.argv[3:])
    if "ambassador_lib" in sys.modules:
        compiled.check(sys.argv[1])
    print(json.dumps(weighed))
