"""Has anybody patched httpx? Then somebody wants to see the application's requests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import attrgetter
from types import FunctionType
from typing import Any, ClassVar

from httpx import AsyncHTTPTransport, HTTPTransport


def genuine(owner: type, name: str) -> object:
    """Return the method or property that `owner`'s own module defines, `None` while something stands in its place.

    A class without a constructor is one of this library's, and is asked for as soon as it is made.
    """
    member = vars(owner).get(name)
    constructor = vars(owner).get("__init__")
    if constructor is None:
        return member
    function = member.fget if type(member) is property else member
    is_genuine = type(function) is FunctionType and function.__code__.co_filename == constructor.__code__.co_filename
    return member if is_genuine else None


class AsWritten:
    """Tells whether methods of a class, or of what derives from it, are still those that its authors wrote.

    It is asked for every call: for subclasses that override them, and for patches, which come and go.
    """

    def __init__(self, owner: type, *names: str) -> None:
        """`owner`: has these methods or properties, or inherits them; or another class that it names has (`a.b`)."""
        self.own = frozenset([name for name in names if "." not in name])
        """The names of its own, which an instance may have something else under."""
        self._homes = [_home(owner, name) for name in names]
        self._current: Callable[[type], object] = attrgetter(*names)
        self._known = [genuine(*home) for home in self._homes]
        self._written = self._expected()

    def are_as_written(self, asked: type) -> bool:
        """Tell it of `asked`: the class itself, or one derived from it."""
        return self._current(asked) == self._written or (None in self._known and self._are_after_all(asked))

    def _are_after_all(self, asked: type) -> bool:
        """What was patched when it was looked at is looked for again."""
        self._known = [known or genuine(*home) for home, known in zip(self._homes, self._known, strict=True)]
        self._written = self._expected()
        return self._current(asked) == self._written

    def _expected(self) -> object:
        """Return what `attrgetter` returns if all is as written: a tuple, or for one name no tuple."""
        return tuple(self._known) if len(self._known) > 1 else self._known[0]


def _home(owner: type, path: str) -> tuple[type, str]:
    """Return the class that defines what `path` leads to, and its name there."""
    holder, _, name = path.rpartition(".")
    kind: type = attrgetter(holder)(owner) if holder else owner
    return next(base for base in kind.__mro__ if name in vars(base)), name


class _NotImported:
    """Stands for httpcore's pools until somebody has imported httpcore, which takes as long as httpx itself."""

    handle_request: ClassVar[None] = None
    handle_async_request: ClassVar[None] = None


class _Originals:
    """What pytest-httpx, respx and instrumentations replace, as its authors wrote it.

    `None` stands for what was patched whenever it was looked at; it is looked for again.
    """

    __slots__ = ("AsyncPool", "SyncPool", "async_pool", "async_transport", "has_pools", "sync_pool", "sync_transport")

    def __init__(self) -> None:
        self.has_pools = False
        """Whether httpcore has been imported: before, nobody can have patched it."""
        self.sync_transport: object = None
        self.async_transport: object = None
        self.SyncPool: Any = _NotImported
        self.AsyncPool: Any = _NotImported
        self.sync_pool: object = None
        self.async_pool: object = None
        self.look_again()

    def look_again(self) -> None:
        """Find what was missed."""
        self.sync_transport = self.sync_transport or genuine(HTTPTransport, "handle_request")
        self.async_transport = self.async_transport or genuine(AsyncHTTPTransport, "handle_async_request")
        if not self.has_pools:
            httpcore = sys.modules.get("httpcore")
            # The module may be half imported, on another thread.
            pools = getattr(httpcore, "ConnectionPool", None), getattr(httpcore, "AsyncConnectionPool", None)
            if None in pools:
                return
            self.SyncPool, self.AsyncPool = pools
            self.has_pools = True
        self.sync_pool = self.sync_pool or genuine(self.SyncPool, "handle_request")
        self.async_pool = self.async_pool or genuine(self.AsyncPool, "handle_async_request")


_originals = _Originals()


def pristine() -> bool:
    """Tell whether httpx's transports and httpcore's pools are as their authors wrote them; asked for every request.

    While they are not, somebody wants to see the application's requests, and the library's own engine, which uses
    neither, would hide them.
    """
    known = _originals
    return (
        HTTPTransport.handle_request is known.sync_transport
        and AsyncHTTPTransport.handle_async_request is known.async_transport
        and known.SyncPool.handle_request is known.sync_pool
        and known.AsyncPool.handle_async_request is known.async_pool
        and (known.has_pools or "httpcore" not in sys.modules)
    ) or (_is_original(is_async=False) and _is_original(is_async=True))


def _is_original(*, is_async: bool) -> bool:
    known = _originals
    known.look_again()
    if is_async:
        transport = AsyncHTTPTransport.handle_async_request is known.async_transport
        return transport and known.AsyncPool.handle_async_request is known.async_pool
    transport = HTTPTransport.handle_request is known.sync_transport
    return transport and known.SyncPool.handle_request is known.sync_pool


def has_genuine_pool(*, is_async: bool) -> bool:
    """Tell whether nobody watches httpcore's pool, below httpx's transports."""
    known = _originals
    known.look_again()
    if is_async:
        return known.AsyncPool.handle_async_request is known.async_pool
    return known.SyncPool.handle_request is known.sync_pool


def passes_on() -> bool:
    """Tell whether whoever has patched httpx passes on what it has seen, as instrumentations do.

    They put an object around a method that still leads to it (`wrapt`); mocks put a function in its place, and answer.
    """
    methods = ((HTTPTransport, "handle_request"), (AsyncHTTPTransport, "handle_async_request"))
    return (
        all(_leads_to(owner, name, vars(owner)[name]) for owner, name in methods)
        and has_genuine_pool(is_async=False)
        and has_genuine_pool(is_async=True)
    )


def _leads_to(owner: type, name: str, member: Any) -> bool:
    """Tell whether a method of `owner`, or what stands in its place, is its own or an object around it."""
    while type(member) is not FunctionType:
        member = getattr(member, "__func__", None) or getattr(member, "__wrapped__", None)
        if member is None:
            return False
    return member.__name__ == name and bool(member.__code__.co_filename == vars(owner)["__init__"].__code__.co_filename)


def connects(transport: object) -> bool:
    """Tell whether it is httpx's transport, and connects to what it is asked for, alone or below what passes it on."""
    if not isinstance(transport, (HTTPTransport, AsyncHTTPTransport)):
        return False
    is_async = isinstance(transport, AsyncHTTPTransport)
    kind, name = (AsyncHTTPTransport, "handle_async_request") if is_async else (HTTPTransport, "handle_request")
    method = vars(transport).get(name) or next(
        vars(base)[name] for base in type(transport).__mro__ if name in vars(base)
    )
    return _leads_to(kind, name, method) and has_genuine_pool(is_async=is_async)
