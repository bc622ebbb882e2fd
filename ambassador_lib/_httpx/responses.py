"""What httpx's client does with a transport's response, without the generators and without a cycle of references."""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

import httpx
from httpx._client import BoundAsyncStream, BoundSyncStream

from .parts import content_of

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

# See parts.py.
_Response: Final = httpx.Response


def take_whole(response: httpx.Response, start: float) -> bool:
    """Have the body of an answer that has arrived completely, as if it had been read; `False`: it must be read.

    The body is taken as it is: it is for others to see that it is not encoded, and that nobody watches it being read.
    """
    body = content_of(response.stream)
    if (
        body is None
        or type(response) is not _Response
        or response.is_stream_consumed
        or response.is_closed
        or hasattr(response, "_content")
        or hasattr(response, "_decoder")
    ):
        return False
    response._content = body
    response._num_bytes_downloaded = len(body)
    response.is_stream_consumed = True
    response.is_closed = True
    response._elapsed = timedelta(0, time.perf_counter() - start)
    return True


class BoundStream(BoundSyncStream):
    """httpx's wrapper of a stream, without the tie to its response once it is closed and has nothing more to tell.

    Nobody would miss the two but the garbage collector, which would have to find them.
    """

    def close(self) -> None:
        try:
            super().close()
        finally:
            _let_go(self)


class AsyncBoundStream(BoundAsyncStream):
    """`BoundStream` for async clients."""

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            _let_go(self)


def _let_go(bound: BoundStream | AsyncBoundStream) -> None:
    if bound._response.stream is bound:
        bound._response.stream = bound._stream
