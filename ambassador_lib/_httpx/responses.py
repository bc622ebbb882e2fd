"""What httpx's client does with a transport's response, without the generators and without a cycle of references."""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import time
from datetime import timedelta

import httpx
from httpx._client import BoundAsyncStream, BoundSyncStream

from .parts import has_any
from .patched import AsWritten

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ENCODED = frozenset({b"content-encoding"})

_reading = AsWritten(httpx.Response, "read", "aread")


def take_whole(response: httpx.Response) -> bool:
    """Have the body of an answer that has arrived completely, as if it had been read; `False`: it must be read."""
    bound = response.stream
    if type(bound) is not BoundSyncStream and type(bound) is not BoundAsyncStream:
        return False
    stream, known = bound._stream, response.__dict__
    if (
        type(stream) is not httpx.ByteStream
        or type(body := stream._stream) is not bytes
        or type(response) is not httpx.Response
        or response.is_stream_consumed
        or response.is_closed
        or "_content" in known
        or "_decoder" in known
        or has_any(response.headers, _ENCODED)
        or not _reading.are_as_written(httpx.Response)
    ):
        return False
    response._content = body
    response._num_bytes_downloaded = len(body)
    response.is_stream_consumed = True
    response.is_closed = True
    response._elapsed = timedelta(0, time.perf_counter() - bound._start)
    response.stream = stream
    return True


def let_go(response: httpx.Response) -> None:
    """Undo the tie between a response and its stream, which has nothing more to tell once it is closed.

    Nobody would miss it but the garbage collector, which would have to find them.
    """
    bound = response.stream
    if response.is_closed and (type(bound) is BoundSyncStream or type(bound) is BoundAsyncStream):
        response.stream = bound._stream
