"""Calls leave nothing for the garbage collector: a pause of its own in every hundred calls would be felt."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from ambassador_lib import AsyncClient, Client

from .documents import BASE, Document, cluster, listener, policy, virtual_host

CALLS = 10_000
URL = f"{BASE}/charges?page=2"
MOST = 2
"""Collections of the youngest generation; each comes after 700 objects that nobody has let go."""

SERVER = """
import socket, threading

ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 2\\r\\n\\r\\n{}"

def serve(connection):
    while connection.recv(65536):
        connection.sendall(ANSWER)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def everything(port: int) -> Document:
    """Return a policy with retries, timeouts, a breaker, limits, ejection and rewrites."""
    retries = {"retry_on": "5xx,reset,connect-failure", "num_retries": 2, "per_try_timeout": "5s"}
    host = virtual_host(prefix_rewrite="/api/", host_rewrite_literal="up.internal", retry_policy=retries)
    up = cluster(
        "up",
        port,
        lb_policy="LEAST_REQUEST",
        circuit_breakers={"thresholds": [{"max_connections": 10}]},
        outlier_detection={},
        metadata={"filter_metadata": {"ambassador_lib": {"circuit_breaker": {}}}},
    )
    return policy(listener({**host, "response_headers_to_remove": ["x-powered-by"]}), clusters=[up])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Return the port of a server in a process of its own, whose garbage does not count here."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


def options(mocked: bool) -> dict[str, Any]:
    """Return what a client over a mock is made with; another one connects."""
    if not mocked:
        return {}
    return {"transport": httpx.MockTransport(lambda _request: httpx.Response(200, json={}))}


@contextmanager
def few_collections() -> Iterator[None]:
    """Fail where what is done meanwhile leaves more garbage than it may."""
    gc.collect()
    before = gc.get_stats()[0]["collections"]
    yield
    assert gc.get_stats()[0]["collections"] - before <= MOST


@pytest.mark.parametrize("mocked", [True, False], ids=["mock", "loopback"])
def test_calls_leave_no_garbage(mocked: bool, port: int) -> None:
    """Ten thousand blocking calls with every layer on: two collections at most."""
    with Client(everything(port), **options(mocked)) as client:
        for _ in range(100):
            client.get(URL)
        with few_collections():
            for _ in range(CALLS):
                client.get(URL)


@pytest.mark.parametrize("mocked", [True, False], ids=["mock", "loopback"])
def test_calls_on_a_loop_leave_no_garbage(mocked: bool, port: int) -> None:
    """The same on asyncio."""

    async def run() -> None:
        async with AsyncClient(everything(port), **options(mocked)) as client:
            for _ in range(100):
                await client.get(URL)
            with few_collections():
                for _ in range(CALLS):
                    await client.get(URL)

    asyncio.run(run())
