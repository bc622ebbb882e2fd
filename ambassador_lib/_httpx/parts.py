"""Requests, responses and headers made of parts.

httpx's constructors find out what is known here already: they take 5 to 12 µs for what takes 1.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, Final

import httpx
from httpx._types import AsyncByteStream, SyncByteStream

HeaderLine = tuple[bytes, bytes, bytes]
"""A header's name as it was written, its name in lower case, and its value: as `httpx.Headers` keeps it."""


# Compiled, names of other modules are looked up at each use, and those that are final here are not.
_new: Final = object.__new__
_Headers: Final = httpx.Headers
_Request: Final = httpx.Request
_Response: Final = httpx.Response
_ByteStream: Final = httpx.ByteStream


def lower_case(headers: httpx.Headers) -> list[HeaderLine]:
    """Return the headers as they are kept."""
    return headers._list


def has_any(headers: httpx.Headers, names: AbstractSet[bytes]) -> bool:
    """Tell whether there is a header of one of these names, which are in lower case."""
    for _, name, _ in headers._list:  # noqa: SIM110 - `any` costs twice as much, several times an answer
        if name in names:
            return True
    return False


def make_headers(headers: list[tuple[bytes, bytes]], *, lower: bool = False) -> httpx.Headers:
    """Make httpx's headers of a list; `lower`: all names in it are in lower case."""
    if lower:
        return _headers_of([(name, name, value) for name, value in headers])
    return _headers_of([(name, name.lower(), value) for name, value in headers])


def _headers_of(lines: list[HeaderLine]) -> httpx.Headers:
    made = _new(_Headers)
    made._list = lines
    made._encoding = None
    return made


def content_of(stream: object) -> bytes | None:
    """Return the whole body where it is at hand, `None` where it must be iterated over."""
    given: Any = stream  # nothing keeps an application from making one of a bytearray, whatever the type says
    return as_bytes(given._stream) if type(stream) is _ByteStream else None


def stream_of(content: bytes) -> httpx.ByteStream:
    """Make the stream of a body that is at hand."""
    made = _new(_ByteStream)
    made._stream = content
    return made


def as_bytes(chunk: Any) -> bytes:
    """Return a piece of a request's body as it is now; `TypeError` for what is no bytes-like object.

    Applications may bring any buffer, fill the same one again for the next piece, and count in items of several bytes.
    """
    return chunk if isinstance(chunk, bytes) else memoryview(chunk).tobytes()


def make_request(
    method: str,
    url: httpx.URL,
    headers: list[tuple[bytes, bytes]],
    stream: SyncByteStream | AsyncByteStream,
    content: bytes | None,
    extensions: dict[str, Any],
) -> httpx.Request:
    """Make a request of its parts; `content` is the whole body where it is at hand, and `stream` yields the same."""
    return request_of(method, url, [(name, name, value) for name, value in headers], extensions, stream, content)


def request_of(
    method: str,
    url: httpx.URL,
    lines: list[HeaderLine],
    extensions: dict[str, Any],
    stream: SyncByteStream | AsyncByteStream,
    content: bytes | None,
) -> httpx.Request:
    """As `make_request`, with headers as httpx keeps them; the request keeps `lines` and `extensions` themselves."""
    request = _new(_Request)
    # In the constructor's order, so that CPython lets all requests share their keys.
    request.method = method
    request.url = url
    request.headers = _headers_of(lines)
    request.extensions = extensions
    request.stream = stream
    if content is not None:  # mocks look at `request.content`
        request._content = content
    return request


def with_headers(request: httpx.Request, headers: list[tuple[bytes, bytes]]) -> httpx.Request:
    """Return the same request with other headers."""
    made = _new(_Request)
    made.__dict__.update(request.__dict__)
    made.headers = make_headers(headers)
    return made


def make_response(
    status: int,
    lines: list[HeaderLine],
    stream: SyncByteStream | AsyncByteStream | None,
    extensions: dict[str, Any],
) -> httpx.Response:
    """Make the response that `httpx.Response(status, headers=..., stream=stream, extensions=...)` would make.

    The response keeps `lines` and `extensions` themselves; its body has still to be read, and where there is no
    `stream` yet, to be set.
    """
    response = _new(_Response)
    # In the constructor's order, so that CPython lets all responses share their keys.
    response.status_code = status
    response.headers = _headers_of(lines)
    response._request = None
    response.next_request = None
    response.extensions = extensions
    response.history = []
    response.is_closed = False
    response.is_stream_consumed = False
    response.default_encoding = "utf-8"
    response.stream = stream  # type: ignore[assignment]  # for a moment
    response._num_bytes_downloaded = 0
    return response
