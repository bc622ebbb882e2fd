"""The bookkeeping of the engines that dial: which connections there are, and which have room for another exchange.

Nothing here reads, writes or waits. One lock guards it all, so that many threads may share a client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .._native import mypyc_attr
from ..call import INFINITY
from .base import Destination, Exchange
from .wire import Connection, Signal, Stream

Key = tuple[object, Destination]


@mypyc_attr(allow_interpreted_subclasses=True)
class Pooled:
    """A connection, and what the pool knows of it."""

    def __init__(self, connection: Connection, key: Key, clock: Callable[[], float]) -> None:
        now = clock()
        destination = key[1]
        self.connection = connection
        self.key = key
        self.known = False
        """Whether the pool has it: what it has not is not kept."""
        self.listed = False
        """Whether somebody may take it."""
        self.shelf: dict[Pooled, None] = {}
        """Where it is listed: among those to the same destination."""
        self.idle_since = now
        self.requests = 0
        self._clock = clock
        self._counted = True
        self._max_requests = destination.max_requests
        self._idle_timeout = INFINITY if destination.idle_timeout is None else destination.idle_timeout
        self._expires_at = INFINITY if destination.max_age is None else now + destination.max_age
        self._gauge = destination.gauge
        self._drains = 0 if destination.gauge is None else destination.gauge.drains

    def open(self, exchange: Exchange) -> Stream:
        """Begin an exchange."""
        self.requests += 1
        return self.connection.open(exchange)

    def has_room(self) -> bool:
        """Whether another exchange can be opened; on an idle one that is unwanted, whoever takes it finds out."""
        if not self.connection.has_room() or self.is_worn_out():
            return False
        return self.connection.is_idle() or self.is_wanted(self._clock())

    def is_usable(self, now: float) -> bool:
        """Whether another exchange can ever be opened."""
        return self.connection.is_usable() and self.is_wanted(now) and not self.is_worn_out()

    def is_wanted(self, now: float) -> bool:
        """Whether the host at the other end belongs to the cluster, has not failed meanwhile, and it is not too old."""
        gauge = self._gauge
        if gauge is not None and (gauge.retired or gauge.drains != self._drains):
            return False
        return now < self._expires_at

    def is_worn_out(self) -> bool:
        """Whether `max_requests_per_connection` is reached."""
        return 0 < self._max_requests <= self.requests

    def is_overdue(self, now: float) -> bool:
        """Whether an idle connection has been so for too long, is unwanted or turns out to be dead."""
        if now - self.idle_since >= self._idle_timeout or not self.is_wanted(now):
            return True
        return self.connection.is_stale()

    def uncount(self) -> None:
        """Tell the gauge, once."""
        if self._counted and self._gauge is not None:
            self._gauge.closed()
        self._counted = False


class Dialling:
    """A connection under way that several exchanges wait for: HTTP/2 needs one, not one each."""

    def __init__(self) -> None:
        self.waiters: list[Signal] = []
        self.error: BaseException | None = None


class Pool:
    """The connections of one engine."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._closed = False
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[Key, dict[Pooled, None]] = {}
        """Connections with room for another exchange, the most recently used last; taken out wherever they stand."""
        self.connections: set[Pooled] = set()
        self.dialling: dict[Key, Dialling] = {}

    def forget(self) -> set[Pooled]:
        """In a forked child: return what was open, and drop all; the lock, too, since whoever held it is gone."""
        inherited = self.connections
        self._start_afresh()
        for pooled in inherited:
            pooled.known = pooled.listed = False
        return inherited

    def take(self, key: Key, exchange: Exchange) -> tuple[Pooled, Stream, bool] | None:
        """Begin an exchange on the connection that was used last and has room; tell whether that one was idle."""
        with self._lock:
            free = self._free.get(key)
            while free:
                pooled, _ = free.popitem()
                connection = pooled.connection
                if connection.is_exclusive:  # idle, then, and out of everybody's reach
                    pooled.listed = False
                    pooled.requests += 1
                    return pooled, connection.open(exchange), True
                if pooled.has_room():
                    was_idle = pooled.connection.is_idle()
                    stream = pooled.open(exchange)
                    pooled.listed = pooled.has_room()
                    if pooled.listed:
                        free[pooled] = None
                    return pooled, stream, was_idle
                pooled.listed = False  # lost or going away, while exchanges on it are still ending
            return None

    def add(self, pooled: Pooled) -> bool:
        """Take in a new connection, or tell that the engine was closed meanwhile: nobody would ever close it."""
        with self._lock:
            if not self._closed:
                self.connections.add(pooled)
                pooled.known = True
                pooled.shelf = self._free.setdefault(pooled.key, {})
            return pooled.known

    def open(self, pooled: Pooled, exchange: Exchange) -> Stream:
        """Begin the first exchange on a new connection, and let others have what room is left."""
        with self._lock:
            stream = pooled.open(exchange)
            self._list_locked(pooled)
            return stream

    def offer(self, pooled: Pooled) -> None:
        """Let everybody have a new connection."""
        with self._lock:
            self._list_locked(pooled)

    def settle(self, pooled: Pooled) -> bool:
        """After an exchange, keep the connection for others, or tell that it is over."""
        now = self._now()
        connection = pooled.connection
        with self._lock:
            if connection.is_exclusive:  # idle, then, and not listed
                pooled.idle_since = now
                if not pooled.known or not pooled.is_usable(now):
                    return True
                pooled.listed = True
                pooled.shelf[pooled] = None
                return False
            is_idle = connection.is_idle()
            if is_idle:
                pooled.idle_since = now
            if pooled.known and pooled.is_usable(now):
                self._list_locked(pooled)
                return False
            self._unlist_locked(pooled)
            return is_idle

    def remove(self, pooled: Pooled) -> None:
        """Let nobody have the connection any more."""
        with self._lock:
            self._unlist_locked(pooled)
            self.connections.discard(pooled)
            pooled.known = False

    def withdraw(self, is_overdue: Callable[[Pooled], bool]) -> list[Pooled]:
        """Take the idle connections that are overdue out of everybody's reach."""
        with self._lock:
            kept = [pooled for free in self._free.values() for pooled in free if pooled.connection.is_idle()]
            doomed = [pooled for pooled in kept if is_overdue(pooled)]
            for pooled in doomed:
                self._unlist_locked(pooled)
            bare = {key for key, free in self._free.items() if not free}
            for key in bare.difference(pooled.key for pooled in self.connections):
                del self._free[key]
            return doomed

    def close(self) -> list[Pooled]:
        """Take no more connections, and keep none that is given back; return those that are open."""
        with self._lock:
            self._closed = True
            doomed = list(self.connections)
            self.connections.clear()
            self._free.clear()
            for pooled in doomed:
                pooled.known = pooled.listed = False
            return doomed

    def join(self, key: Key, make_signal: Callable[[], Signal]) -> tuple[Dialling, Signal | None]:
        """Wait with others for whoever dials already, by the signal; without one, the caller is to dial."""
        with self._lock:
            dialling = self.dialling.get(key)
            if dialling is None:
                dialling = self.dialling[key] = Dialling()
                return dialling, None
            signal = make_signal()
            dialling.waiters.append(signal)
            return dialling, signal

    def dialled(self, key: Key, dialling: Dialling) -> None:
        """Wake those who waited, whatever came of it."""
        with self._lock:
            self.dialling.pop(key, None)
            waiters, dialling.waiters = dialling.waiters, []
        for signal in waiters:
            signal.set()

    def _list_locked(self, pooled: Pooled) -> None:
        if pooled.known and not pooled.listed and pooled.has_room():
            pooled.listed = True
            pooled.shelf[pooled] = None

    def _unlist_locked(self, pooled: Pooled) -> None:
        if pooled.listed:
            pooled.listed = False
            del pooled.shelf[pooled]  # an empty one stays until it is swept: it is soon used again

    def __repr__(self) -> str:
        with self._lock:
            return f"connections={len(self.connections)} with_room={sum(map(len, self._free.values()))}"
