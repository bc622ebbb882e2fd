"""httpx's transports while somebody watches them.

A mock or an instrumentation sees a policy's requests at their logical URL, and what it passes on reaches the endpoint
by the library's own engine: a pool of ours stands before the transport's own, where all ends that nobody has answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from httpx import AsyncHTTPTransport, HTTPTransport

from .late import AsyncLateTransport, LateTransport
from .patched import has_genuine_pool

CARRY = "ambassador_carry"
"""The extension of a request that knows its own way on: takes httpcore's request, and returns the response to it."""


class WatchedTransport(httpx.BaseTransport):
    """The transport that a client of httpx's would use at this moment."""

    def __init__(self, choose: Callable[[httpx.URL], httpx.BaseTransport], *, passes_on: bool) -> None:
        """`passes_on`: whether whoever watches answers nothing itself."""
        self._choose = choose
        self.passes_on = passes_on

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._choose(request.url)
        stand_before_pool(transport)
        return transport.handle_request(request)


class AsyncWatchedTransport(httpx.AsyncBaseTransport):
    """`WatchedTransport` for async clients."""

    def __init__(self, choose: Callable[[httpx.URL], httpx.AsyncBaseTransport], *, passes_on: bool) -> None:
        self._choose = choose
        self.passes_on = passes_on

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._choose(request.url)
        stand_before_pool(transport)
        return await transport.handle_async_request(request)


class _CarryingPool:
    """Lets requests that know their way go it, and all others to the pool behind it, which is made when one comes."""

    def __init__(self, make: Callable[[], Any] | None) -> None:
        self.behind: Any = None
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool(), name)

    def _pool(self) -> Any:
        if self.behind is None and self._make is not None:
            self.behind = self._make()
        return self.behind

    def handle_request(self, request: Any) -> Any:
        carry = request.extensions.get(CARRY)
        if carry is None or not has_genuine_pool(is_async=False):
            return self._pool().handle_request(request)
        return carry(request)

    async def handle_async_request(self, request: Any) -> Any:
        carry = request.extensions.get(CARRY)
        if carry is None or not has_genuine_pool(is_async=True):
            return await self._pool().handle_async_request(request)
        return await carry(request)

    def close(self) -> None:
        """Close what was made."""
        if self.behind is not None:
            self.behind.close()

    async def aclose(self) -> None:
        """Close what was made."""
        if self.behind is not None:
            await self.behind.aclose()


def stand_before_pool(transport: object) -> None:
    """Have `_CarryingPool` before the pool of a transport of httpx's; of two threads that come first, one does it."""
    if not isinstance(transport, (HTTPTransport, AsyncHTTPTransport)):
        return
    own = vars(transport)
    carrying = own.get("_carrying_pool")
    if carrying is None:
        make = transport.make_pool if isinstance(transport, (LateTransport, AsyncLateTransport)) else None
        carrying = own.setdefault("_carrying_pool", _CarryingPool(make))
    behind = own.get("_pool")
    if behind is not carrying:
        carrying.behind = behind
        own["_pool"] = carrying
