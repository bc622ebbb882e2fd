"""Outermost: the call's report and its end, whichever way it comes; its span, begun by `admit`, ends here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

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


class Observe:
    """Everything the call took is given back here: at the end of the body, or when no response comes of it."""

    def __init__(
        self, runtime: Runtime, tracing: Tracing, *, as_response: bool, logs: AccessLogs | None = None
    ) -> None:
        self.runtime = runtime
        self.tracing = tracing
        self.as_response = as_response
        self.logs = logs

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        watch = CallWatch(call, self)
        try:
            response = await next(call)
        except RequestBodyFailed as signal:
            if call.attempt is not NO_TRY:  # a filter may read the body before the first try
                call.attempt.error = signal.error
            watch.broke_off(signal.error)
            raise signal.error from signal.error.__cause__
        except BaseException as error:
            watch.broke_off(error)
            raise
        response.extensions["ambassador"] = call.report
        if self.logs is not None:
            watch.response = response
        self.runtime.watch_body(response, watch)
        return response


class CallWatch:
    """Follows a call to its end; the body of its response is read under what is left of the call's bounds."""

    response: httpx.Response | None = None
    """What the application is given; kept where it is to be logged."""
    _error: BaseException | None = None
    _done = False
    _judges = True

    def __init__(self, call: Call, observe: Observe) -> None:
        self._call = call
        self._observe = observe
        self._now = observe.runtime.now

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

    def broke_off(self, error: BaseException) -> None:
        """No response came of the call."""
        self._error = error
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, AmbassadorError):
            _caller_left(self._call)
        self._call.is_complete = isinstance(error, AmbassadorError)
        if isinstance(error, Exception):
            _tell(error, self._call)
        if isinstance(error, AmbassadorError) and error.response is not None:
            self.response = error.response
            self._call.bytes_sent = len(error.response.content)
        self.ended()

    def ended(self) -> None:
        """Give everything back; runs once."""
        if self._done:
            return
        self._done = True
        call = self._call
        call.report.duration = self._now() - call.started
        try:
            call.finish()
        finally:
            if call.report.status is not None and call.attempt is not NO_TRY:
                call.cluster.counters.upstream_rq_completed += 1
            if self._observe.logs is not None:
                self._log(self._observe.logs)
            if call.span is not None:
                self._observe.tracing.end_call(call, call.report.status, self._error)

    def _log(self, logs: AccessLogs) -> None:
        response = self.response
        if response is None and not self._call.report.flags:  # nobody waited for the answer
            _caller_left(self._call)
        self._call.code = 0 if response is None else response.status_code
        logs.write(self._call, () if response is None else response.headers.raw)


def _caller_left(call: Call) -> None:
    """The application's own timeout: to a sidecar, the caller hung up."""
    call.flag("DC")
    call.report.details = "downstream_remote_disconnect"


def _tell(error: Exception, call: Call) -> None:
    """The contract: every failure tells its story."""
    with suppress(AttributeError):  # an exception of somebody else's that cannot be written to, a frozen one say
        error.call = call.report  # type: ignore[attr-defined]
