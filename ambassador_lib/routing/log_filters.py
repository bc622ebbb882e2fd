"""Conditions on a call that has its answer: which are logged, which local replies are mapped (semantics 12.3).

Source: `envoy.config.accesslog.v3.AccessLogFilter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..algorithms import runtime_value
from ..algorithms.grpc_status import CODES
from ..call import Call, Header
from ..policy.model.core import FractionalPercent
from .draws import percent
from .match import compile_header_matcher
from .operators.response import grpc_status_of, response_code

if TYPE_CHECKING:
    from ..policy.model.access_log import AccessLogFilter, ComparisonFilter, RuntimeFilter
    from ..runtime.base import Clock, Random

LogCondition = Callable[[Call, int, Sequence[Header]], bool]
"""Of the call, and the status and headers that it is answered with."""

_NONE = FractionalPercent()
ENTRY = "DownstreamEnd"
"""The one kind of entry that is written."""

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "EQ": lambda value, limit: value == limit,
    "GE": lambda value, limit: value >= limit,
    "LE": lambda value, limit: value <= limit,
    "NE": lambda value, limit: value != limit,
}


class LogFilters:
    """Compiles filters; `runtime` are the policy's runtime values."""

    def __init__(self, runtime: Mapping[str, Any], random: Random, clock: Clock) -> None:
        self._runtime = runtime
        self._random = random
        self._clock = clock

    def compile(self, model: AccessLogFilter) -> LogCondition:
        """Compile one filter to a function."""
        if model.status_code_filter is not None:
            return self._comparison(model.status_code_filter.comparison, response_code)
        if model.duration_filter is not None:
            return self._comparison(model.duration_filter.comparison, self._milliseconds)
        if model.and_filter is not None:
            every = [self.compile(one) for one in model.and_filter.filters]
            return lambda call, status, headers: all(holds(call, status, headers) for holds in every)
        if model.or_filter is not None:
            some = [self.compile(one) for one in model.or_filter.filters]
            return lambda call, status, headers: any(holds(call, status, headers) for holds in some)
        if model.header_filter is not None:
            matches = compile_header_matcher(model.header_filter.header)
            return lambda call, _status, _headers: matches(call)
        if model.runtime_filter is not None:
            return self._share(model.runtime_filter)
        return _fixed(model)

    def _comparison(
        self, model: ComparisonFilter, measure: Callable[[Call, int, Sequence[Header]], int]
    ) -> LogCondition:
        override = runtime_value.integer(self._runtime.get(model.value.runtime_key), None)
        limit = model.value.default_value if override is None else override
        compare = _COMPARISONS[model.op]
        return lambda call, status, headers: compare(measure(call, status, headers), limit)

    def _milliseconds(self, call: Call, _status: int, _headers: Sequence[Header]) -> int:
        took = call.report.duration
        return int((self._clock.monotonic() - call.started if took is None else took) * 1000 + 1e-6)

    def _share(self, model: RuntimeFilter) -> LogCondition:
        """By the request's id, so that every hop logs the same calls; without an id by chance."""
        numerator, denominator = percent(model.percent_sampled or _NONE, self._runtime.get(model.runtime_key))
        independent = model.use_independent_randomness

        def holds(call: Call, _status: int, _headers: Sequence[Header]) -> bool:
            number = None if independent else _hexadecimal((call.header(b"x-request-id") or b"")[:8])
            return (self._random.getrandbits(64) if number is None else number) % denominator < numerator

        return holds


def _hexadecimal(text: bytes) -> int | None:
    return int(text, 16) if len(text) == 8 and all(byte in b"0123456789abcdefABCDEF" for byte in text) else None


def _fixed(model: AccessLogFilter) -> LogCondition:
    if model.response_flag_filter is not None:
        flags = frozenset(model.response_flag_filter.flags)
        if not flags:
            return lambda call, _status, _headers: bool(call.report.flags)
        return lambda call, _status, _headers: not flags.isdisjoint(call.report.flags)
    if model.grpc_status_filter is not None:
        statuses = frozenset(CODES[name] for name in model.grpc_status_filter.statuses)
        exclude = model.grpc_status_filter.exclude
        return lambda call, status, headers: (grpc_status_of(call, status, headers) in statuses) != exclude
    if model.traceable_filter is not None:
        return lambda call, _status, _headers: call.traced
    if model.log_type_filter is not None:
        types = model.log_type_filter.types
        logged = (not types or ENTRY in types) != (model.log_type_filter.exclude and bool(types))
        return lambda _call, _status, _headers: logged
    return lambda _call, _status, _headers: True  # not_health_check_filter: no health check comes this way
