"""The engines that dial: connections kept per destination, HTTP/1.1 and HTTP/2 on them.

One source for both: over the blocking network the coroutines never suspend. A connection serves equal destinations
only, the most recently used first (semantics 4), and is counted by the destination's gauge from the moment it is
established until it is closed. A request is never sent twice; all that is done over is choosing another connection
when a kept one turns out to be closed.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING

import httpx

from ..errors import UpstreamConnectError, again, connection_termination
from .base import Destination, Exchange
from .blocking import BlockingNetwork
from .http1 import Http1Connection
from .wire import PATIENCE, Connection, Network, Signal, Stream

if TYPE_CHECKING:
    from ..runtime.base import Clock

SWEEP_INTERVAL = 5.0
"""Seconds between two looks at kept connections nobody asks for."""

Key = tuple[object, Destination]


class Pooled:
    """A connection, and what the pool knows of it."""

    def __init__(self, connection: Connection, key: Key, now: float) -> None:
        self.connection = connection
        self.key = key
        self.listed = False
        self.idle_since = now
        self.requests = 0
        self._counted = True

    def open(self, exchange: Exchange) -> Stream:
        """Begin an exchange."""
        self.requests += 1
        return self.connection.open(exchange)

    def has_room(self) -> bool:
        """Whether another exchange can be opened."""
        return self.connection.has_room() and not self.is_worn_out()

    def is_usable(self) -> bool:
        """Whether another exchange can ever be opened."""
        return self.connection.is_usable() and not self.is_worn_out() and not self.is_retired()

    def is_retired(self) -> bool:
        """Whether the host at the other end is no longer one of the cluster's."""
        gauge = self.key[1].gauge
        return gauge is not None and gauge.retired

    def is_worn_out(self) -> bool:
        """Whether `max_requests_per_connection` is reached."""
        return 0 < self.key[1].max_requests <= self.requests

    def uncount(self) -> None:
        """Tell the gauge, once."""
        gauge = self.key[1].gauge
        if self._counted and gauge is not None:
            gauge.closed()
        self._counted = False


class Dialling:
    """A connection under way that several exchanges wait for: HTTP/2 needs one, not one each."""

    def __init__(self) -> None:
        self.waiters: list[Signal] = []
        self.error: BaseException | None = None


class PooledEngine:
    """Blocking; used by many threads at once."""

    dials = True

    def __init__(self, clock: Clock, *, patience: float = PATIENCE, network: Network | None = None) -> None:
        self._now = clock.monotonic
        self._network: Network = network or BlockingNetwork(clock.monotonic, patience)
        self._closed = False
        self._start_afresh()
        _engines.add(self)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[Key, deque[Pooled]] = {}
        """Connections with room for another exchange, most recently used last."""
        self._open: set[Pooled] = set()
        self._dialling: dict[Key, Dialling] = {}
        self._next_sweep = 0.0

    @staticmethod
    def prepare(protocol: str) -> None:
        """Load what `protocol` needs, before a first request has to under its deadline; `ImportError` without h2."""
        if protocol != "http1":
            import_module(".http2", __package__)

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head; errors are told apart as semantics 12.1 does."""
        await self._sweep()
        pooled, stream = await self._acquire((self._network.home(), exchange.destination), exchange)
        try:
            exchange.on_connected()
            head = await stream.start()
        except BaseException:
            with self._network.shielded():
                await self._release(pooled, stream)
            raise

        async def close() -> None:
            with self._network.shielded():
                await self._release(pooled, stream)

        return httpx.Response(
            head.status,
            headers=head.headers,
            stream=self._network.body(stream.read, close),
            extensions=head.extensions,
        )

    async def close(self) -> None:
        """Close every connection; exchanges still under way break off, and so do those that still dial."""
        with self._lock:
            self._closed = True
            doomed = list(self._open)
            self._open.clear()  # what is still in use is not kept when it is given back
            self._free.clear()
            for pooled in doomed:
                pooled.listed = False
        idle = []
        for pooled in doomed:
            if pooled.connection.is_idle():
                idle.append(pooled)
            else:
                pooled.connection.wire.abort()
        await self._discard_all(idle)

    # --- choosing a connection ---------------------------------------------------------------------------------------

    async def _acquire(self, key: Key, exchange: Exchange) -> tuple[Pooled, Stream]:
        while True:
            taken = self._take(key, exchange)
            if taken is not None:
                pooled, stream, was_idle = taken
                if not (was_idle and self._is_overdue(pooled, self._now())):
                    return pooled, stream
                self._give_up(pooled)
                await self._release(pooled, stream)
            elif exchange.destination.protocol == "http2":
                await self._dial_shared(key, exchange)
            else:
                return await self._dial(key, exchange)

    def _take(self, key: Key, exchange: Exchange) -> tuple[Pooled, Stream, bool] | None:
        with self._lock:
            pooled = self._with_room_locked(key)
            if pooled is None:
                return None
            was_idle = pooled.connection.is_idle()
            stream = pooled.open(exchange)
            if not pooled.has_room():
                self._unlist_locked(pooled)
            return pooled, stream, was_idle

    def _with_room_locked(self, key: Key) -> Pooled | None:
        while free := self._free.get(key):
            if free[-1].has_room():
                return free[-1]
            self._unlist_locked(free[-1])  # lost or going away, while exchanges on it are still ending
        return None

    async def _dial(self, key: Key, exchange: Exchange) -> tuple[Pooled, Stream]:
        pooled = await self._connected(key, exchange)
        with self._lock:
            stream = pooled.open(exchange)
            self._list_locked(pooled)
        return pooled, stream

    async def _dial_shared(self, key: Key, exchange: Exchange) -> None:
        """Dial, or wait for whoever does; one failure fails all who wait, as in Envoy's pools (semantics 4)."""
        with self._lock:
            dialling = self._dialling.get(key)
            if dialling is None:
                mine = self._dialling[key] = Dialling()
            else:
                signal = self._network.signal()
                dialling.waiters.append(signal)
        if dialling is not None:
            await signal.wait(exchange.deadline)
            if dialling.error is not None:
                raise again(dialling.error)
            return
        try:
            pooled = await self._connected(key, exchange)
            with self._lock:
                self._list_locked(pooled)
        except UpstreamConnectError as error:
            mine.error = again(error)  # a copy: what becomes of ours on its way up is this call's own story
            raise
        finally:
            with self._lock:
                self._dialling.pop(key, None)
                waiters, mine.waiters = mine.waiters, []
            for signal in waiters:
                signal.set()

    async def _connected(self, key: Key, exchange: Exchange) -> Pooled:
        destination = exchange.destination
        if destination.protocol != "http1":
            from .http2 import Http2Connection  # needs the package h2: an extra of httpx, and of ours
        wire = await self._network.dial(exchange)
        connection: Connection
        if destination.protocol == "http2" or (destination.protocol == "auto" and wire.alpn == "h2"):
            connection = Http2Connection(wire, self._network)
        else:
            connection = Http1Connection(wire, self._network)
        pooled = Pooled(connection, key, self._now())
        if destination.gauge is not None:
            destination.gauge.opened()
        with self._lock:
            closed = self._closed
            if not closed:
                self._open.add(pooled)
        if closed:  # while this was dialling: nobody would ever close it
            await self._discard(pooled)
            raise connection_termination("the client was closed")
        return pooled

    # --- giving it back ----------------------------------------------------------------------------------------------

    async def _release(self, pooled: Pooled, stream: Stream) -> None:
        try:
            await stream.close()
        finally:
            if self._settle(pooled):
                await self._discard(pooled)

    def _settle(self, pooled: Pooled) -> bool:
        """Keep the connection for others, or tell that it is over."""
        with self._lock:
            is_idle = pooled.connection.is_idle()
            if is_idle:
                pooled.idle_since = self._now()
            if pooled.is_usable() and pooled in self._open:
                self._list_locked(pooled)
                return False
            self._unlist_locked(pooled)
            return is_idle

    def _give_up(self, pooled: Pooled) -> None:
        with self._lock:
            self._unlist_locked(pooled)
            self._open.discard(pooled)

    def _list_locked(self, pooled: Pooled) -> None:
        if pooled in self._open and not pooled.listed and pooled.has_room():
            pooled.listed = True
            self._free.setdefault(pooled.key, deque()).append(pooled)

    def _unlist_locked(self, pooled: Pooled) -> None:
        if pooled.listed:
            pooled.listed = False
            free = self._free[pooled.key]
            free.remove(pooled)
            if not free:
                del self._free[pooled.key]

    async def _discard(self, pooled: Pooled) -> None:
        with self._lock:
            self._open.discard(pooled)
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
        with self._lock:
            kept = [pooled for free in self._free.values() for pooled in free if pooled.connection.is_idle()]
            doomed = [pooled for pooled in kept if self._is_overdue(pooled, now)]
            for pooled in doomed:
                self._unlist_locked(pooled)
        await self._discard_all(doomed)

    async def _discard_all(self, doomed: list[Pooled]) -> None:
        """Discard connections that nobody else knows of any more, and so also where the caller is cancelled."""

        async def discard() -> None:
            for pooled in doomed:
                await self._discard(pooled)

        if doomed:
            await self._network.protected(discard())

    def _is_overdue(self, pooled: Pooled, now: float) -> bool:
        idle_timeout = pooled.key[1].idle_timeout
        timed_out = idle_timeout is not None and now - pooled.idle_since >= idle_timeout
        unwanted = pooled.is_retired() or self._network.is_gone(pooled.key[0])
        return timed_out or unwanted or pooled.connection.is_stale()

    def forget_inherited(self) -> None:
        """In a forked child: let go of the parent's connections, without a word to the peers."""
        inherited = self._open
        self._start_afresh()
        for pooled in inherited:
            pooled.uncount()
            pooled.connection.wire.forget()

    def __repr__(self) -> str:
        with self._lock:
            free = sum(map(len, self._free.values()))
            return f"<{type(self).__name__} connections={len(self._open)} with_room={free}>"


class AsyncPooledEngine(PooledEngine):
    """For event loops, asyncio and trio; connections are shared within one loop only."""

    def __init__(self, clock: Clock, *, patience: float = PATIENCE) -> None:
        from .loop import LoopNetwork  # anyio is only loaded where a loop runs

        super().__init__(clock, network=LoopNetwork(patience))


_engines: weakref.WeakSet[PooledEngine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_engines):
        engine.forget_inherited()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
