"""The route's timeout, and the recording of the request's body that decides when it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..algorithms import grpc_timeout
from ..algorithms.grpc_status import is_grpc
from ..call import INFINITY, Answer, Call, Next
from ..errors import DeadlineExpired
from ..runtime.recording import Recording

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..upstream.serving import Serving


class RouteTimeout:
    """Starts when the application's whole request is there, spans all tries, back-off and the body (semantics 2).

    `timeout` and `idle_timeout` are seconds, `None` for none. `body_limit` is in bytes: a longer body is not sent
    again, and of a streamed one no more is kept. `max_grpc_timeout` is the route's, in milliseconds, with its offset:
    it takes the place of `timeout` for gRPC requests.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        timeout: float | None,
        idle_timeout: float | None,
        body_limit: int,
        max_grpc_timeout: tuple[int, int] | None = None,
    ) -> None:
        self._runtime = runtime
        self._timeout = INFINITY if timeout is None else timeout
        self._idle = INFINITY if idle_timeout is None else idle_timeout
        self._body_limit = body_limit
        self._buffer_limit = float(body_limit)  # as calls have it
        self._max_grpc_timeout = max_grpc_timeout

    def handle(self, call: Call, next: Next) -> Answer:
        self.start(call, self._runtime.now())
        return next(call)

    def start(self, call: Call, now: float) -> None:
        """Put the call under the route's bounds."""
        call.route_timeout = self._timeout
        call.idle_timeout = self._idle
        call.body_limit = self._buffer_limit
        if call.buffered > call.body_limit:
            call.body_limit = float(call.buffered)
        if self._max_grpc_timeout is not None and is_grpc(call.header(b"content-type")):
            call.tells_grpc_timeout = True
            asked = grpc_timeout.parse(call.header(b"grpc-timeout"))
            call.route_timeout = grpc_timeout.route_timeout(asked, *self._max_grpc_timeout) / 1000 or INFINITY
        cluster: Serving = call.cluster
        stream_duration = cluster.max_stream_duration
        if call.overrides is not None:
            if call.overrides.timeout is not None:
                call.route_timeout = call.overrides.timeout or INFINITY
            if call.overrides.stream_duration is not None:
                stream_duration = call.overrides.stream_duration or INFINITY
        if stream_duration != INFINITY:
            call.has_rare_bounds = True
            call.max_stream_duration = stream_duration
        if isinstance(call.body, httpx.ByteStream):
            call.end_request(now)
        elif (recording := getattr(call.body, "recording", None)) is not None and recording.ended:
            call.end_request(now)  # sent elsewhere by a redirect, with the whole body at hand
        else:
            self._record(call, now)

    def _record(self, call: Call, now: float) -> None:
        runtime = self._runtime

        def in_time() -> float:
            now = runtime.now()
            if now >= call.deadline.at:  # nobody could interrupt what took so long
                raise DeadlineExpired
            return now

        def on_wait() -> None:
            in_time()
            call.wait_for_application()

        recording = Recording(
            self._body_limit,
            on_wait=on_wait,
            on_chunk=lambda: call.touch(in_time()),
            on_end=lambda: call.end_request(in_time()),
        )
        call.body = runtime.replayable(call.body, recording)
        call.touch(now)
