"""A body that is encoded or decoded while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import httpx


class Coder(Protocol):
    """Makes other bytes of one body, piece by piece."""

    def feed(self, data: bytes) -> bytes:
        """Return what is there of the result by now."""

    def finish(self) -> bytes:
        """Return the rest: the body has ended."""


class CodedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The pieces of a stream as a coder makes them, of whichever kind the stream is; its end is told to the coder."""

    def __init__(self, stream: Any, coder: Coder) -> None:
        self._stream = stream
        self._coder = coder

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if made := self._coder.feed(chunk):
                yield made
        if rest := self._coder.finish():
            yield rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            if made := self._coder.feed(chunk):
                yield made
        if rest := self._coder.finish():
            yield rest

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()
