"""One exchange on an HTTP/2 connection: what it sends, what has come for it, and how it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import httpx

from .._httpx import make_response
from ..call import Header
from ..errors import (
    DeadlineExpired,
    Phase,
    UpstreamResetError,
    after_headers,
    connection_termination,
    protocol_error,
    remote_reset,
)
from .base import BODILESS
from .blocking import step
from .framing import excess, fixed_body, framed_headers
from .wire import Signal

if TYPE_CHECKING:
    from .base import Exchange
    from .http2 import Http2Connection

NOT_ON_HTTP2 = {b"host", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade"}
"""Source: RFC 9113 8.2.2; the host travels as `:authority`."""


class Http2Stream:
    """One exchange."""

    def __init__(self, connection: Http2Connection, exchange: Exchange) -> None:
        self.id = 0
        self.deadline = exchange.deadline
        self.signal: Signal | None = None
        self.ready: Callable[[], bool] = self._has_ended
        self._connection = connection
        self._exchange = exchange
        self._body = fixed_body(exchange.stream)
        self.keeps_deadline = connection.wire.keeps_deadlines and self._body is not None
        self._head: list[Header] | None = None
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._sent = False
        self._read_on = False
        self._ended = False
        self._closed = False
        self._error: UpstreamResetError | None = None
        self._trailers: list[Header] = []

    @property
    def phase(self) -> Phase:
        """How far it has come; what was sent of a stream that the peer refused, it has not processed."""
        if self._head is not None:
            return Phase.BODY_BEGUN if self._read_on or self._chunks else Phase.HEAD_BEGUN
        if not self.id:
            return Phase.NOTHING_SENT
        return Phase.SENT_WHOLE if self._sent else Phase.SENT_IN_PART

    def begin(self) -> httpx.Response | None:
        """Send nothing: others may be sending."""
        return None

    async def answer(self) -> httpx.Response:
        """Send the request, receive the head."""
        exchange = self._exchange
        exchange.abortable(self.abort)
        await self._send()
        await self._connection.until(self, self._has_head)
        if self._head is None:
            assert self._error is not None, "a head or an error ends the wait"
            raise self._error
        headers = [(name, name, value) for name, value in self._head if not name.startswith(b":")]
        if too_much := excess(headers, exchange.destination):
            raise remote_reset(too_much)  # Envoy resets the stream itself, and tells it as if the peer had
        extensions: dict[str, Any] = {
            "http_version": b"HTTP/2",
            "network_stream": self._connection.wire,
            "trailers": self._trailers,  # filled by the end of the body
        }
        if self._ended and not self._chunks and not self._trailers:
            extensions[BODILESS] = True
        return make_response(_status(self._head), headers, None, extensions)

    async def _send(self) -> None:
        connection, exchange = self._connection, self._exchange
        body = self._body
        headers = _request_headers(exchange, framed_headers(exchange.headers, body))
        with connection.lock:
            if not connection.is_usable():  # lost since it was chosen; nothing has been sent
                self.fail(remote_reset("the upstream is going away", refused=True))
            if self._error is not None:
                return
            try:
                connection.begin_locked(self, headers, end=body == b"")
            except h2.exceptions.TooManyStreamsError as error:
                raise remote_reset(str(error), refused=True) from error
            except h2.exceptions.ProtocolError as error:
                raise httpx.LocalProtocolError(str(error)) from error
        await connection.flush(self.deadline)
        if body == b"":
            self._sent = True
        else:
            await self._send_body(body)

    async def _send_body(self, body: bytes | None) -> None:
        connection = self._connection
        if body is not None:
            await self._send_chunk(body)
        else:
            async with aclosing(connection.network.chunks(self._exchange.stream)) as chunks:
                async for chunk in chunks:
                    await self._send_chunk(chunk)
                    if self._has_ended():  # an answer before the whole request is an answer
                        return
        with connection.lock:
            if self._has_ended():
                return
            connection.h2.end_stream(self.id)
            self._sent = True
        await connection.flush(self.deadline)

    async def _send_chunk(self, chunk: bytes) -> None:
        connection = self._connection
        rest = memoryview(chunk)
        while rest:
            await connection.until(self, self._may_send)
            with connection.lock:
                if self._has_ended():
                    return
                size = min(len(rest), self._window(), connection.h2.max_outbound_frame_size)
                connection.h2.send_data(self.id, bytes(rest[:size]))
            rest = rest[size:]
            await connection.flush(self.deadline)

    def received(self, event: h2.events.Event) -> None:
        """Take one of the peer's events, under the lock."""
        if isinstance(event, h2.events.ResponseReceived):
            self._head = list(event.headers or ())
        elif isinstance(event, h2.events.InformationalResponseReceived):  # swallowed
            self._exchange.on_interim()
        elif isinstance(event, h2.events.DataReceived):
            self._chunks.append((event.data or b"", event.flow_controlled_length or 0))
        elif isinstance(event, h2.events.TrailersReceived):
            self._trailers += event.headers or ()
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.fail(_told_by(event.error_code))

    def fail(self, error: UpstreamResetError) -> None:
        """Break off, under the lock; a response that is complete stays one."""
        if not self._ended and self._error is None:
            self._error = error
        if self.signal is not None:
            self.signal.set()

    def abort(self) -> None:
        """Break off from another thread; a ping brings the reader back from its socket."""
        connection = self._connection
        with connection.lock:
            self.fail(connection_termination("aborted"))
            if self.id and connection.failure is None:
                connection.h2.ping(bytes(8))
        step(connection.flush(connection.network.grace()))

    def _has_ended(self) -> bool:
        return self._ended or self._error is not None

    def _has_head(self) -> bool:
        return self._head is not None or self._error is not None

    def _has_data(self) -> bool:
        return bool(self._chunks) or self._has_ended()

    def _may_send(self) -> bool:
        return self._has_ended() or self._window() > 0

    def _window(self) -> int:
        return self._connection.h2.local_flow_control_window(self.id)

    async def read(self) -> bytes:
        """Return more of the body."""
        if self._closed:
            raise httpx.StreamClosed
        while True:
            await self._connection.until(self, self._has_data)
            with self._connection.lock:
                if not self._chunks:
                    if self._error is not None:
                        raise after_headers(self._error)
                    return b""
                data, size = self._chunks.popleft()
                self._connection.acknowledge_locked(self.id, size)
            await self._connection.flush(self.deadline)
            if data:
                self._read_on = True
                return data
            if self._connection.network.has_passed(self.deadline):  # frame after frame, and nothing in them
                raise DeadlineExpired

    def drop(self) -> None:
        """Nobody will read the body: the stream is reset when it is closed, and the connection goes on."""

    def end(self) -> Coroutine[Any, Any, None] | None:
        """End the exchange; a stream that is not at its end is reset, and the connection goes on."""
        if self._closed:
            return None
        self._closed = True
        connection = self._connection
        with connection.lock:
            connection.ended_locked()
            if connection.streams.pop(self.id, None) is not None and connection.failure is None:
                connection.acknowledge_locked(self.id, sum(size for _, size in self._chunks))
                if not (self._ended and self._sent):
                    _reset(connection.h2, self.id)
        return self._tell_the_end()

    async def _tell_the_end(self) -> None:
        with suppress(DeadlineExpired):  # `flush` has told the others
            await self._connection.flush(self._connection.network.grace())


def _request_headers(exchange: Exchange, headers: list[Header]) -> list[Header]:
    return [
        (b":method", exchange.method.encode("ascii")),
        (b":scheme", exchange.scheme.encode("ascii")),
        (b":authority", exchange.authority.encode("latin-1")),
        (b":path", exchange.target.encode("latin-1")),
        *(header for header in headers if header[0] not in NOT_ON_HTTP2),
    ]


def _status(head: list[Header]) -> int:
    status = next((value for name, value in head if name == b":status"), b"")
    if len(status) != 3 or not status.isdigit():  # RFC 9110 15: three digits; h2 lets anything pass
        raise protocol_error(f"response status {status!r}")
    return int(status)


def _told_by(code: int | None) -> UpstreamResetError:
    """Tell what the peer's RST_STREAM means; three codes have names of their own in Envoy."""
    message = f"stream reset by the upstream: {code!r}"
    if code == h2.errors.ErrorCodes.PROTOCOL_ERROR:
        return protocol_error(message)
    codes = h2.errors.ErrorCodes
    return remote_reset(message, refused=code == codes.REFUSED_STREAM, connect=code == codes.CONNECT_ERROR)


def _reset(state: h2.connection.H2Connection, stream_id: int) -> None:
    with suppress(h2.exceptions.ProtocolError):  # the peer has reset it already
        state.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
