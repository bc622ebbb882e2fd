"""`max_connections` and `max_pending_requests` on real sockets: the pool of connections is what the limits count."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ambassador_lib import AsyncClient, Client, UpstreamOverflowError
from tests.engine.servers import OK, read_request, serving

from .documents import BASE, cluster, policy

KINDS = ["sync", "asyncio", "uvloop"]


def limited(port: int, **thresholds: int) -> dict[str, Any]:
    return policy(clusters=[cluster("up", port, circuit_breakers={"thresholds": [thresholds]})])


class Story:
    """Calls at once, all but the first when that has arrived; `refused` is set when as many as were expected are."""

    def __init__(self, calls: int, refused: int = 0) -> None:
        self.arrived = threading.Event()
        self.refused = threading.Event()
        self._calls = calls
        self._expected = refused
        self._told: list[str] = []

    def of(self, kind: str, document: dict[str, Any]) -> Counter[str]:
        """Count what comes."""
        if kind == "sync":
            self._on_threads(document)
            return Counter(self._told)
        factory = None
        if kind == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._on_loop(document))
        return Counter(self._told)

    def _tell(self, outcome: str) -> None:
        self._told.append(outcome)
        if self._told.count("overflow") == self._expected:
            self.refused.set()

    def _on_threads(self, document: dict[str, Any]) -> None:
        def get() -> None:
            try:
                self._tell(client.get(f"{BASE}/", timeout=10).text)
            except UpstreamOverflowError:
                self._tell("overflow")

        with Client(policy=document, trust_env=False) as client, ThreadPoolExecutor(self._calls) as threads:
            futures = [threads.submit(get)]
            assert self.arrived.wait(5)
            futures += [threads.submit(get) for _ in range(self._calls - 1)]
            for future in futures:
                future.result(20)

    async def _on_loop(self, document: dict[str, Any]) -> None:
        async def get() -> None:
            try:
                self._tell((await client.get(f"{BASE}/", timeout=10)).text)
            except UpstreamOverflowError:
                self._tell("overflow")

        async with AsyncClient(policy=document, trust_env=False) as client:
            tasks = [asyncio.ensure_future(get())]
            assert await asyncio.to_thread(self.arrived.wait, 5)
            tasks += [asyncio.ensure_future(get()) for _ in range(self._calls - 1)]
            await asyncio.gather(*tasks)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_connections_as_there_may_be_are_used_again_and_again(kind: str) -> None:
    """Twelve calls at once take turns on three connections, and three at a time: no fewer, and no more."""
    story = Story(12)
    together = threading.Barrier(3, timeout=5)

    def handler(sock: Any) -> None:
        while True:
            read_request(sock)
            story.arrived.set()
            together.wait()
            sock.sendall(OK)

    with serving(handler) as server:
        assert story.of(kind, limited(server.port, max_connections=3, max_pending_requests=100)) == {"ok": 12}
        assert server.connections == 3
    assert not together.broken


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_may_wait_are_refused(kind: str) -> None:
    """While one is served two wait for its connection, and the others are an overflow at once."""
    story = Story(8, refused=5)

    def handler(sock: Any) -> None:
        while True:
            read_request(sock)
            story.arrived.set()
            assert story.refused.wait(5)
            sock.sendall(OK)

    with serving(handler) as server:
        document = limited(server.port, max_connections=1, max_pending_requests=2)
        assert story.of(kind, document) == {"ok": 3, "overflow": 5}
        assert server.connections == 1
