"""HTTP/2 on one connection, by h2: many exchanges at once, from threads or tasks.

Nobody reads in the background: whoever waits for something reads for all, and hands the role over when it leaves.
The `h2` state machine is touched under the lock only, and never across an await.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from ..call import Deadline, Header
from ..errors import (
    DeadlineExpired,
    UpstreamResetError,
    connection_termination,
    protocol_error,
    remote_reset,
)
from .base import MAX_HEAD_SIZE, MAX_STREAMS
from .goaway import GoawayFilter
from .http2_stream import Http2Stream
from .wire import Network, PeerReset, Wire

if TYPE_CHECKING:
    from .base import Exchange

LAST_STREAM_ID = 2**31 - 2**16
STREAM_WINDOW = 2**20
CONNECTION_WINDOW = 2**24


class Http2Connection:
    """Serves as many exchanges at once as the peer allows."""

    is_exclusive = False

    def __init__(self, wire: Wire, network: Network, max_streams: int = MAX_STREAMS) -> None:
        self.wire = wire
        self.network = network
        self.lock = threading.Lock()
        self.h2 = _started()
        self.streams: dict[int, Http2Stream] = {}
        self.failure: Callable[[], UpstreamResetError] | None = None
        self._frames = GoawayFilter()
        self._open = 0
        self._max_streams = max_streams
        self._draining = False
        self._reader: Http2Stream | None = None
        self._writing = False
        self._is_mute = False

    def open(self, exchange: Exchange) -> Http2Stream:
        """Begin an exchange."""
        with self.lock:
            self._open += 1
        return Http2Stream(self, exchange)

    def ended_locked(self) -> None:
        """One exchange is over."""
        self._open -= 1

    def has_room(self) -> bool:
        """Whether the peer takes one more stream, and the policy lets it."""
        return self.is_usable() and self._open < min(self._max_streams, self.h2.remote_settings.max_concurrent_streams)

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
        late = False
        try:
            while True:
                with self.lock:
                    if ready():
                        return
                    if late:
                        raise DeadlineExpired
                    signal = None
                    if self._reader is None or self._reader is stream:
                        self._reader = stream
                    else:
                        stream.ready, stream.signal = ready, self.network.signal()
                        signal = stream.signal
                if signal is None:
                    await self._read(deadline)
                    late = self.network.has_passed(deadline)
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
        """Send what is due, unless another thread or task is at it: that one takes ours along.

        Cancelling one exchange must not cut a frame in two, which would end all the others.
        """
        with self.lock:
            data = b"" if self._writing or self._is_mute else self.h2.data_to_send()
            self._writing |= bool(data)
        if data:
            await self.network.protected(self._write(data, deadline))

    async def _write(self, data: bytes, deadline: Deadline) -> None:
        while data:
            try:
                await self.wire.write(data, deadline)
            except PeerReset:
                self._fall_silent()  # what the peer said before it closed is still to be read
                return
            except BaseException:  # part of a frame may be on the wire: nothing can follow it
                self._fall_silent()
                self.fail(connection_termination)
                raise
            with self.lock:
                data = self.h2.data_to_send()
                self._writing = bool(data)

    def _fall_silent(self) -> None:
        with self.lock:
            self._writing = False
            self._is_mute = self._draining = True

    def acknowledge_locked(self, stream_id: int, size: int) -> None:
        """Give the peer back the room that `size` bytes of body took."""
        if size and self.failure is None:
            self.h2.acknowledge_received_data(size, stream_id)


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
