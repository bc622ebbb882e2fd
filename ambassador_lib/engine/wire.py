"""The seam between protocols and networks: bytes in, bytes out, and what must be done differently on an event loop.

HTTP/1.1 and HTTP/2 are written once, against `Network` and `Wire`. `blocking` and `loop` implement both; the
blocking ones' coroutines never suspend, so that a plain call can step them to their end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..call import Deadline
from ..errors import Phase

if TYPE_CHECKING:
    import httpx

    from .base import Exchange

T = TypeVar("T")

READ_SIZE = 64 * 1024
PATIENCE = 300.0
"""Seconds that a wait may take where no deadline bounds it."""

OVERHEARD = 16 * 1024 * 1024
"""Bytes of a response that are taken while its request is still being sent; the peer waits with the rest."""
CLEANING_UP = 1.0
"""Seconds that cleaning up may take, after a cancellation or without one."""


class PeerReset(Exception):  # noqa: N818 - a signal to the protocol, which knows what it means
    """The peer reset the connection, or it broke in another way than by an orderly end.

    `sent` says, of a failed write, whether any of it may have left: false only where that is known.
    """

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Signal(Protocol):
    """Something one waits for once; `set` may come first."""

    async def wait(self, deadline: Deadline) -> None:
        """Wait until set; `DeadlineExpired` where nobody else cuts the wait at the deadline."""

    def set(self) -> None:
        """Let the waiter go on."""


class Wire(Protocol):
    """One connection's bytes, TLS already done."""

    alpn: str | None

    @property
    def keeps_deadlines(self) -> bool:
        """Whether `read` and `write` raise `DeadlineExpired` at the deadline themselves, wherever it moves meanwhile.

        Else the caller has to be cancelled: see `Network.within`.
        """

    async def read(self, deadline: Deadline) -> bytes:
        """Return what has come, `b""` at the peer's orderly end; `PeerReset`, `DeadlineExpired`."""

    async def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all of `data`; `PeerReset`, `DeadlineExpired`."""

    def put(self, data: bytes, deadline: Deadline) -> Awaitable[None] | None:
        """Send `data` as `write` does; where that takes more than a call, return what is still to be awaited."""

    def get(self, deadline: Deadline) -> bytes | None:
        """Return what `read` would, where that takes no more than a call; `None` where it has to be awaited."""

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Run `sending`, and let `hear` have what comes meanwhile; where it returns true, `sending` is broken off.

        A peer that answers does not always read on (a refusal) or not before its answer is taken (an echo). Return
        whether `sending` came to its end.
        """

    async def close(self) -> None:
        """Close at once; never fails."""

    def abort(self) -> None:
        """Break the connection off, from any thread: whoever reads or writes gets `PeerReset` or the end."""

    def forget(self) -> None:
        """Let go of a connection inherited through `fork`: no farewell, since the parent goes on using it."""

    def has_input(self) -> bool:
        """Whether a read would return at once: bytes, an end or an error."""

    def has_hung_up(self) -> bool:
        """Whether the peer has closed its side, as far as the system tells."""

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do (`ssl_object`, `client_addr`, `server_addr`, `socket`)."""


class Stream(Protocol):
    """One exchange on a connection."""

    @property
    def keeps_deadline(self) -> bool:
        """Whether `answer` ends at the deadline by itself: its wire does, and it waits for nobody else."""

    @property
    def phase(self) -> Phase:
        """How far it has come."""

    def begin(self) -> httpx.Response | None:
        """Send the request as far as a call can; return what `answer` would, where it is there by then."""

    async def answer(self) -> httpx.Response:
        """Go on with what `begin` has begun, and return the response's head.

        A complete answer's `stream` is a plain `httpx.ByteStream`; any other is for whoever asks to make.
        """

    async def read(self) -> bytes:
        """Return more of the body, `b""` at its end."""

    def drop(self) -> None:
        """The body is of no interest to anybody; `close` follows."""

    def end(self) -> Coroutine[Any, Any, None] | None:
        """End the exchange, complete or not; never fails. What is returned is still to be told to the peer."""


class Connection(Protocol):
    """A wire and the protocol spoken on it."""

    wire: Wire
    is_exclusive: bool
    """Whether it serves one exchange at a time: with one open there is no room for another."""

    def open(self, exchange: Exchange) -> Stream:
        """Begin an exchange; the caller has made sure that there is room."""

    def has_room(self) -> bool:
        """Whether one more exchange can be opened."""

    def is_idle(self) -> bool:
        """Whether no exchange is open."""

    def is_usable(self) -> bool:
        """Whether the connection can ever serve another exchange."""

    def is_stale(self) -> bool:
        """Whether an idle connection turns out to be dead; one system call."""


class Network(Protocol):
    """How to reach the other side from this kind of caller."""

    async def dial(self, exchange: Exchange) -> Wire:
        """Connect to `exchange.destination`, TLS and name checks included, within its `connect_timeout`."""

    def within(self, deadline: Deadline, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Run `work`, cancelled with `DeadlineExpired` when the deadline passes, where anything can be cancelled."""

    def signal(self) -> Signal:
        """Return something to wait for."""

    def grace(self) -> Deadline:
        """Return a near deadline for what cleaning up has to send."""

    def shielded(self) -> AbstractContextManager[object]:
        """Keep cancellation off a short piece of cleaning up."""

    async def protected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` to its end, whether or not the caller is cancelled meanwhile."""

    def home(self) -> object:
        """Return what connections made here are bound to: the running event loop, or `None` for nothing."""

    def has_passed(self, deadline: Deadline) -> bool:
        """Whether to give up where bytes keep coming, but never what is waited for: nothing else looks then."""

    def is_gone(self, home: object) -> bool:
        """Whether what `home` returned once is over, and with it what was made there."""

    def chunks(self, stream: Any) -> AsyncGenerator[bytes, None]:
        """Iterate over a request's body; to be closed."""

    def body(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> BodyStream:
        """Make a response's body out of how to read and how to close it."""


if TYPE_CHECKING:
    BodyStream = httpx.SyncByteStream | httpx.AsyncByteStream
