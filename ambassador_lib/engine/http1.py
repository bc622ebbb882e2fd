"""HTTP/1.1 on one connection: one exchange after the other, and what each way of breaking off means (semantics 12.1).

What is sent is written by `http1_request`, what comes is read by `http1_reader`; here both meet the wire.
"""

from __future__ import annotations

import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx

from ..errors import DeadlineExpired, Phase, UpstreamResetError, after_headers
from .framing import fixed_body
from .http1_head import AnswerHead
from .http1_reader import AnswerReader
from .http1_request import RequestWriter
from .wire import Head, Network, PeerReset, Wire

if TYPE_CHECKING:
    from .base import Exchange

SENT_AT_ONCE = 16 * 1024
"""Bytes of a request that a socket takes without waiting for the peer, and so without listening to it meanwhile."""


class Http1Connection:
    """Serves one exchange after the other."""

    is_exclusive = True

    def __init__(self, wire: Wire, network: Network) -> None:
        self.wire = wire
        self.network = network
        self.guard = threading.RLock()
        """Between whoever breaks an exchange off and its end: after it the connection is somebody else's."""
        self.known: AnswerHead | None = None
        """The head of the last answer, which the next one may repeat."""
        self._stream: Http1Stream | None = None
        self._usable = True

    def open(self, exchange: Exchange) -> Http1Stream:
        """Begin an exchange."""
        stream = self._stream = Http1Stream(self, exchange)
        return stream

    def ended(self, usable: bool) -> None:  # noqa: FBT001 - once an exchange, and quicker so
        """An exchange is over; nothing more is served where what it left behind cannot be trusted."""
        self._stream = None
        if not usable:
            self._usable = False

    def has_room(self) -> bool:
        """One exchange at a time."""
        return self._usable and self._stream is None

    def is_idle(self) -> bool:
        """Whether no exchange is open."""
        return self._stream is None

    def is_usable(self) -> bool:
        """Whether the connection can go on."""
        return self._usable

    def is_stale(self) -> bool:
        """Nothing may come while no exchange is open: anything to read is the end, or nonsense."""
        return self.wire.has_input()


class Http1Stream:
    """One exchange."""

    _reader: AnswerReader | None = None
    _sent = Phase.NOTHING_SENT
    """How much of the request has been sent."""
    _read_on = False
    """Whether the caller was given any of the body."""
    _is_kept = True
    """Whether the connection may go on after this."""
    _failure: UpstreamResetError | None = None
    _pulling = False
    """Whether the application is bringing more of the body."""
    _answered = False
    """Whether what came ends the upload."""
    _closed = False

    def __init__(self, connection: Http1Connection, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._wire = connection.wire
        self._body = fixed_body(exchange.stream)
        self.keeps_deadline = connection.wire.keeps_deadlines and self._body is not None

    @property
    def phase(self) -> Phase:
        """How far the exchange has come."""
        reader = self._reader
        if reader is None or not (reader.status or reader.has_begun):
            return self._sent
        return Phase.BODY_BEGUN if self._read_on or reader.chunks else Phase.HEAD_BEGUN

    async def start(self) -> Head:
        """Send the request, receive the head."""
        exchange, wire = self._exchange, self._wire
        exchange.abortable(self.abort)
        body = self._body
        writer = RequestWriter(exchange, body)
        reader = self._reader = AnswerReader(
            exchange.method, exchange.destination, may_switch=writer.asks_to_switch, known=self._connection.known
        )
        if writer.closes:
            self._is_kept = False
        try:
            data = b"" if body is None else writer.whole(body)
            if data and len(data) <= SENT_AT_ONCE:
                self._sent = Phase.SENT_IN_PART
                await wire.write(data, exchange.deadline)
                self._sent = Phase.SENT_WHOLE
            elif not await wire.listening(self._upload(writer, data), self._overheard):
                self._is_kept = False  # the peer is still to read the rest of the request
        except PeerReset as error:  # a server may answer (413, say) and close before it has read all: that decides
            self._is_kept = False
            if not error.sent:
                self._sent = Phase.NOTHING_SENT
        interims = 0
        while True:
            if reader.interims != interims:
                interims = reader.interims
                self._tell_interim(is_last=reader.status > 0)
            if reader.status:
                break
            if self._failure is not None:
                raise self._failure
            try:
                data = await wire.read(exchange.deadline)
            except PeerReset:
                data = b""
            self._take(reader, data)
        head = reader.head
        assert head is not None, "it has been read"
        self._connection.known = head
        extensions = {"http_version": head.version, "reason_phrase": head.reason, "network_stream": wire}
        content = b"".join(reader.chunks) if reader.is_whole else None
        return Head(head.status, head.lines.copy(), extensions, content)

    def _tell_interim(self, *, is_last: bool) -> None:
        if self._exchange.on_interim is not None:
            self._exchange.on_interim()
        # A peer that sends one after the other leaves nobody else a moment to look.
        if not is_last and self._connection.network.has_passed(self._exchange.deadline):
            raise DeadlineExpired

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _upload(self, writer: RequestWriter, data: bytes) -> None:
        """Send what is at hand, or else the head and what the application brings."""
        if data:
            await self._write(data)
        else:
            await self._write(writer.head)
            async with aclosing(self._connection.network.chunks(self._exchange.stream)) as chunks:
                self._pulling = True
                async for chunk in chunks:
                    self._pulling = False
                    if self._answered:
                        return
                    await self._write(writer.piece(chunk))
                    self._pulling = True
                self._pulling = False
            await self._write(writer.end())
        self._sent = Phase.SENT_WHOLE

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        is_first, self._sent = self._sent is Phase.NOTHING_SENT, Phase.SENT_IN_PART
        try:
            await self._wire.write(data, self._exchange.deadline)
        except PeerReset as error:
            error.sent = error.sent or not is_first
            raise

    def _overheard(self, data: bytes) -> bool:
        """Take what comes during the upload; tell whether it ends it: a refusal, a whole response, or a failure.

        The beginning of a success does not: the peer may well go on with it as it gets the rest (an echo).
        """
        reader = self._reader
        assert reader is not None, "made before anything is sent"
        self._take(reader, data)
        is_whole = reader.is_whole and reader.status != 101
        self._answered = is_whole or reader.status >= 400 or self._failure is not None
        return self._answered and not (self._pulling and self._is_retried(reader))

    def _is_retried(self, reader: AnswerReader) -> bool:
        """Whether the body will be sent again, which it could not be if its iterator were broken off."""
        asked = self._exchange.is_retried
        if asked is None or reader.head is None or not reader.status:
            return False
        return asked(reader.status, [(name, value) for name, _, value in reader.head.lines])

    # --- receiving ---------------------------------------------------------------------------------------------------

    async def _receive(self, reader: AnswerReader) -> None:
        try:
            data = await self._wire.read(self._exchange.deadline)
        except PeerReset:
            data = b""  # Envoy's codec takes every end of the connection for the end of the bytes, a reset too
        self._take(reader, data)

    def _take(self, reader: AnswerReader, data: bytes) -> None:
        """Take what has come, `b""` for the end; what is wrong with it is told when what came before has been read."""
        try:
            if data:
                reader.feed(data)
            else:
                reader.end()
        except UpstreamResetError as error:
            self._failure = error

    async def read(self) -> bytes:
        """Return more of the body."""
        reader = self._reader
        if self._closed or reader is None:
            raise httpx.StreamClosed
        while not reader.chunks:
            if reader.is_whole:
                return b""
            if self._failure is not None:
                raise after_headers(self._failure) from self._failure.__cause__
            await self._receive(reader)
        self._read_on = True
        return reader.chunks.popleft()

    # --- the end -----------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Break the exchange off, from any thread; its connection serves others when it is over."""
        with self._connection.guard:
            if not self._closed:
                self._is_kept = False
                self._wire.abort()

    def drop(self) -> None:
        """Nobody will read the body: if there is one, the connection ends with it, as in Envoy (semantics 3.7)."""
        reader = self._reader
        if reader is not None and (reader.chunks or not reader.is_whole):
            self._is_kept = False

    def end(self) -> None:
        """End the exchange; what has already come of a body that nobody read does not spoil the connection."""
        with self._connection.guard:
            if self._closed:
                return
            self._closed = True
        self._exchange.abortable(_nothing)  # else each would hold on to the other until the garbage collector comes
        is_kept = self._is_kept
        reader = self._reader
        if is_kept and reader is not None and self._sent is not Phase.NOTHING_SENT:
            # Nothing may follow that would be taken for the next answer.
            is_whole = self._sent is Phase.SENT_WHOLE and reader.is_whole
            is_kept = is_whole and reader.keeps_alive and not reader.follows
        self._connection.ended(is_kept)


def _nothing() -> None:
    """Break off what is over."""
