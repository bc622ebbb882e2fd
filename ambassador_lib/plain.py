"""No policy: plain httpx with safe defaults for every host.

Bounded retries of idempotent requests on connection trouble, and a breaker per host. Requests, responses and
exceptions are httpx's own; the only additions are their reports, the headers of a trace where an OpenTelemetry SDK is
set up, and an open breaker: `CircuitOpenError`, or its reply under `local_replies="response"`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx

from ._httpx import with_headers
from .algorithms.retry_on import RetryOn
from .call import INFINITY, Attempt, Call, Handler, Next
from .errors import AmbassadorError, connect_failure, connect_timeout, connection_termination
from .handlers.breaker import Breaker
from .handlers.observe import Observe
from .handlers.retry import Retry
from .policy.model import CircuitBreaker, Cluster
from .routing.retry_rules import RetryRules
from .runtime.afresh import after_fork
from .stack import compose
from .telemetry.metrics import shared_metrics
from .telemetry.tracing import Tracing
from .upstream.breaker_storage import watch_storage
from .upstream.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .options import Options
    from .runtime.base import Runtime
    from .runtime.control import Watch
    from .telemetry.spans import Recording

HOSTS = 1024
"""Breakers are kept for this many hosts, the least recently called one is forgotten first."""

RULES = RetryRules(conditions=RetryOn.CONNECT_FAILURE | RetryOn.REFUSED_STREAM | RetryOn.RESET, num_retries=2)

_ROUTE = SimpleNamespace(priority="DEFAULT")
_BROKEN_OFF = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class _HostEntry:
    """A host's breaker at work, the way through it, and what watches its storage."""

    upstream: Upstream
    chain: Next
    watches: Sequence[Watch]

    def stop(self) -> None:
        """Watch the storage no longer; calls under way are not concerned."""
        for watch in self.watches:
            watch.cancel(0)


class PlainStack:
    """The safe defaults at work, over whatever transport httpx would have used."""

    def __init__(self, runtime: Runtime, options: Options) -> None:
        self._runtime = runtime
        self._options = options
        self._tracing = Tracing(clock=options.clock, random=options.random)
        self._metrics = shared_metrics()
        self._hosts: OrderedDict[str, _HostEntry] = OrderedDict()
        self._lock = Lock()
        after_fork(self)

    def start_afresh(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = Lock()

    async def handle(self, call: Call, transport: Any) -> httpx.Response:
        """Carry one call out over `transport`. Raises what httpx raises, and `CircuitOpenError`."""
        host = self._host(call.request.url)
        call.cluster, call.route, call.destination = host.upstream, _ROUTE, transport
        call.report.cluster = call.authority = host.upstream.name
        call.read_timeout = call.write_timeout = INFINITY  # httpx's transport keeps them itself
        call.headers = [(name.lower(), value) for name, value in call.request.headers.raw]
        self._tracing.start_call(call)
        try:
            return await host.chain(call)
        except AmbassadorError as error:
            cause = error.__cause__
            if isinstance(cause, httpx.TransportError):
                cause.call = call.report  # type: ignore[attr-defined]  # the contract: every failure tells its story
                raise cause from cause.__cause__
            raise

    def close(self) -> None:
        """End what watches shared breaker storages."""
        with self._lock:
            hosts = list(self._hosts.values())
            self._hosts.clear()
        for host in hosts:
            host.stop()

    def _host(self, url: httpx.URL) -> _HostEntry:
        key = url.netloc.decode("ascii")
        with self._lock:
            known = self._hosts.get(key)
            if known is not None:
                self._hosts.move_to_end(key)
                return known
            while len(self._hosts) >= HOSTS:
                _, forgotten = self._hosts.popitem(last=False)
                forgotten.stop()
            self._hosts[key] = made = self._make(key)
            return made

    def _make(self, name: str) -> _HostEntry:
        options = self._options
        upstream = Upstream(
            Cluster(name=name, circuit_breaker=CircuitBreaker()),
            clock=options.clock,
            random=options.random,
            breaker_listeners=options.breaker_listeners,
            breaker_storage=options.breaker_storage,
        )
        assert upstream.breaker is not None, "the cluster above asks for one"
        retry = Retry(
            RULES,
            {},
            runtime=self._runtime,
            random=options.random,
            idempotent_only=True,
            application=options.retry,
        )
        handlers: list[Handler] = [
            Observe(self._runtime, self._tracing, as_response=False),
            _Reply(as_response=options.as_response),
            retry,
            Breaker(upstream.breaker, self._runtime),
        ]
        return _HostEntry(
            upstream,
            compose(handlers, self._send),
            watch_storage(upstream, options.clock, options.random, options.control),
        )

    async def _send(self, call: Call) -> httpx.Response:
        attempt, runtime = call.attempt, self._runtime
        now = runtime.now()
        attempt.started = now - call.started
        attempt.endpoint = call.cluster.name
        call.report.attempts.append(attempt)
        request, span = call.request, None
        if call.span is not None:
            request, span = self._traced(call, attempt)
        counted = self._metrics.begin(call)
        try:
            response = await runtime.pass_on(call.destination, request)
        except BaseException as error:
            attempt.error = error
            failure = _failure(error)
            if failure is error:
                raise
            raise failure from error
        else:
            attempt.status = call.report.status = response.status_code
            call.report.details = "via_upstream"
            return response
        finally:
            attempt.duration = runtime.now() - now
            if counted is not None:
                counted.end(attempt.status or type(attempt.error), attempt.duration)
            self._tracing.end_try(span, attempt.status, attempt.error)

    def _traced(self, call: Call, attempt: Attempt) -> tuple[httpx.Request, Recording | None]:
        """Start the try's span and return the request that carries its identity, otherwise as it was written."""
        headers = call.headers.copy()
        span = self._tracing.start_try(call, attempt, headers)
        kept, own = set(headers), set(call.headers)
        written = zip(call.request.headers.raw, call.headers, strict=True)
        carried = [header for header, lower in written if lower in kept]
        carried += [header for header in headers if header not in own]
        return with_headers(call.request, carried), span


class _Reply:
    """What the report tells of a failure, and the reply of an open breaker, the only one of our own."""

    def __init__(self, *, as_response: bool) -> None:
        self._as_response = as_response

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        try:
            return await next(call)
        except AmbassadorError as error:
            reply = error.reply
            call.flag(reply.flag)
            call.report.details = reply.details
            if error.__cause__ is not None:  # httpx's own failure, to be raised as it is
                raise
            call.report.status = reply.status
            body = "" if call.method == "HEAD" else reply.body
            # Not `content=`: a response that is read already could not be streamed by the application any more.
            response = error.response = httpx.Response(
                reply.status,
                headers=reply.header_list(),
                stream=httpx.ByteStream(body.encode()),
                request=call.request,
                extensions={"ambassador": call.report},
            )
            if self._as_response:
                return response
            response.read()
            raise


def _failure(error: BaseException) -> BaseException:
    """Name what retries and the breaker go by."""
    if isinstance(error, httpx.ConnectTimeout):
        return connect_timeout()
    if isinstance(error, httpx.ConnectError):
        return connect_failure(str(error))
    if isinstance(error, _BROKEN_OFF):
        return connection_termination(str(error))
    return error
