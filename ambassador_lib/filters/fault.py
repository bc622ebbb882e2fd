"""The fault filter: delays, aborts and slow responses on purpose.

Source: `envoy.extensions.filters.http.fault.v3.HTTPFault`; semantics 9.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any

import httpx

from ..algorithms import runtime_value
from ..algorithms.token_bucket import TokenBucket
from ..call import Call, Next
from ..errors import FaultInjectedError, LocalReply
from ..policy.model.core import FractionalPercent
from ..policy.model.filters import FaultAbort, FaultDelay, FaultRateLimit, HTTPFault
from ..routing.draws import drawn, header_integer, percent
from ..routing.match import compile_header_matcher
from ..runtime.afresh import after_fork
from .base import NOTHING, FilterContext, Layer, Scope, pause

_KEYS = {
    "delay_percent_runtime": "fault.http.delay.fixed_delay_percent",
    "delay_duration_runtime": "fault.http.delay.fixed_duration_ms",
    "abort_percent_runtime": "fault.http.abort.abort_percent",
    "abort_http_status_runtime": "fault.http.abort.http_status",
    "abort_grpc_status_runtime": "fault.http.abort.grpc_status",
    "max_active_faults_runtime": "fault.http.max_active_faults",
    "response_rate_limit_percent_runtime": "fault.http.rate_limit.response_percent",
}


class Fault:
    """The filter of one listener; it counts the calls that have a fault in them."""

    def __init__(self, config: HTTPFault, context: FilterContext) -> None:
        self.context = context
        self.active = 0
        self.lock = RLock()  # the garbage collector may end a call in here
        self._settings = self.prepare(config)
        after_fork(self)

    def start_afresh(self) -> None:
        """In a forked child: the calls are the parent's."""
        self.lock = RLock()
        self.active = 0

    def prepare(self, config: HTTPFault) -> Settings:
        """Compile one configuration."""
        return Settings(config, self.context.values)

    def layer(self, scope: Scope, settings: Sequence[Settings]) -> Layer:
        """Take the most specific settings; no fault in them, no layer."""
        chosen = settings[-1] if settings else self._settings
        harms = chosen.delay or chosen.abort or chosen.rate_limit
        return Layer(handle=_Faults(self, chosen, scope).handle) if harms else NOTHING


class Settings:
    """One configuration, ready for calls, with the runtime values that override it."""

    def __init__(self, config: HTTPFault, values: Mapping[str, Any]) -> None:
        self.delay = config.delay
        self.abort = config.abort
        self.rate_limit = config.response_rate_limit
        self.upstream_cluster = config.upstream_cluster
        self.nodes = frozenset(node.encode() for node in config.downstream_nodes)
        self.conditions = [compile_header_matcher(matcher) for matcher in config.headers]
        self._values = values
        self._keys = {field: getattr(config, field) or key for field, key in _KEYS.items()}
        self.max_active = self.number("max_active_faults_runtime", config.max_active_faults)

    def number(self, field: str, default: int | None, call: Call | None = None) -> int | None:
        """Return a number, or the one that the runtime has under the key of `field`, or under the caller's own."""
        value = runtime_value.integer(self._values.get(self._keys[field]), None)
        value = default if value is None else value
        own = None if call is None else _own_key(call, field)
        number = None if own is None else runtime_value.integer(self._values.get(own), None)
        return value if number is None else number

    def share(self, field: str, default: FractionalPercent, call: Call) -> tuple[int, int]:
        """Return a share; the runtime's comes first, and a caller's own key takes the place of the common one."""
        key = _own_key(call, field) or self._keys[field]
        return percent(default, self._values.get(key))

    def concern(self, call: Call) -> bool:
        """Tell whether a call is one of those that are to suffer."""
        if self.upstream_cluster and (call.choice is None or call.choice.cluster != self.upstream_cluster):
            return False
        if self.nodes and call.header(b"x-envoy-downstream-service-node") not in self.nodes:
            return False
        return all(condition(call) for condition in self.conditions)


class _Faults:
    """The filter on the calls of one route."""

    def __init__(self, fault: Fault, settings: Settings, scope: Scope) -> None:
        self._fault = fault
        self._settings = settings
        self._scope = scope
        self._random = fault.context.random
        self._runtime = fault.context.runtime

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        if not self._settings.concern(call):
            return await next(call)
        charge = _Charge(self._fault, self._settings.max_active, call)
        rate = self._rate(call)
        slow = rate > 0 and charge.take()
        seconds = self._delay(call)
        if seconds and charge.take():
            call.flag("DI")
            await pause(self._runtime, call, seconds, self._scope)
        status = self._abort(call)
        if status is not None and charge.take():
            raise _aborted(status)
        response = await next(call)
        if slow:
            self._runtime.pace_body(response, _Throttle(call, rate, self._runtime.now))
        return response

    def _rate(self, call: Call) -> int:
        """Return the bytes a second that the response's body may have, 0 for no limit."""
        limit, field = self._settings.rate_limit, "response_rate_limit_percent_runtime"
        if limit is None or not self._strikes(field, limit, limit.header_limit, b"throughput-response", call):
            return 0
        if limit.fixed_limit is not None:
            return limit.fixed_limit.limit_kbps * 1024
        return (header_integer(call, b"x-envoy-fault-throughput-response") or 0) * 1024

    def _delay(self, call: Call) -> float:
        delay = self._settings.delay
        if delay is None or not self._strikes(
            "delay_percent_runtime", delay, delay.header_delay, b"delay-request", call
        ):
            return 0.0
        milliseconds: int | None
        if delay.fixed_delay is not None:
            milliseconds = int(delay.fixed_delay * 1000 + 1e-6)
        else:
            milliseconds = header_integer(call, b"x-envoy-fault-delay-request")
        if milliseconds is None:
            return 0.0
        return (self._settings.number("delay_duration_runtime", milliseconds, call) or 0) / 1000

    def _abort(self, call: Call) -> tuple[int, int | None] | None:
        """Return the status to answer with, HTTP's and gRPC's."""
        abort = self._settings.abort
        if abort is None or not self._strikes(
            "abort_percent_runtime", abort, abort.header_abort, b"abort-request", call
        ):
            return None
        http, grpc = abort.http_status, abort.grpc_status
        if abort.header_abort is not None:
            http = header_integer(call, b"x-envoy-fault-abort-request")
            http = http if http is not None and 200 <= http < 600 else None
            grpc = header_integer(call, b"x-envoy-fault-abort-grpc-request")
        if http is not None:
            return self._settings.number("abort_http_status_runtime", http, call) or http, None
        if grpc is not None:
            return 200, self._settings.number("abort_grpc_status_runtime", grpc, call)
        return None

    def _strikes(
        self, field: str, kind: FaultDelay | FaultAbort | FaultRateLimit, by_header: object, name: bytes, call: Call
    ) -> bool:
        """Draw whether a call suffers; a header can only lower the share, and only where headers decide at all."""
        share = kind.percentage or FractionalPercent()
        if by_header is not None:
            asked = header_integer(call, b"x-envoy-fault-%b-percentage" % name)
            if asked is not None:
                share = FractionalPercent(numerator=min(asked, share.numerator), denominator=share.denominator)
        return drawn(self._settings.share(field, share, call), self._random)


class _Throttle:
    """Lets a body through at a rate, in portions of a twentieth of a second."""

    interval = 0.05

    def __init__(self, call: Call, rate: int, now: Callable[[], float]) -> None:
        self._call = call
        self._now = now
        self._bucket = TokenBucket(rate, float(rate), now(), tokens=rate * self.interval)

    def allow(self, size: int) -> int:
        return self._bucket.take_up_to(self._now(), size)

    def wait(self) -> None:
        self._call.hold_back(self.interval)


class _Charge:
    """One of `max_active_faults`, taken at most once a call and held to its end."""

    def __init__(self, fault: Fault, limit: int | None, call: Call) -> None:
        self._fault = fault
        self._limit = limit
        self._call = call
        self._taken = False

    def take(self) -> bool:
        """Take it, if there is one left or the call has it already."""
        if self._taken:
            return True
        fault = self._fault
        with fault.lock:
            if self._limit is not None and fault.active >= self._limit:
                return False
            fault.active += 1
        self._taken = True
        self._call.defer(self._give_back)
        return True

    def _give_back(self) -> None:
        with self._fault.lock:
            self._fault.active -= 1


def _own_key(call: Call, field: str) -> str | None:
    """Return the runtime key that concerns callers of one name alone, `fault.http.<name>....`."""
    key = _KEYS[field]
    name = call.header(b"x-envoy-downstream-service-cluster")
    if not name or not key.startswith(("fault.http.delay.", "fault.http.abort.")):
        return None
    return f"fault.http.{name.decode('latin-1')}.{key.removeprefix('fault.http.')}"


def _aborted(status: tuple[int, int | None]) -> FaultInjectedError:
    http, grpc = status
    reply = LocalReply(http, "fault filter abort", "FI", "fault_filter_abort", grpc_status=grpc)
    told = f"HTTP {http}" if grpc is None else f"gRPC {grpc}"
    return FaultInjectedError(f"fault filter abort: {told}", reply=reply)
