"""Outermost: the call's report and its end, whichever way it comes; its span, begun by `admit`, ends here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from .._httpx import content_of
from ..call import NO_TRY, Call, Deadline, Next
from ..errors import (
    JUDGED_TIMEOUTS,
    AmbassadorError,
    DeadlineExpired,
    RequestBodyFailed,
    UpstreamResetError,
    expired,
)
from ..upstream.outlier import LocalOrigin, timeout_outcome

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..telemetry.access_log import AccessLogs
    from ..telemetry.tracing import Tracing
    from ..upstream.serving import Serving


class Observe:
    """Everything the call took is given back here: at the end of the body, or when no response comes of it."""

    def __init__(
        self, runtime: Runtime, tracing: Tracing, *, as_response: bool, logs: AccessLogs | None = None
    ) -> None:
        self.runtime = runtime
        self.now = runtime.now
        self.tracing = tracing
        self.as_response = as_response
        self.logs = logs

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        try:
            response = await next(call)
        except RequestBodyFailed as signal:
            self.request_failed(call, signal)
            raise signal.error from signal.error.__cause__
        except BaseException as error:
            self.broke_off(call, error)
            raise
        self.response(call, response)
        return response

    def response(self, call: Call, response: httpx.Response) -> None:
        """The application is given this: the call ends with its body, which may be there already."""
        response.extensions["ambassador"] = call.report
        content = content_of(response.stream)
        if content is None:
            self.runtime.watch_body(response, CallWatch(call, self, response))
            return
        call.bytes_sent += len(content)
        self.end(call, response, None)

    def request_failed(self, call: Call, signal: RequestBodyFailed) -> None:
        """The application's own body has failed, which is nobody else's fault."""
        if call.attempt is not NO_TRY:  # a filter may read the body before the first try
            call.attempt.error = signal.error
        self.broke_off(call, signal.error)

    def broke_off(self, call: Call, error: BaseException) -> None:
        """No response came of the call."""
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, AmbassadorError):
            _caller_left(call)
        call.is_complete = isinstance(error, AmbassadorError)
        if isinstance(error, Exception):
            _tell(error, call)
        response = error.response if isinstance(error, AmbassadorError) else None
        if response is not None:
            call.bytes_sent = len(response.content)
        self.end(call, response, error)

    def end(self, call: Call, response: httpx.Response | None, error: BaseException | None) -> None:
        """Give everything back and tell of the call, once: its `response` has ended, or there is none; or it failed."""
        report = call.report
        report.duration = self.now() - call.started
        try:
            call.finish()
        finally:
            if report.status is not None and call.attempt is not NO_TRY:
                cluster: Serving = call.cluster
                cluster.counters.upstream_rq_completed += 1
            if self.logs is not None:
                _log(self.logs, call, response)
            if call.span is not None:
                self.tracing.end_call(call, report.status, error)


class CallWatch:
    """Follows a call to its end; the body of its response is read under what is left of the call's bounds."""

    _error: BaseException | None = None
    _done = False
    _judges = True

    def __init__(self, call: Call, observe: Observe, response: httpx.Response) -> None:
        self._call = call
        self._observe = observe
        self._response = response if observe.logs is not None else None  # which else could not be freed with its body
        self._now = observe.now

    def reading(self) -> Deadline:
        """Restart the idle bounds; the deadline is the try's, which the engine's sockets are under as well."""
        now = self._now()
        # What the application was slow to read has arrived in time all the same: only the wait itself can be too long.
        self._judges = not self._call.is_over(now)
        self._call.touch(now)
        return self._call.deadline

    def received(self, size: int) -> None:
        """Count, and judge a read that nobody could interrupt."""
        self._call.bytes_sent += size
        if self._judges and self._now() >= self._call.deadline.at:
            raise DeadlineExpired

    def complete(self, size: int) -> None:
        """Count a body that came with the head, and end."""
        self._call.bytes_sent += size
        self.ended()

    def failed(self, error: Exception) -> Exception:
        """Map a failure of the body: the contract's exception, or what a sidecar's caller would see of it."""
        call = self._call
        call.is_complete = False
        seen: Exception = expired(call) if isinstance(error, DeadlineExpired) else error
        self._error = seen
        if isinstance(seen, AmbassadorError):
            seen = self._judge(seen)
        elif isinstance(seen, httpx.TimeoutException):
            _caller_left(call)
        _tell(seen, call)
        return seen

    def _judge(self, error: AmbassadorError) -> Exception:
        call = self._call
        call.flag(error.reply.flag)
        call.report.details = error.reply.details
        if call.endpoint is not None and isinstance(error, (UpstreamResetError, *JUDGED_TIMEOUTS)):
            how = LocalOrigin.RESET if isinstance(error, UpstreamResetError) else timeout_outcome(call.overrides)
            call.cluster.record(call.endpoint, how, self._now())
        error.response = httpx.Response(error.reply.status, text=error.reply.body, request=call.request)
        if self._observe.as_response:  # after the head a sidecar can only break the body off
            return httpx.RemoteProtocolError(f"response body broken off: {error.reply.details}", request=call.request)
        return error

    def ended(self) -> None:
        """End the call, once."""
        if not self._done:
            self._done = True
            self._observe.end(self._call, self._response, self._error)


def _log(logs: AccessLogs, call: Call, response: httpx.Response | None) -> None:
    if response is None and not call.report.flags:  # nobody waited for the answer
        _caller_left(call)
    call.code = 0 if response is None else response.status_code
    logs.write(call, () if response is None else response.headers.raw)


def _caller_left(call: Call) -> None:
    """The application's own timeout: to a sidecar, the caller hung up."""
    call.flag("DC")
    call.report.details = "downstream_remote_disconnect"


def _tell(error: Exception, call: Call) -> None:
    """The contract: every failure tells its story."""
    with suppress(AttributeError):  # an exception of somebody else's that cannot be written to, a frozen one say
        error.call = call.report  # type: ignore[attr-defined]
