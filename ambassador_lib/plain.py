"""No policy: plain httpx with safe defaults for every host.

Bounded retries of idempotent requests on connection trouble, and a breaker per host. Requests, responses and
exceptions are httpx's own; the only additions are their reports and `CircuitOpenError`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Coroutine
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx

from .algorithms.retry_on import RetryOn
from .call import Call, Next
from .errors import AmbassadorError, LocalReply, UpstreamConnectError, UpstreamResetError
from .handlers.breaker import Breaker
from .handlers.observe import Observe
from .handlers.retry import Retry
from .policy.model import CircuitBreaker, Cluster
from .routing.retry_rules import RetryRules
from .stack import compose, watch_storage
from .telemetry.tracing import Tracing
from .upstream.upstream import Upstream

if TYPE_CHECKING:
    from .options import Options
    from .runtime.base import Runtime
    from .runtime.control import Watch

HOSTS = 1024
"""Breakers are kept for this many hosts, the least recently called one is forgotten first."""

RULES = RetryRules(conditions=RetryOn.CONNECT_FAILURE | RetryOn.REFUSED_STREAM | RetryOn.RESET, num_retries=2)

_ROUTE = SimpleNamespace(priority="DEFAULT")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
_BROKEN_OFF = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


class PlainStack:
    """The safe defaults at work, over whatever transport httpx would have used."""

    def __init__(self, runtime: Runtime, options: Options) -> None:
        self._runtime = runtime
        self._options = options
        self._tracing = Tracing(clock=options.clock, random=options.random)
        self._hosts: OrderedDict[str, tuple[Upstream, Next]] = OrderedDict()
        self._watches: list[Watch] = []
        self._lock = Lock()

    async def handle(self, call: Call, transport: Any) -> httpx.Response:
        """Carry one call out over `transport`. Raises what httpx raises, and `CircuitOpenError`."""
        upstream, chain = self._host(call.request.url)
        call.cluster, call.route, call.destination = upstream, _ROUTE, transport
        call.report.cluster = upstream.name
        call.headers = [(name.lower(), value) for name, value in call.request.headers.raw]
        self._tracing.start_call(call)
        try:
            return await chain(call)
        except AmbassadorError as error:
            cause = error.__cause__
            if isinstance(cause, httpx.TransportError):
                cause.call = call.report  # type: ignore[attr-defined]  # the contract: every failure tells its story
                raise cause from None
            error.response = httpx.Response(error.reply.status, text=error.reply.body, request=call.request)
            raise

    def close(self) -> None:
        """End what watches shared breaker storages."""
        for watch in self._watches:
            watch.cancel(0)

    def _host(self, url: httpx.URL) -> tuple[Upstream, Next]:
        key = url.netloc.decode("ascii")
        with self._lock:
            known = self._hosts.get(key)
            if known is not None:
                self._hosts.move_to_end(key)
                return known
            while len(self._hosts) >= HOSTS:
                self._hosts.popitem(last=False)
            self._hosts[key] = made = self._make(key)
            return made

    def _make(self, name: str) -> tuple[Upstream, Next]:
        options = self._options
        upstream = Upstream(
            Cluster(name=name, circuit_breaker=CircuitBreaker()),
            clock=options.clock,
            random=options.random,
            breaker_listeners=options.breaker_listeners,
            breaker_storage=options.breaker_storage,
        )
        assert upstream.breaker is not None, "the cluster above asks for one"
        self._watches += watch_storage(upstream, options)
        retry = Retry(
            RULES,
            {},
            runtime=self._runtime,
            random=options.random,
            idempotent_only=True,
            application=options.retry,
        )
        observe = Observe(self._runtime, self._tracing, as_response=False)
        return upstream, compose([observe, retry, Breaker(upstream.breaker, self._runtime)], self._send)

    def _send(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        return _send(call, self._runtime)


async def _send(call: Call, runtime: Runtime) -> httpx.Response:
    attempt = call.attempt
    now = runtime.now()
    attempt.started = now - call.started
    attempt.endpoint = call.cluster.name
    call.report.attempts.append(attempt)
    try:
        response = await runtime.pass_on(call.destination, call.request)
    except _NOT_SENT as error:
        attempt.error = error
        raise UpstreamConnectError(str(error), reply=LocalReply(503, flag="UF")) from error
    except _BROKEN_OFF as error:
        attempt.error = error
        raise UpstreamResetError(str(error), reply=LocalReply(503, flag="UC")) from error
    except BaseException as error:
        attempt.error = error
        raise
    finally:
        attempt.duration = runtime.now() - now
    attempt.status = call.report.status = response.status_code
    call.report.details = "via_upstream"
    return response
