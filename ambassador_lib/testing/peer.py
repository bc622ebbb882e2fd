"""The server's side of one connection, without any I/O: bytes and readings of a clock in, actions out.

A driver (real sockets, or the simulated network) hands over what it `received`, asks when something is `due`, and has
it `act` then. Whatever protocol: `Peer` keeps the exchanges and their times, a subclass knows the bytes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .exchange import Exchange, Part
from .seen import Seen

if TYPE_CHECKING:
    from .script import Scripted

Protocol = Literal["http1", "http2", "auto"]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Close in the orderly way (FIN), after all that was sent."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection off (RST)."""


Action = Send | End | Reset


class Peer:
    """One connection as its server sees it."""

    protocol: str

    def __init__(
        self, upstream: Scripted, endpoint: int, connection: int, *, client: str | None, server_name: str | None
    ) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self.connection = connection
        self.client = client
        self.server_name = server_name
        self.exchanges: list[Exchange] = []
        self.is_over = False
        self._now = 0.0
        self._outbox: list[Action] = []

    # --- for the driver ----------------------------------------------------------------------------------------------

    def received(self, data: bytes, now: float) -> None:
        """Take what the client sent; `b""` is its orderly end."""
        self._now = now
        if self.is_over:
            return
        if not data:
            self._client_left(now)
            self._end(End())
            return
        self._feed(data, now)

    def lost(self, now: float) -> None:
        """The client is gone: reset, or closed by the driver."""
        self._now = now
        self._client_left(now)
        self._outbox.clear()
        self.is_over = True

    def due(self) -> float | None:
        """Return when `act` wants to be called next, `None` where nothing is planned."""
        if self._outbox:
            return self._now
        if self.is_over:
            return None
        cut = self.upstream.cut(self.endpoint, self._now)
        if cut == "now" or (cut and not self.exchanges):
            return self._now
        times = [exchange.due for exchange in self.exchanges if self._may_go_on(exchange)]
        if not cut:
            times.append(self.upstream.next_cut(self.endpoint, self._now))
        return min((at for at in times if at is not None), default=None)

    def act(self, now: float) -> list[Action]:
        """Return what is to be done now, in order."""
        self._now = now
        while not self.is_over:
            cut = self.upstream.cut(self.endpoint, now)
            if cut == "now":
                for exchange in self.exchanges:
                    exchange.seen.failed = True
                self._client_left(now)
                self._end(Reset())
            elif not self._step(now):
                if cut and not self.exchanges:
                    self._take_leave()
                    self._end(End())
                break
        actions, self._outbox = self._outbox, []
        return actions

    # --- for the protocols -------------------------------------------------------------------------------------------

    @abstractmethod
    def _feed(self, data: bytes, now: float) -> None:
        """Take bytes; `_begin` for each request that is complete."""

    @abstractmethod
    def _emit(self, exchange: Exchange, part: Part) -> None:
        """Send a part of an answer."""

    def _may_go_on(self, exchange: Exchange) -> bool:  # noqa: ARG002
        """Whether the client takes the next part now."""
        return True

    def _ended(self) -> None:
        """An exchange is over, and the connection goes on."""

    def _take_leave(self) -> None:
        """Say what the protocol says before an orderly end."""

    def _send(self, data: bytes) -> None:
        if data:
            self._outbox.append(Send(data))

    def _end(self, how: Action) -> None:
        self._outbox.append(how)
        self.is_over = True

    def _begin(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, now: float, stream: int = 0
    ) -> Exchange:
        seen = Seen(
            method,
            target,
            headers,
            body,
            self.connection,
            now,
            client=self.client,
            server_name=self.server_name,
            endpoint=self.endpoint,
            protocol=self.protocol,
        )
        exchange = Exchange(seen, self.upstream.reaction(seen, now), stream, now)
        self.exchanges.append(exchange)
        return exchange

    def _drop(self, exchange: Exchange, now: float) -> None:
        """The exchange is over before its answer is whole, and nobody waits for it."""
        exchange.seen.gone = now
        self.exchanges.remove(exchange)
        self.upstream.finished(exchange.seen, now)

    def _client_left(self, now: float) -> None:
        for exchange in list(self.exchanges):
            self._drop(exchange, now)

    def _step(self, now: float) -> bool:
        """Send one part that is due; false where there is none."""
        ready = [
            exchange
            for exchange in self.exchanges
            if exchange.due is not None and exchange.due <= now and self._may_go_on(exchange)
        ]
        if not ready:
            return False
        exchange = min(ready, key=lambda each: (each.due, each.stream))
        _, part = exchange.parts.popleft()
        if part.kind in ("head", "half head"):
            exchange.seen.answered = exchange.reaction.status if part.kind == "head" else None
        if part.kind == "end":
            exchange.seen.finished = now
        self._emit(exchange, part)
        if not exchange.parts and not exchange.hangs and not self.is_over:
            self.exchanges.remove(exchange)
            self.upstream.finished(exchange.seen, now)
            self._ended()
        elif self.is_over:
            for left in list(self.exchanges):
                left.seen.failed |= left is not exchange
                self.exchanges.remove(left)
                self.upstream.finished(left.seen, now)
        return True


class UnknownPeer(Peer):
    """A connection whose protocol its first bytes tell."""

    protocol = "unknown"

    def __init__(
        self, upstream: Scripted, endpoint: int, connection: int, *, client: str | None, server_name: str | None
    ) -> None:
        super().__init__(upstream, endpoint, connection, client=client, server_name=server_name)
        self._heard = b""
        self._peer: Peer | None = None

    def received(self, data: bytes, now: float) -> None:
        if self._peer is None and data:
            self._now = now
            self._heard += data
            size = min(len(self._heard), len(PREFACE))
            if size < len(PREFACE) and self._heard[:size] == PREFACE[:size]:
                return
            protocol: Protocol = "http2" if self._heard.startswith(PREFACE) else "http1"
            self._peer = peer(
                self.upstream,
                self.endpoint,
                self.connection,
                protocol=protocol,
                client=self.client,
                server_name=self.server_name,
            )
            data = self._heard
        if self._peer is None:
            super().received(data, now)
        else:
            self._peer.received(data, now)

    def lost(self, now: float) -> None:
        if self._peer is None:
            super().lost(now)
        else:
            self._peer.lost(now)

    def due(self) -> float | None:
        return super().due() if self._peer is None else self._peer.due()

    def act(self, now: float) -> list[Action]:
        return super().act(now) if self._peer is None else self._peer.act(now)

    def _feed(self, data: bytes, now: float) -> None:
        raise NotImplementedError

    def _emit(self, exchange: Exchange, part: Part) -> None:
        raise NotImplementedError


def peer(
    upstream: Scripted,
    endpoint: int,
    connection: int,
    *,
    protocol: Protocol = "auto",
    client: str | None = None,
    server_name: str | None = None,
) -> Peer:
    """Return the server's side of connection number `connection` (from 1) to this endpoint.

    `client` is the common name of the client's certificate, `server_name` the SNI it asked for.
    """
    if protocol == "http1":
        from .peer_http1 import Http1Peer as Kind
    elif protocol == "http2":
        from .peer_http2 import Http2Peer as Kind  # type: ignore[assignment]
    else:
        Kind = UnknownPeer  # type: ignore[assignment,misc] # noqa: N806
    return Kind(upstream, endpoint, connection, client=client, server_name=server_name)
