"""The system's resolver."""

from __future__ import annotations

import asyncio
import socket
import threading

from ..runtime.base import Clock
from ..runtime.within import within
from .resolver import Answer, Family, NoSuchName, ResolveFailed, loopback, unique

SYSTEM_LOOKUP_TIMEOUT = 15.0
"""Seconds; the C library's own patience (two tries of 5 s for each server) is not ours to set."""

_SOCKET_FAMILIES = {"V4": socket.AF_INET, "V6": socket.AF_INET6, "BOTH": socket.AF_UNSPEC}
# Names of getaddrinfo's ways to say "no address"; which exist depends on the platform.
_NOT_FOUND = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)}


class SystemResolver:
    """`getaddrinfo` on threads of its own: one at a time for a name and family, however long it takes.

    The threads are daemons: unlike those of an executor, they do not hold the interpreter back at exit.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[tuple[str, Family], asyncio.Future[Answer]] = {}

    async def resolve(self, name: str, family: Family) -> Answer:
        """Ask the C library; it knows no TTLs."""
        key = (name, family)
        running = self._running.get(key)
        if running is None or running.get_loop() is not asyncio.get_running_loop():
            running = self._running[key] = self._start(name, family)
            running.add_done_callback(lambda done: self._forget(key, done))
        try:
            # Shielded: a lookup that outlives its caller serves the next one.
            return await within(self._clock, SYSTEM_LOOKUP_TIMEOUT, _finished(running))
        except TimeoutError:
            raise ResolveFailed(f"no answer for {name} in {SYSTEM_LOOKUP_TIMEOUT:g} s") from None

    def _forget(self, key: tuple[str, Family], done: asyncio.Future[Answer]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
        if not done.cancelled():
            done.exception()  # marked as seen: the caller may have given up long ago

    def _start(self, name: str, family: Family) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def work() -> None:
            answer: Answer | None = None
            error: Exception | None = None
            try:
                answer = system_lookup(name, family)
            except (NoSuchName, ResolveFailed) as failure:
                error = failure
            try:
                loop.call_soon_threadsafe(_settle, future, answer, error)
            except RuntimeError:  # the loop has ended meanwhile
                return

        try:
            threading.Thread(target=work, name=f"ambassador_lib-resolve-{name}", daemon=True).start()
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            future.set_exception(ResolveFailed(str(error)))
        return future


async def _finished(future: asyncio.Future[Answer]) -> Answer:
    return await asyncio.shield(future)


def _settle(future: asyncio.Future[Answer], answer: Answer | None, error: Exception | None) -> None:
    if future.done():
        return
    if answer is not None:
        future.set_result(answer)
    elif error is not None:
        future.set_exception(error)


def system_lookup(name: str, family: Family) -> Answer:
    """Call `getaddrinfo`; blocks. Where it has no address for localhost, there is one all the same, as for Envoy."""
    try:
        return _system_lookup(name, family)
    except (NoSuchName, ResolveFailed):
        if known := loopback(name, family):
            return Answer(known)
        raise


def _system_lookup(name: str, family: Family) -> Answer:
    try:
        infos = socket.getaddrinfo(name, None, _SOCKET_FAMILIES[family], socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NOT_FOUND:
            raise NoSuchName(f"{name}: {error.strerror}") from error
        raise ResolveFailed(f"{name}: {error.strerror}") from error
    except (OSError, UnicodeError) as error:
        raise ResolveFailed(f"{name}: {error}") from error
    return Answer(unique([str(info[4][0]) for info in infos]))
