"""The way in: a transport makes a `Call` of a request, and finds who carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import httpx

from . import surroundings as world
from ._httpx import DefaultTimeout, scheme_of, target_of
from .call import INFINITY, Call
from .runtime.stepping import run_sync

if TYPE_CHECKING:
    from .call import Answer, Next
    from .policy.model import Listener

_HTTPX_DEFAULT: Final = httpx.Timeout(5.0).as_dict()


class Entry:
    """A way into the stack: the listener (or virtual host, or bare cluster) that claims a URL.

    `rule` is the contract's: 1, the URL is a listener's address; 2, its host is a virtual host's or a cluster's name.
    """

    __slots__ = ("chain", "listener", "name", "rule")

    def __init__(self, rule: int, listener: Listener, chain: Next) -> None:
        """`chain`: carries a call out whose `listener` this is."""
        self.rule = rule
        self.listener = listener
        self.chain = chain
        self.name: str | None = listener.name or None
        """The listener's, as reports give it."""


class Entrance:
    """A transport's, or its twin's."""

    def __init__(
        self, now: Callable[[], float], timeout: dict[str, float | None] | None, *, is_of_client: bool
    ) -> None:
        """`now`: seconds on the injected clock; `timeout`: the transport's own, in seconds, for requests that bring
        none; `is_of_client`: see `_Ambassador.serve_client`."""
        self._now = now
        self._timeout = timeout
        self.is_of_client = is_of_client
        self.is_closed = False
        self.at_work: Any = None
        """The `PolicyAtWork`, once it is."""

    def carry(self, request: httpx.Request) -> Any:
        """Return the answer to come, `None` where the transport has to look closer."""
        return self.enter(request)

    def enter(self, request: httpx.Request) -> Answer | None:
        """Return the coroutine of a request that the policy claims; `None` under surroundings, too."""
        at_work = self.at_work
        if at_work is None or world.installed is not None:
            return None
        entry: Entry | None = at_work.find(request.url)
        return None if entry is None else entry.chain(self.call(request, entry))

    def call(self, request: httpx.Request, entry: Entry | None) -> Call:
        """Return the call of a request. Raises `RuntimeError` once the transport is closed."""
        if self.is_closed:
            raise is_closed()
        url = request.url
        call = Call(request, self._now(), target_of(url), scheme_of(url))
        if entry is not None:
            call.listener = entry.listener
            call.report.listener = entry.name
        timeout: Any = request.extensions.get("timeout")
        if timeout is None or type(timeout) is DefaultTimeout or (timeout == _HTTPX_DEFAULT and not self.is_of_client):
            timeout = self._timeout
        if timeout is not None:
            read, write = timeout.get("read"), timeout.get("write")
            call.read_timeout = INFINITY if read is None else read
            call.write_timeout = INFINITY if write is None else write
        return call


class BlockingEntrance(Entrance):
    """That of a transport for threads."""

    def carry(self, request: httpx.Request) -> Any:
        """Return the response, `None` where the transport has to look closer."""
        work = self.enter(request)
        return None if work is None else run_sync(work)


def is_closed() -> RuntimeError:
    """Return what a closed transport raises, as httpx's do."""
    return RuntimeError("Cannot send a request, as the transport has been closed.")
