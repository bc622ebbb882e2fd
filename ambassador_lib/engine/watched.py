"""Engines for as long as somebody watches httpx's transports: a try goes through these, and on by the library's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from .._httpx.watched import CARRY
from ..call import Deadline
from .base import Exchange
from .blocking import step
from .foreign import AsyncForeignEngine, ForeignEngine
from .pooled import AsyncPooledEngine, PooledEngine

if TYPE_CHECKING:
    from ..runtime.base import Clock


class _Carried(Exchange):
    """A try on its way on, as those who watched it have left it."""

    def __init__(self, above: Exchange, request: Any, deadline: Deadline) -> None:
        """`request` has what has become of the headers: an instrumentation adds its own."""
        super().__init__(
            above.method,
            above.scheme,
            above.authority,
            above.target,
            [(name.lower(), value) for name, value in request.headers if name.lower() != b"host"],
            request.stream,
            above.destination,
            deadline,
            _nothing,  # it was told when those who watch were
            above.url,
            above.extensions,
        )
        self.is_retried = above.is_retried
        self.dropped_from = above.dropped_from
        self._above = above

    def abortable(self, on_abort: Callable[[], None]) -> None:
        """Whoever breaks a try off knows the one above."""
        self._above.abortable(on_abort)

    def on_interim(self) -> None:
        """Tell the one above."""
        self._above.on_interim()


class _Watched:
    """What the blocking and the async engine share."""

    _own: PooledEngine

    def __init__(self, *, dials: bool) -> None:
        self.dials = dials
        """Whether what is sent reaches the endpoints; else a mock answers, and nobody looks for them."""

    def prepare(self, protocol: str) -> None:
        """Load what `protocol` needs."""
        self._own.prepare(protocol)

    async def close(self) -> None:
        """Close every connection; the transports are others' to close."""
        await self._own.close()

    def abandon(self) -> None:
        """Break every connection off."""
        self._own.abandon()

    @staticmethod
    def _seen(exchange: Exchange, carry: Callable[[Any], Any]) -> Exchange:
        seen = copy.copy(exchange)
        seen.extensions = {**exchange.extensions, CARRY: carry}
        return seen


class WatchedEngine(_Watched):
    """For blocking transports."""

    def __init__(self, transport: httpx.BaseTransport, own: PooledEngine, clock: Clock, *, dials: bool) -> None:
        super().__init__(dials=dials)
        self._own = own
        self._above = ForeignEngine(transport, clock)

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head, as those who watch have let it through."""

        def carry(request: Any) -> Any:
            return _as_httpcores(step(self._own.send(_Carried(exchange, request, exchange.deadline))))

        return await self._above.send(self._seen(exchange, carry))


class AsyncWatchedEngine(_Watched):
    """For async transports; the caller cancels them at the deadline."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport, own: AsyncPooledEngine, clock: Clock, *, dials: bool
    ) -> None:
        super().__init__(dials=dials)
        self._own = own
        self._above = AsyncForeignEngine(transport, clock)

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head, as those who watch have let it through."""

        async def carry(request: Any) -> Any:
            return _as_httpcores(await self._own.send(_Carried(exchange, request, Deadline())))

        return await self._above.send(self._seen(exchange, carry))


def _as_httpcores(response: httpx.Response) -> Any:
    import httpcore  # there already: a request of its own has just come

    return httpcore.Response(
        response.status_code,
        headers=response.headers.raw,
        content=response.stream,
        extensions=response.extensions,
    )


def _nothing() -> None:
    """Nobody has to be told."""
