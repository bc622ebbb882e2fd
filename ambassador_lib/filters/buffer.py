"""The buffer filter: takes the whole request in before anything is sent, and refuses one that is too large.

Source: `envoy.extensions.filters.http.buffer.v3.Buffer`; semantics 9.8.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from ..call import INFINITY, Call, Deadline, Next
from ..errors import DeadlineExpired, LocalReply, LocalReplyError, expired, stream_idle_timeout
from ..policy.model import filters as model
from ..runtime.base import Runtime
from ..runtime.recording import Recording
from .base import NOTHING, FilterContext, Layer, Scope

Limit = int | None
"""Bytes; `None` where a level turns the filter off."""


class Buffer:
    """The filter of one listener."""

    def __init__(self, config: model.Buffer, context: FilterContext) -> None:
        self._runtime = context.runtime
        self._limit = config.max_request_bytes

    def prepare(self, config: model.BufferPerRoute) -> Limit:
        """Return the limit that one level sets."""
        return None if config.buffer is None else config.buffer.max_request_bytes

    def layer(self, scope: Scope, settings: Sequence[Limit]) -> Layer:
        """The most specific level counts."""
        limit = settings[-1] if settings else self._limit
        return NOTHING if limit is None else Layer(handle=_Buffered(limit, self._runtime, scope).handle)


class _Buffered:
    def __init__(self, limit: int, runtime: Runtime, scope: Scope) -> None:
        self._limit = limit
        self._runtime = runtime
        self._idle = scope.idle_timeout

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        if isinstance(call.body, httpx.ByteStream):
            size = sum(map(len, call.body))
            if size > self._limit:
                raise _too_large(self._limit)
            if call.header(b"transfer-encoding") is not None:  # an earlier filter has made another body of it
                _tell_length(call, size)
        else:
            await self._take_in(call)
        call.buffered = self._limit  # what is here once can be sent again, whatever the connection's limit
        return await next(call)

    async def _take_in(self, call: Call) -> None:
        """Read the body, for as long as the stream's idle timeout and the bounds of the whole stream allow."""
        runtime, bounded = self._runtime, call.has_rare_bounds
        deadline = call.deadline if bounded else Deadline(runtime.now() + self._idle)

        def in_time() -> float:
            now = runtime.now()
            if now >= deadline.at:  # nobody could interrupt what took so long
                raise DeadlineExpired
            return now

        def on_wait() -> None:
            in_time()
            if bounded:
                call.wait_for_application()

        def on_chunk() -> None:
            now = in_time()
            if not recording.can_replay:
                raise _too_large(self._limit)
            if bounded:
                call.touch(now)
            else:
                deadline.set(now + self._idle)

        def on_end() -> None:
            now = in_time()
            if bounded:
                call.request_ended = now  # the route's timeout begins with the router
                call.request_at = INFINITY
                call.touch(now)

        recording = Recording(self._limit, on_wait=on_wait, on_chunk=on_chunk, on_end=on_end)
        try:
            await runtime.within(deadline, runtime.drain(runtime.replayable(call.body, recording)))
        except DeadlineExpired:
            raise (expired(call) if bounded else stream_idle_timeout(request_complete=False)) from None
        body = b"".join(recording.chunks)
        call.body = httpx.ByteStream(body)
        if call.header(b"content-length") is None:
            _tell_length(call, len(body))


def _tell_length(call: Call, size: int) -> None:
    kept = [header for header in call.headers if header[0] != b"transfer-encoding"]
    call.headers[:] = [*kept, (b"content-length", b"%d" % size)]


def _too_large(limit: int) -> LocalReplyError:
    reply = LocalReply(413, "Payload Too Large", "", "request_payload_too_large")
    return LocalReplyError(f"the request's body has more than {limit} bytes", reply=reply)
