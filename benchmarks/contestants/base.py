"""What a contestant is. Nothing heavy is imported here: each measures its own imports in a process of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..figures.results import Kind

PolicyName = Literal["full", "bare", "tls"]
KINDS: tuple[Kind, ...] = ("sync", "async")
SyncCall = Callable[[], None]
AsyncCall = Callable[[], Awaitable[None]]
Call = Callable[[], Any]
"""Makes one call, to the end of its body, and raises where the answer is not a 200: a `SyncCall` or an `AsyncCall`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to call. `url` is the upstream's or the sidecar's; for ours it is a listener's of `policy`, a file."""

    url: str
    policy: str
    callers: int
    """As many calls at once must be possible."""
    authority: str = ""
    """A file with the certificate that the upstream's TLS is verified by, where it has TLS."""


class Session(Protocol):
    """An open contestant. `call` is what is measured; an async contestant's `close` is awaited."""

    call: Call

    def close(self) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """`open` is called inside the running event loop where `kind` is async.

    `needs`: what it imports, timed, absent where one of them is not installed; `without`: what must not be found even
    where it is installed. `target`: which URL it is given, the upstream's, that of the sidecar `through`, the
    upstream's with TLS, or the policy's listener (`policy`: nobody listens there). `policy`: which one it enforces,
    see `world.policy.POLICIES`. `compiled`: it runs the library of build/compiled.
    """

    name: str
    kind: Kind
    title: str
    family: str
    open: Callable[[Place], Session]
    needs: tuple[str, ...]
    target: Literal["upstream", "sidecar", "tls", "policy"] = "upstream"
    through: str | None = None
    policy: PolicyName = "full"
    telemetry: str | None = None
    without: tuple[str, ...] = ()
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    compiled: bool = False

    @property
    def upstream(self) -> str:
        """Which upstream its calls end at: `upstream`, or `tls`."""
        return "tls" if self.target == "tls" or self.policy == "tls" else "upstream"


class UnexpectedStatusError(Exception):
    """The answer was another than 200; the message is what it is counted as."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")


def check(status: int) -> None:
    if status != 200:
        raise UnexpectedStatusError(status)


class Simple:
    """A session of a call and a way to close."""

    def __init__(self, call: Call, close: Callable[[], Any]) -> None:
        self.call = call
        self._close = close

    def close(self) -> Any:
        return self._close()
