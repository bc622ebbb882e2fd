"""The engines that dial: connections kept per destination, HTTP/1.1 and HTTP/2 on them.

One source for both: over the blocking network the coroutines never suspend. A connection serves equal destinations
only, the most recently used first (semantics 4), and is counted by the destination's gauge from the moment it is
established until it is closed. A request is never sent twice; all that is done over is choosing another connection
when a kept one turns out to be closed.
"""

from __future__ import annotations

from collections.abc import Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx

from .._httpx.parts import content_of
from .._native import mypyc_attr
from ..errors import UpstreamConnectError, UpstreamResetError, again, connection_termination
from .base import Exchange
from .blocking import BlockingNetwork
from .forked import Inheritance
from .http1 import Http1Connection
from .pool import Key, Pool, Pooled
from .wire import PATIENCE, Connection, Network, Stream

if TYPE_CHECKING:
    from ..runtime.base import Clock
    from .wire import BodyStream

SWEEP_INTERVAL = 5.0
"""Seconds between two looks at kept connections nobody asks for."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PooledEngine:
    """Blocking; used by many threads at once."""

    dials = True
    keeps_deadlines = True
    """`send` ends at the exchange's deadline by itself, and so do the reads of a response's body."""

    def __init__(self, clock: Clock, *, patience: float = PATIENCE, network: Network | None = None) -> None:
        self._now = clock.monotonic
        self._network: Network = network or BlockingNetwork(clock.monotonic, patience)
        self._pool = Pool(clock.monotonic)
        self._next_sweep = 0.0
        self._inheritance = Inheritance(self._pool)

    @staticmethod
    def prepare(protocol: str) -> None:
        """Load what `protocol` needs, before a first request has to under its deadline; `ImportError` without h2."""
        if protocol != "http1":
            import_module(".http2", __package__)

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head; errors are told apart as semantics 12.1 does."""
        now = self._now()
        if now >= self._next_sweep:
            await self._sweep()
        key = (self._network.home(), exchange.destination)
        taken = self._pool.take(key, exchange)
        if taken is None or (taken[2] and taken[0].is_overdue(now)):
            pooled, stream = await self._acquire(key, exchange, taken)
        else:
            pooled, stream, _ = taken
        failure: list[BaseException] | None = None
        try:
            exchange.on_connected()
            response = stream.begin()
            if response is None:
                work = stream.answer()
                response = await (work if stream.keeps_deadline else self._network.within(exchange.deadline, work))
        except BaseException as error:  # noqa: BLE001 - raised below
            _tell_phase(error, pooled, stream)
            response, failure = None, [error]
        if response is None:
            await self.released(pooled, stream)
            assert failure is not None, "or there would be a response"
            raise failure.pop()
        if content_of(response.stream) is None:
            response.stream = self._body(exchange, pooled, stream)
            return response
        rest = self._release(pooled, stream)
        if rest is not None:
            await rest
        return response

    def _body(self, exchange: Exchange, pooled: Pooled, stream: Stream) -> BodyStream:
        reading = _Reading(self, self._network, exchange, pooled, stream)
        body: Any = self._network.body(reading.read, reading.close)
        body.drop = stream.drop
        body.keeps_deadlines = True
        return body  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Close every connection; exchanges still under way break off, and so do those that still dial."""
        doomed = self._pool.close()
        idle = []
        for pooled in doomed:
            if pooled.connection.is_idle():
                idle.append(pooled)
            else:
                pooled.connection.wire.abort()
        await self._discard_all(idle)

    def abandon(self) -> None:
        """As `close` where nothing can be awaited any more: every connection is broken off."""
        for pooled in self._pool.close():
            pooled.uncount()
            pooled.connection.wire.abort()

    # --- choosing a connection ---------------------------------------------------------------------------------------

    async def _acquire(
        self, key: Key, exchange: Exchange, taken: tuple[Pooled, Stream, bool] | None
    ) -> tuple[Pooled, Stream]:
        """Go on where nothing was `taken`, or a connection that was idle and is overdue."""
        while True:
            if taken is not None:
                pooled, stream, was_idle = taken
                if not (was_idle and pooled.is_overdue(self._now())):
                    return pooled, stream
                self._pool.remove(pooled)
                await self.released(pooled, stream)
            elif exchange.destination.protocol == "http2":
                await self._dial_shared(key, exchange)
            else:
                return await self._dial(key, exchange)
            taken = self._pool.take(key, exchange)

    async def _dial(self, key: Key, exchange: Exchange) -> tuple[Pooled, Stream]:
        pooled = await self._connected(key, exchange)
        return pooled, self._pool.open(pooled, exchange)

    async def _dial_shared(self, key: Key, exchange: Exchange) -> None:
        """Dial, or wait for whoever does; one failure fails all who wait, as in Envoy's pools (semantics 4)."""
        dialling, signal = self._pool.join(key, self._network.signal)
        if signal is not None:
            await signal.wait(exchange.deadline)
            if dialling.error is not None:
                raise again(dialling.error)
            return
        try:
            self._pool.offer(await self._connected(key, exchange))
        except UpstreamConnectError as error:
            dialling.error = again(error)  # a copy: what becomes of ours on its way up is this call's own story
            raise
        finally:
            self._pool.dialled(key, dialling)

    async def _connected(self, key: Key, exchange: Exchange) -> Pooled:
        destination = exchange.destination
        if destination.protocol != "http1":
            from .http2 import Http2Connection  # needs the package h2: an extra of httpx, and of ours
        wire = await self._network.dial(exchange)
        connection: Connection
        if destination.protocol == "http2" or (destination.protocol == "auto" and wire.alpn == "h2"):
            connection = Http2Connection(wire, self._network, destination.max_streams)
        else:
            connection = Http1Connection(wire, self._network)
        pooled = Pooled(connection, key, self._now)
        if destination.gauge is not None:
            destination.gauge.opened()
        if not self._pool.add(pooled):
            await self._discard(pooled)
            raise connection_termination("the client was closed")
        return pooled

    # --- giving it back ----------------------------------------------------------------------------------------------

    def _release(self, pooled: Pooled, stream: Stream) -> Coroutine[Any, Any, None] | None:
        """End an exchange and keep its connection; where that takes more than bookkeeping, return it to be awaited."""
        farewell = stream.end()
        if farewell is not None:
            return self._say(farewell, pooled)
        return self._shut(pooled) if self._pool.settle(pooled) else None

    async def released(self, pooled: Pooled, stream: Stream) -> None:
        """End an exchange."""
        rest = self._release(pooled, stream)
        if rest is not None:
            await rest

    async def _say(self, farewell: Coroutine[Any, Any, None], pooled: Pooled) -> None:
        failure: list[BaseException] = []
        try:
            with self._network.shielded():
                await farewell
        except BaseException as error:  # noqa: BLE001 - raised below
            failure.append(error)
        if self._pool.settle(pooled):
            await self._shut(pooled)
        if failure:
            raise failure.pop()

    async def _shut(self, pooled: Pooled) -> None:
        with self._network.shielded():
            await self._discard(pooled)

    async def _discard(self, pooled: Pooled) -> None:
        self._pool.remove(pooled)
        pooled.uncount()
        if pooled.key[0] == self._network.home():
            await pooled.connection.wire.close()
        else:  # the sockets of another loop are its own to close; it may be gone
            pooled.connection.wire.abort()

    async def _sweep(self) -> None:
        """Close kept connections that time out, that the peer has closed or that nobody can use; now and then."""
        now = self._now()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_INTERVAL
        await self._discard_all(self._pool.withdraw(lambda pooled: self._is_overdue(pooled, now)))

    async def _discard_all(self, doomed: list[Pooled]) -> None:
        """Discard connections that nobody else knows of any more, and so also where the caller is cancelled."""
        if doomed:
            await self._network.protected(self._discard_each(doomed))

    async def _discard_each(self, doomed: list[Pooled]) -> None:
        for pooled in doomed:
            await self._discard(pooled)

    def _is_overdue(self, pooled: Pooled, now: float) -> bool:
        return self._network.is_gone(pooled.key[0]) or pooled.is_overdue(now)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._pool!r}>"


class AsyncPooledEngine(PooledEngine):
    """For event loops, asyncio and trio; connections are shared within one loop only."""

    def __init__(self, clock: Clock, *, patience: float = PATIENCE, network: Network | None = None) -> None:
        if network is None:
            from .loop import LoopNetwork  # anyio is only loaded where a loop runs

            network = LoopNetwork(clock.monotonic, patience)
        super().__init__(clock, network=network)


class _Reading:
    """How a response's body is read, and how its exchange ends."""

    def __init__(
        self, engine: PooledEngine, network: Network, exchange: Exchange, pooled: Pooled, stream: Stream
    ) -> None:
        self._engine = engine
        self._network = network
        self._exchange = exchange
        self._pooled = pooled
        self._stream = stream
        self._keeps_deadlines = pooled.connection.wire.keeps_deadlines

    async def read(self) -> bytes:
        """Return more of the body, `b""` at its end."""
        work = self._stream.read()
        try:
            return await (work if self._keeps_deadlines else self._network.within(self._exchange.deadline, work))
        except UpstreamResetError as error:
            _tell_phase(error, self._pooled, self._stream)
            raise

    async def close(self) -> None:
        """End the exchange."""
        await self._engine.released(self._pooled, self._stream)


def _tell_phase(error: BaseException, pooled: Pooled, stream: Stream) -> None:
    if isinstance(error, UpstreamResetError):
        error.phase = stream.phase
        error.reused = pooled.requests > 1
