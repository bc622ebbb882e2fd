"""One try: what it sends, its own timeout, its span, and what its outcome tells about the endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Never

import httpx

from .._httpx import has_any
from ..algorithms import grpc_timeout
from ..algorithms.grpc_status import is_grpc
from ..algorithms.natural import natural
from ..call import INFINITY, Call, Header
from ..engine.base import Engine, Exchange
from ..errors import (
    JUDGED_TIMEOUTS,
    DeadlineExpired,
    UpstreamConnectError,
    UpstreamResetError,
    expired,
    overflow,
)
from ..routing.mutations import set_lower_header, tell
from ..upstream.grant import GO
from ..upstream.outlier import LocalOrigin, Outcome, grpc_outcome, timeout_outcome

if TYPE_CHECKING:
    from ..filters.upstream import UpstreamFilters
    from ..routing.compiled import CompiledVirtualHost
    from ..routing.response_match import ResponseMatch
    from ..routing.retry_rules import RetryRules
    from ..runtime.base import Runtime
    from ..telemetry.metrics import Metrics
    from ..telemetry.tracing import Tracing
    from ..upstream.upstream import Upstream


Send = Callable[[Exchange], Awaitable[httpx.Response]]

EXPECTED = b"x-envoy-expected-rq-timeout-ms"
GRPC_STATUS = frozenset((b"grpc-status",))
LEAST_REDIRECT = 300
"""What a route follows itself (`internal_redirect_policy`) is dropped with its body."""


class SendAttempt:
    """Last before the engine."""

    def __init__(
        self,
        upstream: Upstream,
        engine: Engine,
        runtime: Runtime,
        tracing: Tracing,
        metrics: Metrics,
        *,
        is_error: ResponseMatch | None = None,
        filters: UpstreamFilters | None = None,
    ) -> None:
        """`is_error` says which responses are errors for outlier detection, where the cluster does."""
        self.upstream = upstream
        self._counters = upstream.counters
        self._filters = filters
        self._engine = engine
        self._runtime = runtime
        self.now = runtime.now
        self._tracing = tracing
        self._metrics = metrics
        self._outlier = upstream.outlier
        # A connection in hand is news in split mode only (semantics 5).
        self._judged_by_origin = upstream.outlier is not None and (
            upstream.outlier.settings.split_external_local_origin_errors
        )
        self._verdict = None if is_error is None else partial(_error, is_error)
        self._detects_degraded = upstream.outlier is not None and upstream.outlier.settings.detect_degraded_hosts
        self._health_checked = upstream.health_checked
        self._milliseconds: dict[float, bytes] = {}
        keeps_deadlines = getattr(engine, "keeps_deadlines", False)
        self.send: Send = engine.send if keeps_deadlines else self._send_within
        """Send the try, and bring its answer."""

    def begin(self, call: Call) -> Exchange:
        """Begin what follows the try, and return what to `send`; `answered` or `failed` must end it."""
        attempt = call.attempt
        filters = self._filters or call.upstream_filters
        headers = self._headers(call)
        if filters is not None:
            headers = _filtered(call, filters, headers)
        if call.span is not None:
            attempt.span = self._tracing.start_try(call, attempt, headers)
        self._counters.upstream_rq_total += 1
        attempt.line = self._metrics.begin(call)
        exchange = _Exchange(call, headers, self)
        if call.on_exchange is not None:
            call.on_exchange(exchange)
        return exchange

    def _send_within(self, exchange: Exchange) -> Awaitable[httpx.Response]:
        return self._runtime.within(exchange.deadline, self._engine.send(exchange))

    async def refuse_late(self, response: httpx.Response) -> Never:
        """Drop an answer that an engine which could not be interrupted gave too late."""
        await self._runtime.discard(response)
        raise DeadlineExpired

    def answered(self, call: Call, response: httpx.Response, now: float) -> None:
        """Tell of the answer, whose head has come."""
        attempt = call.attempt
        filters = self._filters or call.upstream_filters
        if filters is not None:
            filters.respond(call, response)
        attempt.status = response.status_code
        attempt.duration = now - call.started - attempt.started
        if attempt.line is not None:
            attempt.line.end(attempt.status, attempt.duration)
            attempt.line = None  # the report outlives it
        if self._outlier is not None and not attempt.judged:
            if self._judged_by_origin:
                self._tell_connected(call, now)
            if self._verdict is not None:
                outcome = self._verdict(response)
            elif has_any(response.headers, GRPC_STATUS):
                outcome = _grpc_status(call, response)
            else:
                outcome = attempt.status
            self._outlier.record(call.endpoint, outcome, now)
            if self._detects_degraded and "x-envoy-degraded" in response.headers:
                self.upstream.degraded(call.endpoint, now)
        if self._health_checked and "x-envoy-immediate-health-check-fail" in response.headers:
            self.upstream.immediate_health_check_fail(call.endpoint)
        if attempt.try_at != INFINITY:
            call.head_received()
        if attempt.span is not None:
            self._tracing.end_try(attempt.span, attempt.status, None, attempt.endpoint)
            attempt.span = None

    def failed(self, call: Call, error: BaseException) -> BaseException:
        """Tell how the try failed, and return what it is called."""
        attempt = call.attempt
        failure = attempt.error = self._failure(call, error)
        attempt.duration = self.now() - call.started - attempt.started
        if attempt.line is not None:
            attempt.line.end(type(failure), attempt.duration)
            attempt.line = None
        if attempt.span is not None:
            self._tracing.end_try(attempt.span, None, failure, attempt.endpoint)
            attempt.span = None
        return failure

    def _tell_connected(self, call: Call, now: float) -> None:
        """Told with the outcome: over a foreign transport nobody knows of the connection before."""
        if self._judged_by_origin and call.attempt.connected:
            self.upstream.record(call.endpoint, LocalOrigin.CONNECTED, now)

    def _failure(self, call: Call, error: BaseException) -> BaseException:
        """Name what happened, and tell outlier detection whose fault it was."""
        outcome = None
        if isinstance(error, DeadlineExpired):
            error = expired(call)
            if isinstance(error, JUDGED_TIMEOUTS):
                outcome = timeout_outcome(call.overrides)
        elif isinstance(error, UpstreamConnectError):
            outcome = LocalOrigin.CONNECT_FAILURE
            if call.grant is None:  # its idle connection was gone
                place, call.attempt.place = call.attempt.place, None
                if place is not None:
                    place.release()
            else:
                call.grant.connect_failed(error)
        elif isinstance(error, UpstreamResetError):
            outcome = LocalOrigin.RESET
        now = self.now()
        if outcome is not LocalOrigin.CONNECT_FAILURE:
            self._tell_connected(call, now)
        if outcome is not None and not call.attempt.judged:
            self.upstream.record(call.endpoint, outcome, now)
        return error

    def _headers(self, call: Call) -> list[Header]:
        """The request's headers and what is said of this very try (semantics 2, 3.9)."""
        headers = call.headers.copy()
        number = call.attempt.number
        host: CompiledVirtualHost = call.virtual_host
        if host.counts_tries:
            if number == 1:
                tell(call, headers, b"x-envoy-attempt-count", b"1")
            else:
                set_lower_header(headers, b"x-envoy-attempt-count", b"%d" % number)
        if number > 1 and host.tells_timeout_retry:
            set_lower_header(headers, b"x-envoy-is-timeout-retry", b"true" if call.is_timeout_retry else b"false")
        expected = call.route_timeout if call.per_try_timeout == INFINITY else call.per_try_timeout
        if number > 1 and call.route_at != INFINITY:
            expected = min(expected, max(0.001, call.route_at - self.now()))
        if expected == INFINITY:
            return headers
        if not call.suppress_envoy_headers:
            text = (self._milliseconds.get(expected) if number == 1 else None) or self._in_milliseconds(
                expected, number
            )
            if call.internal:  # who may have brought one, which is not true any more
                set_lower_header(headers, EXPECTED, text)
            else:
                headers.append((EXPECTED, text))
        if call.tells_grpc_timeout:
            set_lower_header(headers, b"grpc-timeout", grpc_timeout.render(round(expected * 1000)))
        return headers

    def _in_milliseconds(self, seconds: float, number: int) -> bytes:
        """Routes have few different timeouts: each is written once; what is left for a retry is never the same."""
        text = b"%d" % round(seconds * 1000)
        if number == 1 and len(self._milliseconds) < 64:  # an internal caller may bring any number of its own
            self._milliseconds[seconds] = text
        return text


class _Exchange(Exchange):
    """A try as the engine sees it, taken from its call: to hand all of it to a constructor would cost twice as much."""

    def __init__(self, call: Call, headers: list[Header], sender: SendAttempt) -> None:
        request = call.request
        rules: RetryRules = call.retry_rules
        self.method = call.method
        self.scheme = call.scheme
        self.authority = call.authority
        self.target = call.target
        self.headers = headers
        self.stream = call.body
        self.destination = call.destination
        self.deadline = call.deadline
        self.url = request.url
        self.extensions = request.extensions
        self._call = call
        self._sender = sender
        if rules.conditions:
            self.dropped_from = rules.least_status
            if not isinstance(call.body, httpx.ByteStream):
                self.is_retried = partial(_is_retried, rules)
        if call.redirection is not None:
            self.dropped_from = min(self.dropped_from, LEAST_REDIRECT)
        if call.on_exchange is not None:  # it runs beside others, of which all but one are dropped
            self.dropped_from = 0

    def on_connected(self) -> None:
        """Start the try's own time; raises where it may not use the connection after all."""
        call, sender = self._call, self._sender
        call.connected(sender.now())
        grant = call.grant
        if grant is not None and grant.verdict is not GO and not grant.connected():
            raise overflow()
        sender.upstream.traffic_seen = True

    def on_interim(self) -> None:
        """Note that a 1xx has come before the response."""
        self._call.attempt.interim = True


def _filtered(call: Call, filters: UpstreamFilters, headers: list[Header]) -> list[Header]:
    """Show the try's headers to the cluster's filters; what they change stays changed for the next try."""
    call.headers = headers
    filters.request(call)
    sent = call.headers.copy()
    call.headers = [header for header in sent if header[0] != EXPECTED]
    return sent


def _is_retried(rules: RetryRules, status: int, headers: Sequence[Header]) -> bool:
    return rules.response_retried(status, headers) is not None


def _error(is_error: ResponseMatch, response: httpx.Response) -> Outcome:
    """What outlier detection counts where the cluster says what an error is."""
    return 500 if is_error(response.status_code, response.headers.raw) else 200


def _grpc_status(call: Call, response: httpx.Response) -> Outcome:
    """What outlier detection counts: for gRPC requests what the `grpc-status` header says, else the status."""
    grpc_status = natural(response.headers["grpc-status"]) if is_grpc(call.header(b"content-type")) else None
    return response.status_code if grpc_status is None else grpc_outcome(grpc_status)
