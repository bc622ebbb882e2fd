"""What the connection manager bounds from the request's first byte on, its filters included (semantics 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..algorithms import grpc_timeout
from ..algorithms.grpc_status import is_grpc
from ..call import INFINITY, Answer, Call, Next
from ..routing.mutations import set_lower_header

if TYPE_CHECKING:
    from ..algorithms.grpc_timeout import StreamDuration
    from ..runtime.base import Runtime


class StreamTimeouts:
    """`max_stream_duration`, `request_timeout` and the idle timeout, where a route has them or filters that wait.

    Above the filters: their delays count. `idle_timeout` and `request_timeout` are seconds, `None` for none.
    """

    def __init__(
        self,
        runtime: Runtime,
        duration: StreamDuration,
        *,
        idle_timeout: float | None,
        request_timeout: float | None,
    ) -> None:
        self._now = runtime.now
        self._duration = duration
        self._idle = INFINITY if idle_timeout is None else idle_timeout
        self._request = INFINITY if request_timeout is None else request_timeout

    def handle(self, call: Call, next: Next) -> Answer:
        now = self._now()
        call.idle_timeout = self._idle
        call.has_rare_bounds = True
        self._limit_duration(call)
        if isinstance(call.body, httpx.ByteStream):
            call.request_ended = now  # to whoever bounds the stream; the router counts from when it has it
        else:
            call.request_at = call.started + self._request
        call.touch(now)
        return next(call)

    def _limit_duration(self, call: Call) -> None:
        asked = grpc_timeout.parse(call.header(b"grpc-timeout"))
        limit = self._duration.limit(asked)
        if limit is not None:
            call.duration_at = call.started + limit / 1000
        if not self._duration.is_told or not is_grpc(call.header(b"content-type")):
            return
        if limit is not None:
            set_lower_header(call.headers, b"grpc-timeout", grpc_timeout.render(limit))
        elif self._duration.is_withheld:
            call.headers[:] = [header for header in call.headers if header[0] != b"grpc-timeout"]
