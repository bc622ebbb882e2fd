"""HTTP/2 as a server speaks it, by h2: many exchanges at once, each broken off for itself or with the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from .exchange import Exchange, Part
from .peer import End, Peer, Reset

if TYPE_CHECKING:
    from .faults import Reaction

NOT_ON_HTTP2 = frozenset({"connection", "keep-alive", "transfer-encoding", "proxy-connection", "upgrade"})


class Http2Peer(Peer):
    """As many exchanges at once as the client opens."""

    protocol = "HTTP/2"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Answers may be wrong on purpose: nothing that goes out is checked.
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._is_mute = False
        """Whether a frame was cut in two, so that nothing can follow it."""
        self._h2.initiate_connection()
        self._requests: dict[int, tuple[dict[str, str], list[tuple[str, str]], bytearray]] = {}
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if not self._is_mute:
            self._send(data)

    def _feed(self, data: bytes, now: float) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()  # a GOAWAY
            self._client_left(now)
            self._end(End())
            return
        for event in events:
            self._take(event, now)
        self._flush()

    def _take(self, event: h2.events.Event, now: float) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._open(event)
        elif isinstance(event, h2.events.DataReceived):
            stream, data = event.stream_id or 0, event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            if stream in self._requests:
                self._requests[stream][2].extend(data)
        elif isinstance(event, h2.events.StreamEnded):
            pseudo, headers, body = self._requests.pop(event.stream_id or 0)
            self._begin(
                pseudo.get(":method", ""), pseudo.get(":path", ""), headers, bytes(body), now, event.stream_id or 0
            )
        elif isinstance(event, h2.events.StreamReset):
            self._requests.pop(event.stream_id or 0, None)
            for exchange in [each for each in self.exchanges if each.stream == event.stream_id]:
                self._drop(exchange, now)

    def _open(self, event: h2.events.RequestReceived) -> None:
        told = [(str(name), str(value)) for name, value in event.headers or ()]
        pseudo = {name: value for name, value in told if name.startswith(":")}
        headers = [(name, value) for name, value in told if not name.startswith(":")]
        if ":authority" in pseudo and not any(name == "host" for name, _ in headers):
            headers.insert(0, ("host", pseudo[":authority"]))
        self._requests[event.stream_id or 0] = (pseudo, headers, bytearray())
        if any((name, value.lower()) == ("expect", "100-continue") for name, value in headers):
            self._h2.send_headers(event.stream_id or 0, [(":status", "100")])

    def _may_go_on(self, exchange: Exchange) -> bool:
        """A piece waits for the window."""
        part = exchange.parts[0][1] if exchange.parts else None
        return part is None or part.kind != "piece" or self._h2.local_flow_control_window(exchange.stream) > 0

    def _emit(self, exchange: Exchange, part: Part) -> None:
        stream = exchange.stream
        if part.kind in ("head", "half head"):
            self._h2.send_headers(stream, _headers(exchange.reaction))
            if part.kind == "half head":
                head = self._h2.data_to_send()
                self._send(b"" if self._is_mute else head[: len(head) // 2])
                self._is_mute = True
            self._flush()
        elif part.kind == "raw":
            self._send(part.data)
            self._is_mute = True
        elif part.kind == "piece":
            self._send_piece(exchange, part.data)
        elif part.kind == "end":
            trailers = exchange.reaction.trailers
            if trailers:
                self._h2.send_headers(stream, list(trailers), end_stream=True)
            else:
                self._h2.end_stream(stream)
            self._flush()
        elif part.kind == "reset" and self._is_mute:
            self._end(Reset())
        elif part.kind == "reset":
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self._flush()
        else:
            self._end(End())

    def _send_piece(self, exchange: Exchange, data: bytes) -> None:
        size = min(len(data), self._h2.local_flow_control_window(exchange.stream), self._h2.max_outbound_frame_size)
        self._h2.send_data(exchange.stream, data[:size])
        self._flush()
        if size < len(data):
            exchange.parts.appendleft((self._now, Part("piece", data[size:])))

    def _take_leave(self) -> None:
        self._h2.close_connection()
        self._flush()


def _headers(reaction: Reaction) -> list[tuple[str, str]]:
    headers = [(name.lower(), value) for name, value in reaction.headers]
    headers = [(name, value) for name, value in headers if name not in NOT_ON_HTTP2]
    if not any(name == "content-length" for name, _ in headers) and reaction.status != 204:
        if reaction.content_length is not None:
            headers.append(("content-length", str(reaction.content_length)))
        elif isinstance(reaction.body, bytes) and not reaction.trailers:
            headers.append(("content-length", str(len(reaction.body))))
    return [(":status", str(reaction.status)), *headers]
