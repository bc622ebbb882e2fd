"""HTTP/1.1 on one connection: one exchange after the other, and what each way of breaking off means (semantics 12.1).

What is sent is written by `http1_request`, what comes is read by `http1_reader`; here both meet the wire.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import httpx

from .._httpx.parts import make_response, stream_of
from ..errors import DeadlineExpired, Phase, UpstreamResetError, after_headers
from .framing import fixed_body
from .http1_head import AnswerHead
from .http1_reader import AnswerReader
from .http1_request import RequestWriter
from .wire import Network, PeerReset, Wire

if TYPE_CHECKING:
    from .base import Exchange

NOTHING_SENT, SENT_IN_PART, SENT_WHOLE = Phase.NOTHING_SENT, Phase.SENT_IN_PART, Phase.SENT_WHOLE
"""An enumeration's members take four times as long to look up."""
UNLIKE_OTHERS = frozenset(("CONNECT", "HEAD"))
"""Methods by which the same head announces another body."""
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
        self.stream: Http1Stream | None = None
        self.usable = True
        """Whether what was served left nothing behind that cannot be trusted."""

    def open(self, exchange: Exchange) -> Http1Stream:
        """Begin an exchange."""
        stream = self.stream = Http1Stream(self, exchange)
        return stream

    def has_room(self) -> bool:
        """One exchange at a time."""
        return self.usable and self.stream is None

    def is_idle(self) -> bool:
        """Whether no exchange is open."""
        return self.stream is None

    def is_usable(self) -> bool:
        """Whether the connection can go on."""
        return self.usable

    def is_stale(self) -> bool:
        """Nothing may come while no exchange is open: anything to read is the end, or nonsense."""
        return self.wire.has_input()


class Http1Stream:
    """One exchange.

    Nearly all requests leave in one piece, and nearly all answers come in one, with a head that came before: for those
    `begin` does all there is to do, but for waiting. Whatever is more takes over from where they are.
    """

    _rest: Awaitable[None] | None = None
    """What is still to be done to send the request."""
    _may_switch = False
    """Whether the request asks for another protocol."""
    _reader: AnswerReader | None = None
    _interims = 0
    """How many interim responses have been told of."""
    _sent = NOTHING_SENT
    """How much of the request has been sent."""
    _is_whole = False
    """Whether the answer came whole at once, and with nothing behind it."""
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

    __deletable__ = ("_exchange",)  # to compiled classes

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

    def begin(self) -> httpx.Response | None:
        """Send the request, and return the answer, as far as that takes no waiting that is to be awaited."""
        exchange, body = self._exchange, self._body
        exchange.abortable(self.abort)
        writer = RequestWriter(exchange, body)
        if writer.closes:
            self._is_kept = False
        if writer.asks_to_switch:
            self._may_switch = True
        data = b"" if body is None else writer.whole(body)
        if not data or len(data) > SENT_AT_ONCE:
            self._rest = self._send_listening(writer, data)
            return None
        self._sent = SENT_IN_PART
        try:
            rest = self._wire.put(data, exchange.deadline)
        except PeerReset as error:
            self._has_broken(error)
            return None
        if rest is not None:
            self._rest = self._send(rest)
            return None
        self._sent = SENT_WHOLE
        try:
            came = self._wire.get(exchange.deadline)
        except PeerReset:
            came = b""
        return None if came is None else self._heard(came)

    async def answer(self) -> httpx.Response:
        """Send what is left of the request, receive the head."""
        if self._rest is not None:
            try:
                await self._rest
            except PeerReset as error:
                self._has_broken(error)
        response = None if self._reader is None else self._so_far(self._reader)
        while response is None:
            try:
                data = await self._wire.read(self._exchange.deadline)
            except PeerReset:
                data = b""  # Envoy's codec takes every end of the connection for the end of the bytes, a reset too
            response = self._heard(data)
        return response

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _send(self, rest: Awaitable[None]) -> None:
        """Have the rest of the request sent."""
        await rest
        self._sent = SENT_WHOLE

    async def _send_listening(self, writer: RequestWriter, data: bytes) -> None:
        """Send the request while the peer may answer already."""
        if not await self._wire.listening(self._upload(writer, data), self._overheard):
            self._is_kept = False  # the peer is still to read the rest of the request

    def _has_broken(self, error: PeerReset) -> None:
        """Go on to the answer: a server may answer (413, say) and close before it has read all; that decides."""
        self._is_kept = False
        if not error.sent:
            self._sent = NOTHING_SENT

    async def _upload(self, writer: RequestWriter, data: bytes) -> None:
        """Send what is at hand, or else the head and what the application brings."""
        if data:
            await self._write(data)
        else:
            await self._write(writer.head)
            if not await self._pour(writer):
                return
            await self._write(writer.end())
        self._sent = SENT_WHOLE

    async def _pour(self, writer: RequestWriter) -> bool:
        """Send what the application brings, and close its iterator; tell whether no answer has made that pointless."""
        is_whole = False
        chunks = self._connection.network.chunks(self._exchange.stream)
        failure: list[BaseException] = []
        self._pulling = True
        try:
            async for chunk in chunks:
                self._pulling = False
                if self._answered:
                    break
                await self._write(writer.piece(chunk))
                self._pulling = True
            else:
                is_whole = True
            self._pulling = False
        except BaseException as error:  # noqa: BLE001 - raised below
            failure.append(error)
        await chunks.aclose()
        if failure:
            raise failure.pop()
        return is_whole

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        is_first, self._sent = self._sent is NOTHING_SENT, SENT_IN_PART
        try:
            await self._wire.write(data, self._exchange.deadline)
        except PeerReset as error:
            error.sent = error.sent or not is_first
            raise

    def _overheard(self, data: bytes) -> bool:
        """Take what comes during the upload; tell whether it ends it: a refusal, a whole response, or a failure.

        The beginning of a success does not: the peer may well go on with it as it gets the rest (an echo).
        """
        reader = self._take(data)
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

    def _heard(self, data: bytes) -> httpx.Response | None:
        """Take what has come, `b""` for the end; return the answer where its head is there."""
        known, exchange = self._connection.known, self._exchange
        if (
            known is not None
            and len(data) == known.whole_size
            and data.startswith(known.raw)
            and self._reader is None
            and known.status < exchange.dropped_from
            and exchange.method not in UNLIKE_OTHERS
        ):
            self._is_whole = True
            return self._response(known, stream_of(data[len(known.raw) :]))
        return self._so_far(self._take(data))

    def _take(self, data: bytes) -> AnswerReader:
        """Take what has come, `b""` for the end; what is wrong with it is told when what came before has been read."""
        reader = self._reader
        if reader is None:
            exchange = self._exchange
            reader = self._reader = AnswerReader(
                exchange.method, exchange.destination, may_switch=self._may_switch, known=self._connection.known
            )
        try:
            if data:
                reader.feed(data)
            else:
                reader.end()
        except UpstreamResetError as error:
            self._failure = error
        return reader

    def _so_far(self, reader: AnswerReader) -> httpx.Response | None:
        """Return the answer where its head is there, and as a complete one where that is all."""
        if reader.interims != self._interims:
            self._interims = reader.interims
            self._tell_interim(is_last=reader.status > 0)
        if not reader.status:
            if self._failure is not None:
                raise self._failure
            return None
        head = reader.head
        assert head is not None, "it has been read"
        self._connection.known = head
        if reader.is_whole and (head.status < self._exchange.dropped_from or not reader.chunks):
            return self._response(head, stream_of(b"".join(reader.chunks)))
        return self._response(head, None)

    def _response(self, head: AnswerHead, stream: httpx.ByteStream | None) -> httpx.Response:
        extensions = {"http_version": head.version, "reason_phrase": head.reason, "network_stream": self._wire}
        return make_response(head.status, head.lines.copy(), stream, extensions)

    def _tell_interim(self, *, is_last: bool) -> None:
        self._exchange.on_interim()
        # A peer that sends one after the other leaves nobody else a moment to look.
        if not is_last and self._connection.network.has_passed(self._exchange.deadline):
            raise DeadlineExpired

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
            try:
                data = await self._wire.read(self._exchange.deadline)
            except PeerReset:
                data = b""
            self._take(data)
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
        connection = self._connection
        with connection.guard:
            if self._closed:
                return
            self._closed = True
        self._exchange.abortable(_nothing)  # else each would hold on to the other until the garbage collector comes
        if not (self._is_kept and (self._is_whole or self._sent is NOTHING_SENT or self._is_done())):
            connection.usable = False
        connection.stream = None

    def _is_done(self) -> bool:
        """Whether all was sent and has come; nothing may follow that would be taken for the next answer."""
        reader = self._reader
        if reader is None or self._sent is not SENT_WHOLE:
            return False
        return reader.is_whole and reader.keeps_alive and not reader.follows


def _nothing() -> None:
    """Break off what is over."""
