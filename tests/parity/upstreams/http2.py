"""HTTP/2 as an upstream speaks it, on the library h2."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .records import Request
from .replies import Reply, pairs
from .wire import SILENCE, Gone, Wire

if TYPE_CHECKING:
    from .server import Server


class _Stream:
    """One request on its way in, and what its answer has to wait for."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.over = asyncio.Event()
        self.window = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Session:
    """One HTTP/2 connection: a task a stream answers, the caller's task reads."""

    def __init__(self, wire: Wire, server: Server, connection: int) -> None:
        self._wire, self._server, self._number = wire, server, connection
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self._h2 = h2.connection.H2Connection(config)
        self._streams: dict[int, _Stream] = {}

    async def serve(self) -> None:
        """Answer until either end is done."""
        if self._server.upstream.max_streams is not None:
            setting = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
            self._h2.local_settings = h2.settings.Settings(
                client=False, initial_values={setting: self._server.upstream.max_streams}
            )
        self._h2.initiate_connection()
        await self._flush()
        try:
            while True:
                await self._wire.fill()
                data = bytes(self._wire.buffer)
                self._wire.buffer.clear()
                for event in self._h2.receive_data(data):
                    self._react(event)
                await self._flush()
        finally:
            for stream in self._streams.values():
                self._give_up(stream)

    def _react(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                headers = [(str(name), str(value)) for name, value in event.headers]
                told = dict(headers)
                request = self._server.record(
                    told.get(":method", ""), told.get(":path", ""), headers, self._number, self._wire.tls()
                )
                self._streams[event.stream_id] = stream = _Stream(request)
                if self._server.upstream.early:
                    self._start(event.stream_id, stream)
            case h2.events.DataReceived():
                self._streams[event.stream_id].request.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                stream = self._streams[event.stream_id]
                stream.request.trailers += [(str(name), str(value)) for name, value in event.headers]
            case h2.events.StreamEnded():
                stream = self._streams[event.stream_id]
                stream.request.complete = True
                self._start(event.stream_id, stream)
            case h2.events.StreamReset():
                self._give_up(self._streams[event.stream_id])
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in self._streams.values():
                    stream.window.set()

    def _start(self, number: int, stream: _Stream) -> None:
        if stream.task is None:
            stream.task = asyncio.get_running_loop().create_task(self._answer(number, stream))

    def _give_up(self, stream: _Stream) -> None:
        if stream.request.answered is None and stream.request.gone is None:
            stream.request.gone = time.monotonic()
        stream.over.set()
        if stream.task is not None:
            stream.task.cancel()

    async def _answer(self, number: int, stream: _Stream) -> None:
        reply = self._server.answer(stream.request)
        # The peer may end the stream or the connection at any moment.
        with (
            self._server.busy(),
            contextlib.suppress(Gone, h2.exceptions.ProtocolError, h2.exceptions.StreamClosedError),
        ):
            await asyncio.sleep(reply.delay)
            if reply.raw is not None:
                await self._wire.send(reply.raw)
                self._wire.close()
                return
            if reply.place != "before head":
                await self._send(number, stream, reply)
            await self._end(number, stream, reply)

    async def _send(self, number: int, stream: _Stream, reply: Reply) -> None:
        for status in reply.interim:
            self._h2.send_headers(number, [(":status", str(status))])
        whole = reply.place == "after body" and reply.ending in {"keep", "close"}
        pieces, trailers = self._pieces(reply, stream.request), pairs(reply.trailers)
        head = [(":status", str(reply.status)), *pairs(reply.headers)]
        if reply.length is not None:
            head.append(("content-length", str(reply.length)))
        self._h2.send_headers(number, head, end_stream=whole and not pieces and not trailers)
        await self._flush()
        for index, piece in enumerate(pieces):
            if index:
                await asyncio.sleep(reply.pause)
            last = index == len(pieces) - 1
            await self._send_piece(number, stream, piece, end=whole and last and not trailers)
        if whole and trailers:
            self._h2.send_headers(number, trailers, end_stream=True)
            await self._flush()
        if whole:
            stream.request.answered = time.monotonic()

    async def _send_piece(self, number: int, stream: _Stream, piece: bytes, *, end: bool) -> None:
        while piece:
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if room <= 0:
                stream.window.clear()
                await asyncio.wait_for(stream.window.wait(), SILENCE)
                continue
            part, piece = piece[:room], piece[room:]
            self._h2.send_data(number, part, end_stream=end and not piece)
            await self._flush()

    async def _end(self, number: int, stream: _Stream, reply: Reply) -> None:
        if reply.ending == "hang":
            await asyncio.wait_for(stream.over.wait(), SILENCE)
        elif reply.ending == "reset":
            self._h2.reset_stream(number, error_code=reply.code)
            await self._flush()
        elif reply.ending == "goaway":
            last = number if reply.goaway_covers else max(0, number - 2)
            self._h2.close_connection(last_stream_id=last)
            await self._flush()
            self._wire.close()
        elif reply.ending == "close":
            self._wire.close()

    def _pieces(self, reply: Reply, request: Request) -> list[bytes]:
        if request.method == "HEAD" or reply.status in {204, 304}:
            return []
        body = self._server.name if reply.body is None else reply.body
        given = [body] if isinstance(body, str | bytes) else list(body)
        if reply.place == "in body":
            given = given[: max(1, len(given) - 1)]
        return [piece.encode() if isinstance(piece, str) else piece for piece in given if piece]

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            await self._wire.send(data)
