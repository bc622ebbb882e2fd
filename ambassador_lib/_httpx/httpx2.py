"""Transports of httpx2, the fork of httpx, as transports of httpx: its classes are called the same, and are others."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .parts import content_of


def adapted(transport: Any) -> Any:
    """Return a transport of httpx2 as one of httpx, and any other as it is."""
    httpx2: Any = sys.modules.get("httpx2")  # whoever has such a transport has imported it
    if httpx2 is None or isinstance(transport, (httpx.BaseTransport, httpx.AsyncBaseTransport)):
        return transport
    is_blocking, is_async = (isinstance(transport, kind) for kind in (httpx2.BaseTransport, httpx2.AsyncBaseTransport))
    if is_blocking and is_async:  # mocks are both
        return _EitherAdapted(transport, httpx2)
    if is_blocking:
        return _Adapted(transport, httpx2)
    return _AsyncAdapted(transport, httpx2) if is_async else transport


class _Either:
    """What both kinds share."""

    def __init__(self, transport: Any, httpx2: Any) -> None:
        self._transport = transport
        self._httpx2 = httpx2

    @property
    def dials(self) -> bool:
        """Whether it connects to what the URL names."""
        return isinstance(self._transport, (self._httpx2.HTTPTransport, self._httpx2.AsyncHTTPTransport))

    def _request(self, request: httpx.Request) -> Any:
        body = content_of(request.stream)
        return self._httpx2.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=request.stream if body is None else body,
            extensions=request.extensions,
        )


class _Adapted(_Either, httpx.BaseTransport):
    """A blocking one."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with _failures_of_httpx(self._httpx2):
            response = self._transport.handle_request(self._request(request))
        return _response(response, _Body(response.stream, self._httpx2))

    def close(self) -> None:
        self._transport.close()


class _AsyncAdapted(_Either, httpx.AsyncBaseTransport):
    """An async one."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _failures_of_httpx(self._httpx2):
            response = await self._transport.handle_async_request(self._request(request))
        return _response(response, _AsyncBody(response.stream, self._httpx2))

    async def aclose(self) -> None:
        await self._transport.aclose()


class _EitherAdapted(_Adapted, _AsyncAdapted):
    """A mock."""


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any, httpx2: Any) -> None:
        self._stream = stream
        self._httpx2 = httpx2

    def __iter__(self) -> Iterator[bytes]:
        with _failures_of_httpx(self._httpx2):
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: Any, httpx2: Any) -> None:
        self._stream = stream
        self._httpx2 = httpx2

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _failures_of_httpx(self._httpx2):
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _response(response: Any, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(
        response.status_code, headers=response.headers.raw, stream=stream, extensions=response.extensions
    )


@contextmanager
def _failures_of_httpx(httpx2: Any) -> Iterator[None]:
    """Raise what httpx would: its exceptions have the same names."""
    try:
        yield
    except httpx2.TransportError as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error
