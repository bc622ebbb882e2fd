"""A pytest plugin for httpx's own test suite: it counts the requests that the clients send, and can replace them.

With `SWAP_CLIENTS=1` in the environment the clients are ours, wherever httpx's package has a name for them.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import httpx
import httpx._api
import httpx._main

requests: Counter[type] = Counter()


def counted(client: type[Any], method: str) -> None:
    """Count the calls of `method`, the step that every request of a client passes once."""
    original = getattr(client, method)

    def counting(self: Any, request: httpx.Request) -> Any:
        requests[client] += 1
        return original(self, request)

    setattr(client, method, counting)


if os.environ.get("SWAP_CLIENTS") == "1":
    from ambassador_lib import AsyncClient, Client

    httpx.Client = httpx._api.Client = httpx._main.Client = Client
    httpx.AsyncClient = AsyncClient

counted(httpx.Client, "_send_single_request")
counted(httpx.AsyncClient, "_send_single_request")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many requests were sent through the clients."""
    terminalreporter.write_line(f"requests sent: {requests.total()}")
