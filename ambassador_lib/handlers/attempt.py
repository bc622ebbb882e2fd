"""One try: what it sends, its own timeout, its span, and what its outcome tells about the endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import httpx

from ..call import INFINITY, Call, Header, Next
from ..engine.base import Engine, Exchange
from ..errors import AmbassadorError, DeadlineExpired, UpstreamConnectError, UpstreamResetError, expired, overflow
from ..upstream.outlier import LocalOrigin, Outcome, grpc_outcome

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..telemetry.tracing import Tracing
    from ..upstream.upstream import Upstream


class SendAttempt:
    """Last before the engine."""

    def __init__(self, upstream: Upstream, engine: Engine, runtime: Runtime, tracing: Tracing) -> None:
        self._upstream = upstream
        self._engine = engine
        self._runtime = runtime
        self._tracing = tracing

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        attempt = call.attempt
        now = self._runtime.now()
        attempt.started = now - call.started
        headers = self._headers(call, now)
        span = None
        if self._tracing.enabled:
            span = self._tracing.start_try(call, attempt, headers)
        error: BaseException | None = None
        try:
            response = await self._send(call, headers)
        except BaseException as failure:
            error = attempt.error = failure
            raise
        else:
            attempt.status = response.status_code
            return response
        finally:
            attempt.duration = self._runtime.now() - call.started - attempt.started
            if span is not None:
                self._tracing.end_try(span, attempt.status, error, attempt.endpoint)

    async def _send(self, call: Call, headers: list[Header]) -> httpx.Response:
        runtime, upstream, deadline = self._runtime, self._upstream, call.attempt.deadline
        exchange = Exchange(
            method=call.method,
            scheme=call.scheme,
            authority=call.authority,
            target=call.target,
            headers=headers,
            stream=call.body,
            destination=call.destination,
            deadline=deadline,
            on_connected=partial(self._connected, call),
            url=call.request.url,
            extensions=call.request.extensions,
        )
        try:
            response = await runtime.within(deadline, self._engine.send(exchange))
            now = runtime.now()
            if now >= deadline.at:  # an engine that could not be interrupted answered too late
                await runtime.discard(response)
                raise DeadlineExpired
        except DeadlineExpired:
            failure = expired(call)
            if isinstance(failure, AmbassadorError):  # the application's own timeout is no failure of the endpoint
                upstream.record(call.endpoint, LocalOrigin.TIMEOUT, runtime.now())
            raise failure from None
        except UpstreamConnectError:
            upstream.record(call.endpoint, LocalOrigin.CONNECT_FAILURE, runtime.now())
            raise
        except UpstreamResetError:
            upstream.record(call.endpoint, LocalOrigin.RESET, runtime.now())
            raise
        if upstream.outlier is not None:
            upstream.record(call.endpoint, _status(call, response), now)
        call.head_received()
        return response

    def _connected(self, call: Call) -> None:
        now = self._runtime.now()
        call.connected(now)
        if not call.grant.connected():
            raise overflow()
        self._upstream.traffic_seen = True
        if self._upstream.outlier is not None:
            self._upstream.record(call.endpoint, LocalOrigin.CONNECTED, now)

    def _headers(self, call: Call, now: float) -> list[Header]:
        """The request's headers and what is said of this very try (semantics 2, 3.9)."""
        headers = call.headers.copy()
        timeouts = call.timeouts
        host = call.virtual_host.model
        if host.include_request_attempt_count:
            _set(headers, b"x-envoy-attempt-count", b"%d" % call.attempt.number)
        if host.include_is_timeout_retry_header and call.attempt.number > 1:
            _set(headers, b"x-envoy-is-timeout-retry", b"true" if call.is_timeout_retry else b"false")
        if not call.suppress_envoy_headers:
            expected = timeouts.route if timeouts.per_try == INFINITY else timeouts.per_try
            if call.attempt.number > 1 and call.deadline != INFINITY:
                expected = min(expected, max(0.001, call.deadline - now))
            if expected != INFINITY:
                headers.append((b"x-envoy-expected-rq-timeout-ms", b"%d" % round(expected * 1000)))
        return headers


def _status(call: Call, response: httpx.Response) -> Outcome:
    """What outlier detection counts: the status, for gRPC requests that of the `grpc-status` header."""
    if (call.header(b"content-type") or b"").startswith(b"application/grpc"):
        grpc_status = response.headers.get("grpc-status", "")
        if grpc_status.isdigit():
            return grpc_outcome(int(grpc_status))
    return response.status_code


def _set(headers: list[Header], name: bytes, value: bytes) -> None:
    headers[:] = [header for header in headers if header[0] != name]
    headers.append((name, value))
