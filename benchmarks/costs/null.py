"""Transports that answer at once: what is left of a call's time is the cost of whatever is wrapped around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BODY = b'{"status":"ok"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


class Chunk(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of one chunk that has still to be read."""

    def __iter__(self) -> Iterator[bytes]:
        yield BODY

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield BODY


class NullTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers 200. `streamed`: the body has still to be read, as over a network; else it is there, as in a mock."""

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed

    def handle_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002
        return self._response()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002
        return self._response()

    def _response(self) -> httpx.Response:
        if self._streamed:
            return httpx.Response(200, headers=HEADERS, stream=Chunk())
        return httpx.Response(200, headers=HEADERS, content=BODY)
