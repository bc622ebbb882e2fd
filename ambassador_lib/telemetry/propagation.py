"""How a span's identity travels: read from the caller's context or the request's headers, written into a try's."""
# ruff: noqa: SLF001 - what is private is looked at before

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import propagation as trace_propagation
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .identity import tells_of_trace
from .known import is_known
from .spans import Around

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator

    from ..call import Header
    from .spans import Identity

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
_W3C: Final = frozenset({TRACEPARENT, TRACESTATE})
_B3: Final = frozenset({b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"})
NOTHING: Final = Around(trace.INVALID_SPAN_CONTEXT)
# Where an API has no such keys, its functions are asked.
_SPAN_KEY: Final[str] = getattr(trace_propagation, "_SPAN_KEY", "")
_BAGGAGE_KEY: Final[str | None] = getattr(baggage, "_BAGGAGE_KEY", None)
_DEFAULT: Final = {TraceContextTextMapPropagator, W3CBaggagePropagator}


class Propagation:
    """Reads and writes by the configured propagator, and in a policy's own format besides.

    Where it is OpenTelemetry's default, the W3C's formats are read and written without it, which costs a fifth.
    """

    def __init__(self) -> None:
        self.place: Any = propagate if hasattr(propagate, "_HTTP_TEXT_FORMAT") else _Asked()
        self.current = _current()
        self.default: TextMapPropagator | None = None
        """The configured propagator, once it was found to be OpenTelemetry's default."""

    def around(
        self,
        headers: list[Header],
        wire: TextMapPropagator | None,
        may_tell: bool,  # noqa: FBT001 - by place: a call pays for names
    ) -> tuple[Context, Identity, bool]:
        """Return the context around a call: the caller's current one, with the span that headers tell of if none is.

        With it come that span, and whether tries are told their identity in the W3C's format and nothing else. `wire`:
        the policy's own format. `may_tell`: whether the headers may tell of anything by default.
        """
        configured = self.place._HTTP_TEXT_FORMAT
        if configured is not self.default:
            self.default = configured if _is_default(configured) else None
        is_w3c = self.default is not None and (wire is None or type(wire) is TraceContextTextMapPropagator)
        current = self.current()
        if current:
            told = _span_in(current).get_span_context()
            if told.is_valid:
                return current, Around(told), is_w3c and not _has_baggage(current)
        if is_w3c and not (may_tell and tells_of_trace(headers)):
            return current, NOTHING, not (current and _has_baggage(current))
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        above = propagate.extract(carrier, current)
        if wire is not None and not _span_in(above).get_span_context().is_valid:
            above = wire.extract(carrier, above)
        return above, Around(_span_in(above).get_span_context()), is_w3c and not _has_baggage(above)


class _Asked:
    """The place of the configured propagator in an API that has another one."""

    @property
    def _HTTP_TEXT_FORMAT(self) -> TextMapPropagator:  # noqa: N802
        return propagate.get_global_textmap()


def _current() -> Callable[[], Context]:
    """Return the shortest way to the current context: without two functions on it, where that is known to be it."""
    runtime = getattr(context, "_RUNTIME_CONTEXT", None)
    if type(runtime) is ContextVarsRuntimeContext and is_known(
        ContextVarsRuntimeContext, "get_current", "_current_context get"
    ):
        return runtime._current_context.get
    return context.get_current


def _span_in(context: Context) -> trace.Span:
    """Return a context's current span; the public function has two more below it."""
    span = context.get(_SPAN_KEY)
    return span if isinstance(span, trace.Span) else trace.get_current_span(context)


def _has_baggage(context: Context) -> bool:
    return (_BAGGAGE_KEY is None or _BAGGAGE_KEY in context) and bool(baggage.get_all(context))


def write_w3c(
    headers: list[Header],
    told: Identity,
    span_id: int,
    always_state: bool,  # noqa: FBT001 - by place: a call pays for names
) -> None:
    """Write the identity of the span `told`, or of another one, `span_id`, in its place.

    `always_state`: an empty `tracestate`, too, as Envoy's tracer.
    """
    for name, _ in headers:
        if name in (TRACEPARENT, TRACESTATE):
            headers[:] = [header for header in headers if header[0] not in _W3C]
            break
    headers.append((TRACEPARENT, b"00-%032x-%016x-%02x" % (told.trace_id, span_id, told.flags)))
    state = told.state
    if always_state or (state is not trace.DEFAULT_TRACE_STATE and state):
        headers.append((TRACESTATE, state.to_header().encode("latin-1")))


def _is_default(configured: TextMapPropagator) -> bool:
    """Whether this is the W3C's two formats, and nothing else."""
    parts = getattr(configured, "_propagators", ()) if type(configured) is CompositePropagator else ()
    return {type(part) for part in parts} == _DEFAULT


def inject(headers: list[Header], placed: Context, wire: TextMapPropagator | None) -> None:
    """Write the identity by the configured propagator, and in the policy's format if that is another."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, placed)
    if wire is not None and wire.fields.isdisjoint(carrier):
        wire.inject(carrier, placed)
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
