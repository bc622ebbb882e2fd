"""The adaptive_concurrency filter: lets as many requests pass at once as the latency allows.

Source: `envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency`; semantics 9.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from ..algorithms import runtime_value
from ..algorithms.gradient import INFINITY, Gradient, GradientController
from ..call import Answer, Call, Next
from ..errors import LocalReply, LocalReplyError
from ..policy.model import filters as model
from ..policy.model.core import Percent
from ..routing.draws import runtime_flag
from ..runtime.afresh import after_fork
from .base import NOTHING, STATUS, FilterContext, Layer, Scope

_KEYS = "adaptive_concurrency.gradient_controller."
"""What the names of the runtime values begin with that take the settings' places."""


class AdaptiveConcurrency:
    """The filter of one listener; all its routes share one limit."""

    def __init__(self, config: model.AdaptiveConcurrency, context: FilterContext) -> None:
        self._now = context.runtime.now
        self._random = context.random.random
        self._enabled = runtime_flag(config.enabled, context.values)
        self._settings = _settings(config.gradient_controller_config, context.values)
        status = config.concurrency_limit_exceeded_status
        code = 503 if status is None else STATUS.get(status.code, 0)
        self._status = code if code >= 400 else 503
        self.start_afresh()
        after_fork(self)

    def start_afresh(self) -> None:
        """Begin to measure; in a forked child, anew."""
        self._lock = RLock()  # the garbage collector may end a call in here
        self.controller = GradientController(self._settings, self._now(), self._random)

    def prepare(self, config: Any) -> None:
        """No level of a route table sets anything for this filter."""

    def layer(self, scope: Scope, settings: Sequence[None]) -> Layer:  # noqa: ARG002 - every route alike
        """The same for every route."""
        return Layer(handle=self.handle) if self._enabled else NOTHING

    def handle(self, call: Call, next: Next) -> Answer:
        """Take a place until the response is complete."""
        now = self._now()
        controller = self.controller
        with self._lock:
            passes = controller.begin(now)
        if not passes:
            message = "reached concurrency limit"
            reply = LocalReply(self._status, message, "", "reached_concurrency_limit")
            raise LocalReplyError(message, reply=reply)
        call.defer(lambda: self._ended(controller, call, now))
        return next(call)

    def _ended(self, controller: GradientController, call: Call, started: float) -> None:
        now = self._now()
        with self._lock:
            if call.is_complete:
                controller.finished(started, now)
            else:
                controller.broken_off()


def _settings(config: model.GradientControllerConfig, values: Mapping[str, Any]) -> Gradient:
    limit, least = config.concurrency_limit_params, config.min_rtt_calc_params

    def number(key: str, given: int) -> int:
        return runtime_value.integer(values.get(_KEYS + key), given)

    def seconds(key: str, given: float) -> float:
        own = runtime_value.integer(values.get(_KEYS + key), None)
        return given if own is None else max(own, 1) / 1000

    def share(key: str, percent: Percent | None, default: float) -> float:
        own = runtime_value.number(values.get(_KEYS + key), default if percent is None else percent.value)
        return min(max(own, 0.0), 100.0) / 100

    measured = INFINITY if least.interval is None else least.interval
    return Gradient(
        update_interval=seconds("sample_rtt_calc_interval_ms", limit.concurrency_update_interval),
        most=number(
            "max_concurrency_limit", 1000 if limit.max_concurrency_limit is None else limit.max_concurrency_limit
        ),
        least=number("min_concurrency", 3 if least.min_concurrency is None else least.min_concurrency),
        percentile=share("sample_aggregate_percentile", config.sample_aggregate_percentile, 50),
        measure_interval=measured if measured == INFINITY else seconds("min_rtt_calc_interval_ms", measured),
        measured_requests=number(
            "min_rtt_aggregate_request_count", 50 if least.request_count is None else least.request_count
        ),
        jitter=share("jitter", least.jitter, 15),
        buffer=share("min_rtt_buffer", least.buffer, 25),
        fixed_latency=least.fixed_value,
    )
