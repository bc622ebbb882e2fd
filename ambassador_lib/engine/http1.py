"""HTTP/1.1 on one connection, by h11: framing, keep-alive, and what each way of breaking off means (semantics 12.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import h11
import httpx

from ..call import Header
from ..errors import DeadlineExpired, UpstreamResetError, after_headers, connection_termination, protocol_error
from .base import MAX_HEAD_SIZE
from .framing import fixed_body, framed_headers
from .http1_head import accepted_headers, proper_case
from .wire import Head, Network, PeerReset, Wire

if TYPE_CHECKING:
    from .base import Exchange

NAME = b"HTTP/"
"""How each response begins."""
SENT_AT_ONCE = 16 * 1024
"""Bytes of a body that a socket takes without waiting for the peer, and so without listening to it meanwhile."""


class Http1Connection:
    """Serves one exchange after the other."""

    def __init__(self, wire: Wire, network: Network, max_head_size: int = MAX_HEAD_SIZE) -> None:
        self.wire = wire
        self.network = network
        self.h11 = _new_state(max_head_size)
        self._max_head_size = max_head_size
        self._is_old = False
        self._busy = False
        self._usable = True

    def open(self, exchange: Exchange) -> Http1Stream:
        """Begin an exchange."""
        self._busy = True
        return Http1Stream(self, exchange)

    def ended(self) -> None:
        """Find out, after an exchange, whether the connection can go on."""
        self._busy = False
        old = self._is_old
        self._is_old = False
        # Bytes behind the response belong to nobody; taken for the next answer, they would forge it.
        if self.h11.trailing_data[0]:
            self._usable = False
        elif self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
        elif old and self.h11.our_state is h11.MUST_CLOSE and self.h11.their_state is h11.MUST_CLOSE:
            self.h11 = _new_state(self._max_head_size)  # h11 ends every connection of HTTP/1.0
        elif self.h11.our_state is not h11.IDLE:  # IDLE: given back before anything was sent
            self._usable = False

    def keep_old(self) -> None:
        """The peer of HTTP/1.0 will keep the connection, as it says itself."""
        self._is_old = True

    def spoil(self) -> None:
        """Serve nothing more: what came cannot be trusted."""
        self._usable = False

    def has_room(self) -> bool:
        """One exchange at a time."""
        return self._usable and not self._busy

    def is_idle(self) -> bool:
        """Whether no exchange is open."""
        return not self._busy

    def is_usable(self) -> bool:
        """Whether the connection can go on."""
        return self._usable

    def is_stale(self) -> bool:
        """Nothing may come while no exchange is open: anything to read is the end, or nonsense."""
        return self.wire.has_input()


def _new_state(max_head_size: int) -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=max_head_size)


class Http1Stream:
    """One exchange."""

    def __init__(self, connection: Http1Connection, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._wire = connection.wire
        self._h11 = connection.h11
        self._raw = bytearray()
        """What has come of the head."""
        self._head: Head | None = None
        self._early: deque[h11.Event] = deque()
        """What came during the upload, and in the end its failure."""
        self._failure: UpstreamResetError | None = None
        self._pulling = False
        """Whether the application is bringing more of the body."""
        self._answered = False
        """Whether what came ends the upload."""
        self._closed = False

    async def start(self) -> Head:
        """Send the request, receive the head."""
        self._exchange.abortable(self._wire.abort)
        try:
            await self._send()
        except PeerReset:  # a server may answer (413, say) and close before it has read all: that decides
            self._connection.spoil()
        try:
            return await self._receive_head()
        except UpstreamResetError:
            self._connection.spoil()
            raise

    async def _send(self) -> None:
        exchange = self._exchange
        body = fixed_body(exchange.stream)
        headers = [
            (b"host", exchange.authority.encode("latin-1")),
            *framed_headers(exchange.headers, body, exchange.method),
        ]
        if exchange.destination.proper_case:
            headers = [(proper_case(name), value) for name, value in headers]
        try:
            data = self._h11.send(h11.Request(method=exchange.method, target=exchange.target, headers=headers)) or b""
            if body is None:
                await self._listening(self._upload(data))
                return
            data += (self._h11.send(h11.Data(body)) or b"") if body else b""
            sending = self._write(data + (self._h11.send(h11.EndOfMessage()) or b""))
            await (sending if len(data) <= SENT_AT_ONCE else self._listening(sending))
        except h11.LocalProtocolError as error:  # the application's: a header or a body that cannot be sent
            raise httpx.LocalProtocolError(str(error)) from error

    async def _listening(self, sending: Coroutine[Any, Any, None]) -> None:
        if not await self._wire.listening(sending, self._overheard):
            self._connection.spoil()  # the peer is still to read the rest of the request

    async def _upload(self, head: bytes) -> None:
        await self._write(head)
        async with aclosing(self._connection.network.chunks(self._exchange.stream)) as chunks:
            self._pulling = True
            async for chunk in chunks:
                self._pulling = False
                if self._answered:
                    self._connection.spoil()  # the peer is still to read the rest of the request
                    return
                await self._write(self._h11.send(h11.Data(chunk)) or b"")
                self._pulling = True
            self._pulling = False
        await self._write(self._h11.send(h11.EndOfMessage()) or b"")

    def _overheard(self, data: bytes) -> bool:
        """Take what comes during the upload; tell whether it ends it: a refusal, a whole response, or a failure.

        The beginning of a success does not: the peer may well go on with it as it gets the rest (an echo).
        """
        is_whole = False
        try:
            self._take(data)
            while not is_whole and isinstance(event := self._parse(), h11.Event):
                self._early.append(event)
                is_whole = isinstance(event, h11.EndOfMessage)
        except UpstreamResetError as error:
            self._failure = error
        is_refused = self._head is not None and self._head.status >= 400
        self._answered = is_whole or is_refused or self._failure is not None
        return self._answered and not (self._pulling and self._is_retried())

    def _is_retried(self) -> bool:
        """Whether the body will be sent again, which it could not be if its iterator were broken off."""
        asked = self._exchange.is_retried
        return asked is not None and self._head is not None and asked(self._head.status, self._head.headers)

    async def _write(self, data: bytes) -> None:
        if data:
            await self._wire.write(data, self._exchange.deadline)

    async def _receive_head(self) -> Head:
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response) or self._is_switch(event):
                assert self._head is not None, "set by whoever parses it"
                return self._head
            if isinstance(event, h11.InformationalResponse):  # swallowed
                if self._exchange.on_interim is not None:
                    self._exchange.on_interim()
                if self._connection.network.has_passed(self._exchange.deadline):
                    raise DeadlineExpired

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            if self._early:
                return self._early.popleft()
            if self._failure is not None:
                raise self._failure
            event = self._parse()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # NEED_DATA is excluded, which mypy cannot see
            try:
                data = await self._wire.read(self._exchange.deadline)
            except PeerReset:
                data = b""  # Envoy's codec takes every end of the connection for the end of the bytes, a reset too
            self._take(data)

    def _take(self, data: bytes) -> None:
        if self._head is None:
            if not data:
                raise self._ended_before_head()
            self._raw += data
            if not self._raw.startswith(NAME[: len(self._raw)]):  # h11 would wait for the end of a line, or of a head
                raise protocol_error("not HTTP/1")
        self._h11.receive_data(data)

    def _parse(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise protocol_error(str(error)) from error
        if isinstance(event, (h11.Response, h11.InformationalResponse)):
            rest = self._h11.trailing_data[0]
            head = bytes(self._raw[: len(self._raw) - len(rest)])
            headers = accepted_headers(event, head, self._exchange.destination)
            self._raw = bytearray(rest)  # what follows an informational response starts afresh
            if event.http_version != b"1.1":
                self._judge_version(event, headers)
            if isinstance(event, h11.Response) or self._is_switch(event):
                extensions = {
                    "http_version": b"HTTP/" + event.http_version,
                    "reason_phrase": bytes(event.reason),
                    "network_stream": self._wire,
                }
                self._head = Head(event.status_code, headers, extensions)
        return event

    def _judge_version(self, event: h11.Response | h11.InformationalResponse, headers: list[Header]) -> None:
        """Keep the connection of an HTTP/1.0 peer that asks for it, and of no other version."""
        if event.http_version != b"1.0":
            self._connection.spoil()
        elif any(name.lower() == b"connection" and value.lower() == b"keep-alive" for name, value in headers):
            self._connection.keep_old()

    @staticmethod
    def _is_switch(event: object) -> bool:
        return isinstance(event, h11.InformationalResponse) and event.status_code == 101

    def _ended_before_head(self) -> UpstreamResetError:
        # Envoy's parser complains of an end within the head only (semantics 12.1; scenario `close_in_headers`).
        if self._raw:
            return protocol_error("connection closed within the response's headers")
        return connection_termination()

    async def read(self) -> bytes:
        """Return more of the body."""
        if self._closed:
            raise httpx.StreamClosed
        try:
            event = await self._next_event()
        except UpstreamResetError as error:
            raise after_headers(error) from error.__cause__
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    def drop(self) -> None:
        """Nobody will read the body: if there is one, the connection ends with it, as in Envoy (semantics 3.7)."""
        event: object = None
        try:
            if self._early:
                event = self._early.popleft()
            elif self._h11.their_state is h11.SEND_BODY:
                event = self._h11.next_event()
        except h11.RemoteProtocolError:
            self._connection.spoil()
        if event is not None and not isinstance(event, h11.EndOfMessage):
            self._connection.spoil()

    async def close(self) -> None:
        """End the exchange; what has already come of a body that nobody read does not spoil the connection."""
        if self._closed:
            return
        self._closed = True
        try:
            while self._h11.their_state is h11.SEND_BODY and isinstance(self._h11.next_event(), h11.Data):
                pass
        except h11.RemoteProtocolError:
            pass
        self._connection.ended()
