"""Every exception of the library. Each is also the httpx exception that existing code already catches.

    AmbassadorError
    ├── PolicyError             ValueError                  a policy that cannot be used
    ├── CircuitOpenError        httpx.ConnectError          503     the cluster's breaker is open
    │                           pybreaker.CircuitBreakerError
    ├── UpstreamOverflowError   httpx.PoolTimeout           503 UO  a circuit_breakers threshold is full
    ├── NoHealthyUpstreamError  httpx.ConnectError          503 UH  no endpoint can be chosen
    ├── RouteTimeoutError       httpx.ReadTimeout           504 UT  the route's timeout passed
    ├── PerTryTimeoutError      httpx.ReadTimeout           504 UT  the last try's timeout passed
    ├── UpstreamConnectError    httpx.ConnectError          503 UF  refused, unreachable, TLS failure, connect timeout
    ├── UpstreamResetError      httpx.RemoteProtocolError   503 UC / UR, 502 UPE  closed or reset before the head
    ├── RateLimitedError        httpx.TransportError        429 RL
    ├── NoRouteError            httpx.UnsupportedProtocol   404 NR  nothing claims the URL or no route matches
    ├── FaultInjectedError      httpx.TransportError        FI
    ├── LocalReplyError         httpx.TransportError        any other reply that the sidecar would make itself
    │   └── UpstreamDurationError                       504 UMSDR  the last try lasted longer than its cluster allows
    └── NotReadyError           httpx.ConnectTimeout        `ready()` waited in vain

Everything but `PolicyError` and `NotReadyError` carries `.response`, the reply the sidecar would have sent, and
`.call`, the story of the tries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from .call import INFINITY, Call, CallReport

if TYPE_CHECKING:
    from ._circuit_open import CircuitOpenError as CircuitOpenError  # noqa: PLC0414 - exported

RESET = "upstream connect error or disconnect/reset before headers. "


class Phase(IntEnum):
    """How far an exchange with an upstream had come when it failed; each phase includes those before it."""

    NOT_CONNECTED = 0
    NOTHING_SENT = 1
    """Connected, and no byte of the request has left."""
    SENT_IN_PART = 2
    """Some of the request has been handed to the system, which may have sent it; how much, nobody knows."""
    SENT_WHOLE = 3
    HEAD_BEGUN = 4
    """Some of the response's head has come; that of a 1xx before it does not count."""
    BODY_BEGUN = 5


@dataclass(slots=True)
class LocalReply:
    """The reply that Envoy would send itself: `headers` come on top of content-type and content-length.

    `grpc_status`: for a gRPC request, where it does not follow from `status`. `reason`: what the transport said, for
    the policies that let the body tell it.
    `mutated`: the route's header mutations are made. `shaped`: `headers` are all there are, framing included.
    """

    status: int
    body: str = ""
    flag: str = ""
    details: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    grpc_status: int | None = None
    reason: str = ""
    mutated: bool = False
    shaped: bool = False

    def header_list(self) -> list[tuple[bytes, bytes]]:
        """Return all headers, framing included (semantics 12.1: no content-type on an empty body)."""
        if self.status == 204:
            return list(self.headers)
        if not self.body:
            return [(b"content-length", b"0"), *self.headers]
        framing = [(b"content-length", b"%d" % len(self.body.encode()))]
        if all(name.lower() != b"content-type" for name, _ in self.headers):  # a mutation's own takes its place
            framing.append((b"content-type", b"text/plain"))
        return [*framing, *self.headers]


class AmbassadorError(Exception):
    """Base of all errors of this library.

    Attributes: `call`, the `CallReport` of the failed call (`None` outside a call); `response`, the `httpx.Response`
    that `local_replies="response"` would have returned; `reply`, the same before it became a response.
    """

    call: CallReport | None = None
    response: httpx.Response | None = None
    reply: LocalReply

    def __init__(self, message: str = "", *, reply: LocalReply | None = None, **httpx_arguments: Any) -> None:
        super().__init__(message, **httpx_arguments)
        if reply is not None:
            self.reply = reply

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} [{self.call}]" if self.call is not None else text


class UpstreamOverflowError(AmbassadorError, httpx.PoolTimeout):
    """A threshold of the cluster's `circuit_breakers` is full."""


class NoHealthyUpstreamError(AmbassadorError, httpx.ConnectError):
    """The load balancer found no endpoint."""


class RouteTimeoutError(AmbassadorError, httpx.ReadTimeout):
    """The route's timeout passed; it spans all tries and the response's body."""


class PerTryTimeoutError(AmbassadorError, httpx.ReadTimeout):
    """The last try's own timeout passed before its response's headers."""


class UpstreamConnectError(AmbassadorError, httpx.ConnectError):
    """No connection to the endpoint: refused, unreachable, TLS failure or connect timeout. Nothing was sent."""

    phase: Phase | None = Phase.NOT_CONNECTED
    """How far the exchange had come."""


class UpstreamResetError(AmbassadorError, httpx.RemoteProtocolError):
    """The endpoint broke the exchange off, or spoke something that is not HTTP."""

    refused: bool = False
    """True where the endpoint cannot have started on the request (REFUSED_STREAM, GOAWAY below the stream)."""
    phase: Phase | None = None
    """How far the exchange had come; `None` where nobody can tell (over an httpx transport that is not ours)."""
    reused: bool = False
    """Whether the connection had served other exchanges before."""

    @property
    def is_stale(self) -> bool:
        """Whether a kept connection died before anything of the answer came: the endpoint may never have seen it."""
        return self.reused and self.phase is not None and self.phase < Phase.HEAD_BEGUN

    @property
    def may_have_been_sent(self) -> bool:
        """Whether any of the request may have reached the endpoint; where nobody can tell, it may."""
        return self.phase is None or self.phase > Phase.NOTHING_SENT


class RateLimitedError(AmbassadorError, httpx.TransportError):
    """A local rate limit refused the call."""


class NoRouteError(AmbassadorError, httpx.UnsupportedProtocol):
    """Nothing claims the URL, or the listener that does has no matching route."""


class FaultInjectedError(AmbassadorError, httpx.TransportError):
    """A fault filter aborted the call."""


class LocalReplyError(AmbassadorError, httpx.TransportError):
    """Any other reply that the sidecar would make itself; `.response` tells which."""


class UpstreamDurationError(LocalReplyError):
    """The last try lasted longer than its cluster's `max_stream_duration`."""


class NotReadyError(AmbassadorError, httpx.ConnectTimeout):
    """`ready(timeout=...)`: first resolution or first health checks did not end in time."""


JUDGED_TIMEOUTS = (RouteTimeoutError, PerTryTimeoutError)
"""The timeouts that outlier detection hears of; the others say nothing of the endpoint (semantics 5)."""


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """One thing wrong with a policy: where, which field, what, and what would help."""

    location: str
    path: str
    message: str
    help: str = ""

    def __str__(self) -> str:
        text = f"{self.location}: {self.path}: {self.message}" if self.path else f"{self.location}: {self.message}"
        return f"{text}; {self.help}" if self.help else text


class PolicyError(AmbassadorError, ValueError):
    """A policy that cannot be used. `faults` lists everything wrong with it, in the order of the file."""

    def __init__(self, faults: Sequence[PolicyFault] | str) -> None:
        self.faults: tuple[PolicyFault, ...] = () if isinstance(faults, str) else tuple(faults)
        super().__init__(faults if isinstance(faults, str) else "\n".join(map(str, self.faults)))


class DeadlineExpired(Exception):  # noqa: N818 - a signal between engine and handlers, never seen by callers
    """An engine or runtime gave up because the exchange's deadline passed."""


class RequestBodyFailed(Exception):  # noqa: N818 - a signal between body and `observe`, never seen by callers
    """The application's own stream raised `error` while it was sent; it is nobody else's failure."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Redirected(Exception):  # noqa: N818 - a signal to who chooses routes, never seen by callers
    """The call has a new URL and a route for it: it goes on its way again."""


# --- the replies of semantics 12.1, made where they are raised -------------------------------------------------------


def no_healthy_upstream() -> NoHealthyUpstreamError:
    """No endpoint can be chosen: 503 UH."""
    return NoHealthyUpstreamError(
        "no healthy upstream", reply=LocalReply(503, "no healthy upstream", "UH", "no_healthy_upstream")
    )


def route_timeout() -> RouteTimeoutError:
    """The route's timeout passed: 504 UT."""
    reply = LocalReply(504, "upstream request timeout", "UT", "response_timeout")
    return RouteTimeoutError("upstream request timeout", reply=reply)


def per_try_timeout() -> PerTryTimeoutError:
    """One try's timeout passed: 504 UT."""
    reply = LocalReply(504, "upstream request timeout", "UT", "upstream_per_try_timeout")
    return PerTryTimeoutError("upstream request timeout (per try)", reply=reply)


def per_try_idle_timeout() -> PerTryTimeoutError:
    """One try was idle for too long: 504 UT."""
    reply = LocalReply(504, "upstream request timeout", "UT", "upstream_per_try_idle_timeout")
    return PerTryTimeoutError("upstream request timeout (per try, idle)", reply=reply)


def expired(call: Call) -> AmbassadorError | httpx.TimeoutException:
    """Which bound of the call has passed: the one that struck first."""
    attempt = call.attempt
    complete = call.request_ended is not None
    bounds: dict[Callable[[], AmbassadorError | httpx.TimeoutException], float] = {
        route_timeout: call.route_at,
        per_try_timeout: attempt.try_at,
        partial(stream_idle_timeout, request_complete=complete): call.idle_at,
        partial(_application_timeout, request_complete=complete): call.app_at,
    }
    if call.has_rare_bounds:
        bounds[partial(max_duration, request_complete=complete)] = call.duration_at
        bounds[request_timeout] = call.request_at
        bounds[per_try_idle_timeout] = attempt.idle_at
        bounds[partial(upstream_duration, request_complete=complete)] = attempt.over_at
    first = min(bounds, key=bounds.__getitem__)
    if bounds[first] == INFINITY:  # nothing bounds the call: the engine's own patience is over
        return stream_idle_timeout(request_complete=complete)
    return first()


def _application_timeout(*, request_complete: bool) -> httpx.TimeoutException:
    if request_complete:
        return httpx.ReadTimeout("the application's own read timeout passed")
    return httpx.WriteTimeout("the application's own write timeout passed")


def stream_idle_timeout(*, request_complete: bool = True) -> LocalReplyError:
    """Nothing moved for the stream's idle timeout: 504 SI, or 408 while the request is unfinished."""
    reply = LocalReply(504 if request_complete else 408, "stream timeout", "SI", "stream_idle_timeout")
    return LocalReplyError("stream timeout", reply=reply)


def max_duration(*, request_complete: bool = True) -> LocalReplyError:
    """The call lasted for `max_stream_duration`: 504 without a flag, or 408 while the request is unfinished."""
    status = 504 if request_complete else 408
    reply = LocalReply(status, "downstream duration timeout", "", "max_duration_timeout", grpc_status=4)
    return LocalReplyError("downstream duration timeout", reply=reply)


def request_timeout() -> LocalReplyError:
    """The request took longer to come than the connection manager's `request_timeout`: 408."""
    return LocalReplyError("request timeout", reply=LocalReply(408, "request timeout", "", "request_overall_timeout"))


def upstream_duration(*, request_complete: bool = True) -> UpstreamDurationError:
    """One try lasted for its cluster's `max_stream_duration`: 504 UMSDR, or 408 while the request is unfinished."""
    message = "upstream max stream duration reached"
    reply = LocalReply(504 if request_complete else 408, message, "UMSDR", "upstream_max_stream_duration_reached")
    return UpstreamDurationError(message, reply=reply)


def overflow() -> UpstreamOverflowError:
    """A threshold is full: 503 UO with `x-envoy-overloaded`."""
    reply = _reset_reply("overflow", "UO", "overflow")
    reply.headers.append((b"x-envoy-overloaded", b"true"))
    return UpstreamOverflowError("circuit_breakers threshold reached: overflow", reply=reply)


def connect_failure(reason: str) -> UpstreamConnectError:
    """Refused, unreachable, TLS failure: 503 UF. `reason` is for the details only, never for the body (1.40)."""
    underscored = f"|{reason.replace(' ', '_')}" if reason else ""
    reply = _reset_reply("remote connection failure", "UF", f"remote_connection_failure{underscored}")
    reply.reason = reason
    return UpstreamConnectError(f"connect failure: {reason or 'closed by the peer'}", reply=reply)


def connect_timeout() -> UpstreamConnectError:
    """TCP and TLS were not done within `connect_timeout`: 503 UF."""
    return UpstreamConnectError("connect timeout", reply=_reset_reply("connection timeout", "UF", "connection_timeout"))


def connection_termination(message: str = "connection closed before headers") -> UpstreamResetError:
    """The peer closed or reset the connection before the response's headers: 503 UC."""
    return UpstreamResetError(message, reply=_reset_reply("connection termination", "UC", "connection_termination"))


def protocol_error(message: str) -> UpstreamResetError:
    """The peer spoke something that is not HTTP: 502 UPE."""
    reply = _reset_reply("protocol error", "UPE", "protocol_error")
    reply.status = 502
    return UpstreamResetError(f"protocol error: {message}", reply=reply)


def remote_reset(message: str, *, refused: bool = False, connect: bool = False) -> UpstreamResetError:
    """An HTTP/2 stream reset: 503 UR. `refused`: REFUSED_STREAM, or GOAWAY below the stream; `connect`: CONNECT_ERROR.

    Envoy tells each of these two by a name of its own.
    """
    reason = "remote refused stream reset" if refused else "remote reset"
    if connect:
        reason = "remote error with CONNECT request"
    error = UpstreamResetError(message, reply=_reset_reply(reason, "UR", reason.replace(" ", "_")))
    error.refused = refused
    return error


def after_headers(error: UpstreamResetError) -> UpstreamResetError:
    """The same reset, come after the response's headers: it breaks the body off, whatever the reply would be."""
    error.reply.details = error.reply.details.replace("_before_response_started", "_after_response_started")
    error.args = tuple(
        part.replace("before headers", "within the body") if isinstance(part, str) else part for part in error.args
    )
    return error


def again(error: BaseException) -> BaseException:
    """The same failure for another call: each call's exception tells its own story."""
    if not isinstance(error, AmbassadorError):
        return error
    other = type(error)(*error.args, reply=replace(error.reply, headers=error.reply.headers.copy()))
    other.__cause__ = error.__cause__
    return other


def _reset_reply(reason: str, flag: str, details: str) -> LocalReply:
    details = f"upstream_reset_before_response_started{{{details}}}"
    return LocalReply(503, f"{RESET}reset reason: {reason}", flag, details)


def __getattr__(name: str) -> Any:
    # pybreaker imports tornado and redis where they are installed (+40 ms): its subclass is made when first asked for.
    if name == "CircuitOpenError":
        from ._circuit_open import CircuitOpenError

        return CircuitOpenError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
