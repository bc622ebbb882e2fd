"""HTTP/2 on one connection, by h2: many exchanges at once, from threads or tasks.

Nobody reads in the background: whoever waits for something reads for all, and hands the role over when it leaves.
The `h2` state machine is touched under the lock only, and never across an await.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpx

from ..call import Deadline, Header
from ..errors import UpstreamResetError, after_headers, connection_termination, protocol_error, remote_reset
from .blocking import step
from .framing import check_head, fixed_body, framed_headers
from .goaway import GoawayFilter
from .wire import MAX_HEAD_SIZE, Head, Network, PeerReset, Signal, Wire

if TYPE_CHECKING:
    from .base import Exchange

MAX_STREAMS = 1024
"""Source: `Http2ProtocolOptions.max_concurrent_streams`, as Envoy's clients default it."""
LAST_STREAM_ID = 2**31 - 2**16
STREAM_WINDOW = 2**20
CONNECTION_WINDOW = 2**24
NOT_ON_HTTP2 = {b"host", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade"}
"""Source: RFC 9113 8.2.2; the host travels as `:authority`."""


class Http2Connection:
    """Serves as many exchanges at once as the peer allows."""

    def __init__(self, wire: Wire, network: Network) -> None:
        self.wire = wire
        self.network = network
        self.lock = threading.Lock()
        self.h2 = _started()
        self.streams: dict[int, Http2Stream] = {}
        self.failure: Callable[[], UpstreamResetError] | None = None
        self._frames = GoawayFilter()
        self._open = 0
        self._draining = False
        self._reader: Http2Stream | None = None
        self._writing = False

    def open(self, exchange: Exchange) -> Http2Stream:
        """Begin an exchange."""
        self._open += 1
        stream = Http2Stream(self, exchange)
        exchange.abortable(stream.abort)
        return stream

    def ended(self) -> None:
        """One exchange is over."""
        self._open -= 1

    def has_room(self) -> bool:
        """Whether the peer takes one more stream."""
        return self.is_usable() and self._open < min(MAX_STREAMS, self.h2.remote_settings.max_concurrent_streams)

    def is_idle(self) -> bool:
        """Whether no exchange is open."""
        return self._open == 0

    def is_usable(self) -> bool:
        """Whether new streams can be opened."""
        return not self._draining and self.failure is None

    def is_stale(self) -> bool:
        """Frames may come to an idle connection; the peer's end tells that it is dead."""
        return self.wire.has_hung_up()

    def begin_locked(self, stream: Http2Stream, headers: list[Header], *, end: bool) -> None:
        """Open the stream on the wire."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers, end_stream=end)
        stream.id = stream_id
        self.streams[stream_id] = stream
        self._draining |= stream_id > LAST_STREAM_ID

    async def until(self, stream: Http2Stream, ready: Callable[[], bool]) -> None:
        """Wait until `ready`, which is asked under the lock; read for everybody where nobody else does."""
        deadline = stream.deadline
        try:
            while True:
                with self.lock:
                    if ready():
                        return
                    signal = None
                    if self._reader is None or self._reader is stream:
                        self._reader = stream
                    else:
                        stream.ready, stream.signal = ready, self.network.signal()
                        signal = stream.signal
                if signal is None:
                    await self._read(deadline)
                else:
                    await signal.wait(deadline)
        finally:
            with self.lock:
                stream.signal = None
                if self._reader is stream:
                    self._reader = None
                if self._reader is None:
                    self._hand_over_locked()

    def _hand_over_locked(self) -> None:
        for stream in self.streams.values():
            if stream.signal is not None:
                stream.signal.set()
                return

    async def _read(self, deadline: Deadline) -> None:
        try:
            data = await self.wire.read(deadline)
        except PeerReset as error:
            message = str(error)
            self.fail(lambda: connection_termination(message))
            return
        if not data:
            self.fail(connection_termination)
            return
        self._receive(data)
        await self.flush(deadline)

    def fail(self, failure: Callable[[], UpstreamResetError]) -> None:
        """Break all exchanges off: the connection is lost."""
        with self.lock:
            self._fail_locked(failure)

    def _fail_locked(self, failure: Callable[[], UpstreamResetError]) -> None:
        self.failure = self.failure or failure
        for stream in self.streams.values():
            stream.fail(failure())

    def _receive(self, data: bytes) -> None:
        with self.lock:
            try:
                for event in self.h2.receive_data(self._frames.feed(data)):
                    stream = self.streams.get(getattr(event, "stream_id", None) or 0)
                    if stream is not None:
                        stream.received(event)
            except h2.exceptions.ProtocolError as error:
                message = str(error) or type(error).__name__
                self._fail_locked(lambda: protocol_error(message))
            if self._frames.last_stream_id is not None:
                self._drain_locked(self._frames.last_stream_id)
            for stream in self.streams.values():
                if stream.signal is not None and stream.ready():
                    stream.signal.set()

    def _drain_locked(self, last_stream_id: int) -> None:
        # RFC 9113 6.8: streams above the last one were not processed; those below go on to their end.
        self._draining = True
        for stream_id, stream in self.streams.items():
            if stream_id > last_stream_id:
                stream.fail(remote_reset("the upstream is going away", refused=True))

    async def flush(self, deadline: Deadline) -> None:
        """Send what is due, unless another thread or task is at it: that one takes ours along."""
        while True:
            with self.lock:
                data = b"" if self._writing else self.h2.data_to_send()
                if not data:
                    return
                self._writing = True
            written = False
            try:
                await self.wire.write(data, deadline)
                written = True
            except PeerReset:
                return  # what the peer said before it closed is still to be read; the end comes with it
            finally:
                with self.lock:
                    self._writing = False
                    if not written:  # part of a frame may be on the wire: nothing can follow it
                        self._draining = True

    def acknowledge_locked(self, stream_id: int, size: int) -> None:
        """Give the peer back the room that `size` bytes of body took."""
        if size and self.failure is None:
            self.h2.acknowledge_received_data(size, stream_id)


class Http2Stream:
    """One exchange."""

    def __init__(self, connection: Http2Connection, exchange: Exchange) -> None:
        self.id = 0
        self.deadline = exchange.deadline
        self.signal: Signal | None = None
        self.ready: Callable[[], bool] = self._has_ended
        self._connection = connection
        self._exchange = exchange
        self._head: list[Header] | None = None
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._sent = False
        self._ended = False
        self._closed = False
        self._error: UpstreamResetError | None = None

    async def start(self) -> Head:
        """Send the request, receive the head."""
        await self._send()
        await self._connection.until(self, self._has_head)
        if self._head is None:
            assert self._error is not None, "a head or an error ends the wait"
            raise self._error
        headers = [header for header in self._head if not header[0].startswith(b":")]
        check_head(headers)
        status = next(int(value) for name, value in self._head if name == b":status")
        return Head(status, headers, {"http_version": b"HTTP/2", "network_stream": self._connection.wire})

    async def _send(self) -> None:
        connection, exchange = self._connection, self._exchange
        body = fixed_body(exchange.stream)
        headers = _request_headers(exchange, framed_headers(exchange.headers, body))
        with connection.lock:
            if self._error is not None or connection.failure is not None:
                self._error = self._error or connection_termination()
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
        async for chunk in self._chunks_of(body):
            rest = memoryview(chunk)
            while rest:
                await connection.until(self, self._may_send)
                with connection.lock:
                    if self._has_ended():  # an answer before the whole request is an answer
                        return
                    size = min(len(rest), self._window(), connection.h2.max_outbound_frame_size)
                    connection.h2.send_data(self.id, bytes(rest[:size]))
                rest = rest[size:]
                await connection.flush(self.deadline)
        with connection.lock:
            if self._has_ended():
                return
            connection.h2.end_stream(self.id)
            self._sent = True
        await connection.flush(self.deadline)

    async def _chunks_of(self, body: bytes | None) -> AsyncIterator[bytes]:
        if body is not None:
            yield body
        else:
            async for chunk in self._connection.network.chunks(self._exchange.stream):
                yield chunk

    def received(self, event: h2.events.Event) -> None:
        """Take one of the peer's events, under the lock."""
        if isinstance(event, h2.events.ResponseReceived):
            self._head = list(event.headers or ())
        elif isinstance(event, h2.events.DataReceived):
            self._chunks.append((event.data or b"", event.flow_controlled_length or 0))
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
        elif isinstance(event, h2.events.StreamReset):
            refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            self.fail(remote_reset(f"stream reset by the upstream: {event.error_code!r}", refused=refused))

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
        step(connection.flush(self.deadline))

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
                return data

    async def close(self) -> None:
        """End the exchange; a stream that is not at its end is reset, and the connection goes on."""
        if self._closed:
            return
        self._closed = True
        connection = self._connection
        with connection.lock:
            connection.ended()
            if connection.streams.pop(self.id, None) is not None and connection.failure is None:
                connection.acknowledge_locked(self.id, sum(size for _, size in self._chunks))
                if not (self._ended and self._sent):
                    _reset(connection.h2, self.id)
        try:
            await connection.flush(Deadline())
        except Exception:
            connection.fail(connection_termination)


def _started() -> h2.connection.H2Connection:
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    settings = h2.settings.SettingCodes
    state.local_settings = h2.settings.Settings(
        client=True,
        initial_values={
            settings.ENABLE_PUSH: 0,
            settings.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            settings.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            settings.MAX_HEADER_LIST_SIZE: MAX_HEAD_SIZE,
        },
    )
    state.initiate_connection()
    state.increment_flow_control_window(CONNECTION_WINDOW)
    return state


def _request_headers(exchange: Exchange, headers: list[Header]) -> list[Header]:
    return [
        (b":method", exchange.method.encode("ascii")),
        (b":scheme", exchange.scheme.encode("ascii")),
        (b":authority", exchange.authority.encode("latin-1")),
        (b":path", exchange.target.encode("latin-1")),
        *(header for header in headers if header[0] not in NOT_ON_HTTP2),
    ]


def _reset(state: h2.connection.H2Connection, stream_id: int) -> None:
    try:
        state.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
    except h2.exceptions.ProtocolError:
        pass  # the peer has reset it already
