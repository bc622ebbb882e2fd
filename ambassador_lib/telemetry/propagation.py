"""How a span's identity travels: read from the caller's context or the request's headers, written into a try's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .spans import Around

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import SpanContext

    from ..call import Header
    from .spans import Identity

_W3C = frozenset({b"traceparent", b"tracestate"})
_B3 = frozenset({b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"})
_READ_BY_DEFAULT = frozenset({b"traceparent", b"baggage"})
"""Where none of them is, OpenTelemetry's default propagators find nothing."""
NOTHING = Around(trace.INVALID_SPAN_CONTEXT)
_DEFAULT = {TraceContextTextMapPropagator, W3CBaggagePropagator}


class Propagation:
    """Reads and writes by the configured propagator, and in a policy's own format besides.

    Where it is OpenTelemetry's default, the W3C's formats are read and written without it, which costs a fifth.
    """

    def __init__(self) -> None:
        self._seen: TextMapPropagator | None = None
        self._is_default = False

    def around(self, headers: list[Header], wire: TextMapPropagator | None) -> tuple[Context, Identity, bool]:
        """Return the context around a call: the caller's current one, with the span that headers tell of if none is.

        With it come that span, and whether tries are told their identity in the W3C's format and nothing else. `wire`:
        the policy's own format.
        """
        is_w3c = self._is_w3c(wire)
        current = get_current()
        if current:
            told = trace.get_current_span(current).get_span_context()
            if told.is_valid:
                return current, Around(told), is_w3c and not baggage.get_all(current)
        if is_w3c and _READ_BY_DEFAULT.isdisjoint(dict(headers)):
            return current, NOTHING, not (current and baggage.get_all(current))
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        above = propagate.extract(carrier, current)
        if wire is not None and not trace.get_current_span(above).get_span_context().is_valid:
            above = wire.extract(carrier, above)
        told = trace.get_current_span(above).get_span_context()
        return above, Around(told), is_w3c and not baggage.get_all(above)

    def _is_w3c(self, wire: TextMapPropagator | None) -> bool:
        configured = propagate.get_global_textmap()
        if configured is not self._seen:
            self._is_default = _is_default(configured)
            self._seen = configured
        return self._is_default and (wire is None or type(wire) is TraceContextTextMapPropagator)


def write_w3c(headers: list[Header], told: SpanContext, span_id: int, *, always_state: bool) -> None:
    """Write the identity `told` with this span's id; `always_state`: an empty `tracestate`, too, as Envoy's tracer."""
    trace_id, _, _, flags, state, _ = told  # its properties cost five times as much
    if not _W3C.isdisjoint(dict(headers)):
        headers[:] = [header for header in headers if header[0] not in _W3C]
    headers.append((b"traceparent", b"00-%032x-%016x-%02x" % (trace_id, span_id, flags)))
    if always_state or (state is not trace.DEFAULT_TRACE_STATE and state):
        headers.append((b"tracestate", state.to_header().encode("latin-1")))


def _is_default(configured: TextMapPropagator) -> bool:
    """Whether this is the W3C's two formats, and nothing else."""
    parts = getattr(configured, "_propagators", ()) if type(configured) is CompositePropagator else ()
    return {type(part) for part in parts} == _DEFAULT


def inject(headers: list[Header], context: Context, wire: TextMapPropagator | None) -> None:
    """Write the identity by the configured propagator, and in the policy's format if that is another."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    if wire is not None and wire.fields.isdisjoint(carrier):
        wire.inject(carrier, context)
    if isinstance(wire, TraceContextTextMapPropagator):
        carrier.setdefault("tracestate", "")  # as Envoy's tracer
    injected = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in carrier.items()]
    replaced = {name for name, _ in injected}
    # Headers of one format belong together: a `tracestate` of another trace must not stay beside a new `traceparent`.
    for family in (_W3C, _B3):
        if not family.isdisjoint(replaced):
            replaced |= family
    headers[:] = [header for header in headers if header[0] not in replaced]
    headers += injected
