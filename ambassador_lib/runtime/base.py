"""What handlers may ask of the world: the time, to wait, and nothing else.

Two runtimes exist: `blocking` blocks the thread and its coroutines never suspend; `loop` suspends the task under
asyncio or trio. A handler is written once against this protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..call import Deadline
from .recording import Recording

if TYPE_CHECKING:
    import httpx

    from .background import Background

T = TypeVar("T")


class Clock(Protocol):
    """Injectable time. `monotonic` and `time` are seconds; the latter since the epoch."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    def sleep(self, seconds: float) -> None:
        """Block the thread."""

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the task, under asyncio and trio alike."""


class Random(Protocol):
    """Injectable randomness: the part of `random.Random` that is used."""

    def random(self) -> float: ...
    def getrandbits(self, k: int, /) -> int: ...


class Ticket(Protocol):
    """Something that can be waited for once; `wake` may be called from any thread, before or after `wait`."""

    async def wait(self, deadline: Deadline) -> bool:
        """Wait until woken; False when the deadline passed first."""

    def wake(self) -> None: ...


class BodyWatch(Protocol):
    """Follows one response's body on behalf of the call."""

    def reading(self) -> Deadline:
        """Before each read: return the deadline that the read is under."""

    def received(self, size: int) -> None:
        """After each read of that many bytes: raise `DeadlineExpired` where what nobody could interrupt came late."""

    def complete(self, size: int) -> None:
        """Instead of all others: the body, of that many bytes, was there with the head."""

    def failed(self, error: Exception) -> Exception:
        """A read failed: return what the application shall see instead."""

    def ended(self) -> None:
        """Last, and exactly once: the body was read, closed early, failed or was cancelled."""


class Pace(Protocol):
    """How fast a response's body may go; `interval` is in seconds."""

    interval: float

    def allow(self, size: int) -> int:
        """Return how many of so many bytes may go now."""

    def wait(self) -> None:
        """An interval is waited for, because no more may go now."""


class Runtime(Protocol):
    """Everything that differs between a blocking and an event-loop caller."""

    clock: Clock

    def now(self) -> float:
        """Seconds on the injected clock."""

    async def sleep(self, seconds: float, deadline: Deadline) -> None:
        """Wait; raises `DeadlineExpired` at the deadline."""

    def ticket(self) -> Ticket: ...

    def within(self, deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run `work`, cancelled with `DeadlineExpired` when the deadline passes (in blocking code: when the engine
        notices, since sockets carry the deadline there)."""

    async def discard(self, response: httpx.Response) -> None:
        """Close a response that nobody will read."""

    async def pass_on(self, transport: Any, request: httpx.Request) -> httpx.Response:
        """Hand a request to an httpx transport of the runtime's kind."""

    def replayable(self, stream: Any, recording: Recording) -> Any:
        """Wrap a streamed request body so that it can be sent again."""

    async def drain(self, stream: Any) -> None:
        """Read a request's body to its end."""

    async def exhaust(self, response: httpx.Response, deadline: Deadline) -> None:
        """Read a response to its end, or to the deadline, and close it; what it says is nobody's concern."""

    def background(self, limit: int, name: str) -> Background:
        """Return where up to `limit` pieces of work can run beside their callers."""

    def pace_body(self, response: httpx.Response, pace: Pace) -> None:
        """Let a response's body through no faster than `pace` allows."""

    def watch_body(self, response: httpx.Response, watch: BodyWatch) -> None:
        """Have `watch` told of the body's reads and its end; of one that is there already, at once."""
