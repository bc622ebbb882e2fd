"""The route's timeout, and the recording of the request's body that decides when it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..call import INFINITY, Answer, Call, Next
from ..errors import DeadlineExpired
from ..runtime.recording import Recording

if TYPE_CHECKING:
    from ..runtime.base import Runtime


class RouteTimeout:
    """Starts when the application's whole request is there, spans all tries, back-off and the body (semantics 2).

    `timeout` and `idle_timeout` are seconds, `None` for none. `body_limit` is in bytes: a longer body is not sent
    again, and of a streamed one no more is kept.
    """

    def __init__(self, runtime: Runtime, *, timeout: float | None, idle_timeout: float | None, body_limit: int) -> None:
        self._runtime = runtime
        self._timeout = INFINITY if timeout is None else timeout
        self._idle = INFINITY if idle_timeout is None else idle_timeout
        self._body_limit = body_limit

    def handle(self, call: Call, next: Next) -> Answer:
        call.route_timeout = self._timeout
        call.idle_timeout = self._idle
        call.body_limit = max(self._body_limit, call.buffered)
        if call.overrides is not None and call.overrides.timeout is not None:
            call.route_timeout = call.overrides.timeout or INFINITY
        now = self._runtime.now()
        if isinstance(call.body, httpx.ByteStream):
            call.end_request(now)
        else:
            self._record(call, now)
        return next(call)

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
