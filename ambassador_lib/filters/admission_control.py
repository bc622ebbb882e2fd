"""The admission_control filter: refuses a share of the requests that grows with the share that fails.

Source: `envoy.extensions.filters.http.admission_control.v3.AdmissionControl`; semantics 9.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Any

from ..algorithms import runtime_value
from ..algorithms.admission import ACCURACY, SuccessWindow, rejection_probability
from ..algorithms.grpc_status import is_grpc
from ..algorithms.natural import natural
from ..call import Answer, Call, Header, Next
from ..errors import LocalReply, LocalReplyError
from ..policy.model import filters as model
from ..routing.draws import runtime_flag, runtime_number
from ..runtime.afresh import after_fork
from .base import NOTHING, FilterContext, Layer, Reply, Scope

DENIED = "denied_by_admission_control"
GRPC_SUCCESSES = frozenset((0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 16))
"""What counts as a success where the policy does not say."""


class AdmissionControl:
    """The filter of one listener; all its routes share one window."""

    def __init__(self, config: model.AdmissionControl, context: FilterContext) -> None:
        values = context.values
        self._now = context.runtime.now
        self._random = context.random
        self._enabled = runtime_flag(config.enabled, values)
        window = 30.0 if config.sampling_window is None else config.sampling_window
        self._length = float(int(window))  # whole seconds, as Envoy has it
        self._aggression = max(1.0, runtime_number(config.aggression, values, 1.0))
        self._threshold = min(1.0, max(0.01, _percent(config.sr_threshold, values, 95.0)))
        self._most = min(1.0, _percent(config.max_rejection_probability, values, 80.0))
        rate = config.rps_threshold
        own = runtime_value.integer(values.get(rate.runtime_key), None) if rate is not None else None
        self._least_rate = own if own is not None else rate.default_value if rate is not None else 0
        http = config.success_criteria.http_criteria
        self._http = [(100, 500)] if http is None else [(one.start, one.end) for one in http.http_success_status]
        grpc = config.success_criteria.grpc_criteria
        self._grpc = GRPC_SUCCESSES if grpc is None else frozenset(grpc.grpc_success_status)
        self.start_afresh()
        after_fork(self)

    def start_afresh(self) -> None:
        """Begin to count; in a forked child, anew."""
        self._lock = RLock()  # a call that is collected ends in whatever thread, while it is held
        self._window = SuccessWindow(self._length)

    def prepare(self, config: Any) -> None:
        """No level of a route table sets anything for this filter."""

    def layer(self, scope: Scope, settings: Sequence[None]) -> Layer:  # noqa: ARG002 - every route alike
        """The same for every route."""
        return Layer(handle=self.handle, respond=self.respond) if self._enabled else NOTHING

    def handle(self, call: Call, next: Next) -> Answer:
        """Refuse, or let pass."""
        if self._is_refused():
            raise LocalReplyError("denied by admission control", reply=LocalReply(503, "", "", DENIED))
        return next(call)

    def _is_refused(self) -> bool:
        now = self._now()
        with self._lock:
            window = self._window
            if window.rate(now) < self._least_rate:
                return False
            window.advance(now)
            total, successes = window.total, window.successes
        share = rejection_probability(
            total, successes, threshold=self._threshold, aggression=self._aggression, most=self._most
        )
        return share > 0 and ACCURACY * share > self._random.getrandbits(64) % ACCURACY

    def respond(self, call: Call, reply: Reply) -> None:
        """Count what came of it; what was refused here is no sample."""
        if call.report.details == DENIED:
            return
        if not is_grpc(_first(reply.headers, b"content-type")):
            self._record(success=any(start <= reply.status < end for start, end in self._http))
        elif (status := _first(reply.headers, b"grpc-status")) is not None:
            self._record(success=self._is_grpc_success(status))
        elif reply.response is not None and (trailers := reply.response.extensions.get("trailers")) is not None:
            call.defer(lambda: self._ended(trailers))

    def _ended(self, trailers: list[Header]) -> None:
        """Count a gRPC call whose body has ended; one that was broken off has no trailers, and is no sample."""
        if trailers:
            status = _first(trailers, b"grpc-status")
            self._record(success=status is not None and self._is_grpc_success(status))

    def _record(self, *, success: bool) -> None:
        now = self._now()
        with self._lock:
            self._window.record(now, success=success)

    def _is_grpc_success(self, status: bytes) -> bool:
        return natural(status.decode("latin-1")) in self._grpc


def _percent(value: Any, values: Any, default: float) -> float:
    """A percentage as a share."""
    if value is None:
        return default / 100
    given = default if value.default_value is None else value.default_value.value
    own = values.get(value.runtime_key)
    return (float(own) if isinstance(own, int | float) and not isinstance(own, bool) else given) / 100


def _first(headers: Sequence[Header], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key.lower() == name), None)
