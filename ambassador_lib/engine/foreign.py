"""Engines around any httpx transport: one that dials is given the endpoint's address, any other the logical URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import httpx

from .._httpx import connects, content_of, make_request, with_target
from ..call import INFINITY
from ..errors import (
    AmbassadorError,
    DeadlineExpired,
    UpstreamResetError,
    after_headers,
    connect_failure,
    connect_timeout,
    connection_termination,
    overflow,
    per_try_timeout,
    protocol_error,
    remote_reset,
)
from .base import Exchange
from .framing import framed_headers
from .wire import PATIENCE

if TYPE_CHECKING:
    from ..runtime.base import Clock

KEPT_URLS = 4096


class _Foreign:
    """What the blocking and the async engine share."""

    def __init__(self, transport: Any, clock: Clock, patience: float) -> None:
        self.transport = transport
        self._now = clock.monotonic
        self._patience = patience

    @property
    def dials(self) -> bool:
        """Whether the transport connects to what the URL names; asked each time, since tests patch and unpatch."""
        transport = self.transport
        if isinstance(transport, (httpx.HTTPTransport, httpx.AsyncHTTPTransport)):
            return connects(transport)
        return getattr(transport, "dials", False) is True

    @staticmethod
    def prepare(_protocol: str) -> None:
        """Nothing: the transport speaks what it speaks."""

    def abandon(self) -> None:
        """Nothing: the transport is the application's."""

    def _request(self, exchange: Exchange) -> httpx.Request:
        """Make the request out of ready parts: `httpx.Request(...)` would take 11 µs to find the same."""
        stream = b"" if exchange.stream is None else exchange.stream
        if isinstance(stream, bytes):
            stream = httpx.ByteStream(stream)
        # A body of known length has been announced by httpx already, or is empty.
        body = content_of(stream)
        own = exchange.headers if body == b"" else framed_headers(exchange.headers, body)
        headers = [(b"host", exchange.authority.encode("latin-1")), *own]
        url, extensions = exchange.url, exchange.extensions.copy()
        if self.dials:
            url = self._address(exchange, extensions)
        else:
            url = with_target(url, exchange.target)
            extensions["ambassador_endpoint"] = exchange.destination.endpoint
        return make_request(exchange.method, url, headers, stream, body, extensions)

    def _address(self, exchange: Exchange, extensions: dict[str, Any]) -> httpx.URL:
        destination = exchange.destination
        if destination.is_pipe:
            raise connect_failure(f"{destination.address}: a unix socket is dialled by the library's own engine alone")
        scheme = "http" if destination.tls is None and exchange.scheme != "https" else "https"
        # httpcore sends the extension `target` as it is; the URL's path would be a new URL for each request.
        target = "/" if isinstance(self.transport, (httpx.HTTPTransport, httpx.AsyncHTTPTransport)) else exchange.target
        extensions["target"] = exchange.target.encode("latin-1")
        if scheme == "https":
            extensions["sni_hostname"] = destination.sni or exchange.url.host
        return _endpoint_url(scheme, destination.address, destination.port, target)

    def _timeouts(self, exchange: Exchange, left: float) -> dict[str, float]:
        left = min(left, self._patience)
        return {
            "connect": min(exchange.destination.connect_timeout, left),
            "read": left,
            "write": left,
            "pool": left,
        }

    def _failure(self, error: httpx.TransportError, exchange: Exchange) -> Exception:
        """Tell what a failure before the head was; where httpx cannot say, the request may have been sent."""
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            if self._now() >= exchange.deadline.at:
                return DeadlineExpired()
            if isinstance(error, httpx.ConnectTimeout):
                return connect_timeout()
            return overflow() if isinstance(error, httpx.PoolTimeout) else per_try_timeout()
        if isinstance(error, (httpx.ConnectError, httpx.ProxyError)):
            return connect_failure(reason)
        return _reset(error, reason) or error

    def body_failure(self, error: httpx.TransportError, exchange: Exchange) -> Exception:
        """Tell what a failure within the body was."""
        if isinstance(error, httpx.TimeoutException):
            return DeadlineExpired() if self._now() >= exchange.deadline.at else error
        reset = _reset(error, str(error) or type(error).__name__)
        return error if reset is None else after_headers(reset)


class ForeignEngine(_Foreign):
    """Around a blocking transport. Its sockets are told the time that is left when the request starts."""

    def __init__(self, transport: httpx.BaseTransport, clock: Clock, *, patience: float = PATIENCE) -> None:
        super().__init__(transport, clock, patience)

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head."""
        request = self._request(exchange)
        exchange.on_connected()  # may set the deadline
        left = exchange.deadline.at - self._now()
        if left <= 0:
            raise DeadlineExpired
        request.extensions["timeout"] = self._timeouts(exchange, left)
        try:
            response = cast(httpx.BaseTransport, self.transport).handle_request(request)
        except AmbassadorError:
            raise
        except httpx.TransportError as error:
            raise self._failure(error, exchange) from error
        if not response.is_closed:
            response.stream = ForeignBody(response.stream, self, exchange)
        return response

    async def close(self) -> None:
        """Close the transport."""
        self.transport.close()


class AsyncForeignEngine(_Foreign):
    """Around an async transport; the caller cancels it at the deadline."""

    def __init__(self, transport: httpx.AsyncBaseTransport, clock: Clock, *, patience: float = PATIENCE) -> None:
        super().__init__(transport, clock, patience)

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Return the response's head."""
        request = self._request(exchange)
        exchange.on_connected()
        request.extensions["timeout"] = self._timeouts(exchange, INFINITY)
        try:
            response = await cast(httpx.AsyncBaseTransport, self.transport).handle_async_request(request)
        except AmbassadorError:
            raise
        except httpx.TransportError as error:
            raise self._failure(error, exchange) from error
        if not response.is_closed:
            response.stream = AsyncForeignBody(response.stream, self, exchange)
        return response

    async def close(self) -> None:
        """Close the transport."""
        await self.transport.aclose()


class ForeignBody(httpx.SyncByteStream):
    """A blocking transport's body, its failures told in our terms."""

    def __init__(self, stream: Any, engine: _Foreign, exchange: Exchange) -> None:
        self._stream = stream
        self._engine = engine
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except AmbassadorError:
            raise
        except httpx.TransportError as error:
            raise self._engine.body_failure(error, self._exchange) from error

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()


class AsyncForeignBody(httpx.AsyncByteStream):
    """An async transport's body, its failures told in our terms."""

    def __init__(self, stream: Any, engine: _Foreign, exchange: Exchange) -> None:
        self._stream = stream
        self._engine = engine
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except AmbassadorError:
            raise
        except httpx.TransportError as error:
            raise self._engine.body_failure(error, self._exchange) from error

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()


def _reset(error: httpx.TransportError, reason: str) -> UpstreamResetError | None:
    if isinstance(error, httpx.NetworkError):
        return connection_termination(reason)
    if isinstance(error, httpx.RemoteProtocolError):
        # httpcore's words: an end before any byte, and events of h2 as they are.
        if "disconnected" in reason:
            return connection_termination(reason)
        if reason.startswith(("<StreamReset", "<ConnectionTerminated")):
            return remote_reset(reason)
        return protocol_error(reason)
    return None


@lru_cache(maxsize=KEPT_URLS)
def _endpoint_url(scheme: str, address: str, port: int, target: str) -> httpx.URL:
    return httpx.URL(f"{scheme}://{_bracketed(address)}:{port}{target}")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
