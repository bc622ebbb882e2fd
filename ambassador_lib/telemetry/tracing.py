"""Spans: one for the logical request, below it one for every try, whose identity travels in that try's headers.

Only OpenTelemetry's API is used; this module is imported when the first stack is built, since the API takes 6 ms to
load. While no SDK is set up a call costs one attribute test and its headers are not touched. Contexts are passed by
hand and never attached, so nothing can leak into the caller's context at a suspension.
"""

from __future__ import annotations

import warnings
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from opentelemetry import propagate, trace
from opentelemetry.context import get_current
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .attributes import (
    call_attributes,
    error_description,
    error_type,
    method_name,
    peer_attributes,
    story_attributes,
    try_attributes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from ..call import Attempt, Call, Header
    from ..runtime.base import Clock, Random

SCOPE: Final = "ambassador_lib"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.30.0"

_FIRST_ERROR_STATUS = 400
"""HTTP semantic conventions: for a client, 4xx are errors too."""

_W3C = frozenset({b"traceparent", b"tracestate"})
_B3 = frozenset({b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"})


class CallSpan:
    """The span of the logical request, and what the spans of its tries are made from.

    `tracer` is `None` where the policy decided against tracing this request: identities travel on, marked as not
    sampled, and nothing is recorded (semantics 11.2).
    """

    __slots__ = ("context", "span", "tracer", "wire")

    def __init__(self, span: Span, context: Context, tracer: Tracer | None, wire: TextMapPropagator | None) -> None:
        self.span = span
        self.context = context
        self.tracer = tracer
        self.wire = wire


class TrySpan:
    """The span of one try; `span` is `None` once it has ended."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span: Span | None = span


class Tracing:
    """Makes and ends the spans of one stack.

    `tracer_provider`: in place of the global one, which may be set at any time. `clock`: the source of timestamps.
    `random`: the source of the ids of spans that are not recorded.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._clock = clock
        self._random: Random = SystemRandom() if random is None else random
        self._provider = _lookup(tracer_provider)
        self._known: tuple[TracerProvider | None, Tracer | None] = (None, None)
        self._formats: dict[str, TextMapPropagator | None] = {}

    @property
    def enabled(self) -> bool:
        """Whether an SDK is set up; asked anew each time, since one may be set up later."""
        return self._provider() is not None and self._tracer() is not None

    def start_call(self, call: Call, *, provider: str | None = None, sampled: bool = True) -> None:
        """Start the span of the logical request, below the caller's current span, and keep it in `call.span`.

        `provider` is the listener's `tracing.provider`, which decides the format of the headers besides the
        configured propagator; `sampled` is False where the listener's `tracing` decided against this request.
        """
        tracer = self._tracer()
        if tracer is None:
            return
        wire = self._format(provider)
        parent = _parent(call.headers, wire)
        if sampled:
            # INTERNAL: the conventions forbid a CLIENT span around the CLIENT spans of the single tries.
            span = tracer.start_span(
                method_name(call.method),
                parent,
                SpanKind.INTERNAL,
                call_attributes(call),
                start_time=self._now(),
            )
        else:
            span = self._unrecorded(parent)
        call.span = CallSpan(span, trace.set_span_in_context(span, parent), tracer if sampled else None, wire)

    def follow(self, call: Call, copy: Call, *, sampled: bool | None) -> None:
        """Let the tries of a mirrored copy have spans below the call's; `sampled` False: identities only."""
        held: CallSpan | None = call.span
        if held is not None:
            copy.span = CallSpan(held.span, held.context, None if sampled is False else held.tracer, held.wire)

    def end_call(self, call: Call, response_status: int | None, error: BaseException | None) -> None:
        """End the logical request's span, once; call it when the body has ended, whichever way."""
        held: CallSpan | None = call.span
        if held is None:
            return
        call.span = None
        if held.span.is_recording():
            operation = _operation(call)
            if operation:
                held.span.update_name(operation)
            held.span.set_attributes(story_attributes(call))
        self._end(held.span, response_status, error)

    def start_try(self, call: Call, attempt: Attempt, headers: list[Header]) -> TrySpan | None:
        """Start the span of one try and put its identity into `headers`, in place of what stood there."""
        held: CallSpan | None = call.span
        if held is None:
            return None
        if held.tracer is None:
            span = self._unrecorded(held.context)
        else:
            span = held.tracer.start_span(
                method_name(call.method),
                held.context,
                SpanKind.CLIENT,
                try_attributes(call, attempt),
                start_time=self._now(),
            )
        _inject(headers, trace.set_span_in_context(span, held.context), held.wire)
        return TrySpan(span)

    def end_try(
        self, span: TrySpan | None, status: int | None, error: BaseException | None, peer: str | None = None
    ) -> None:
        """End a try's span, once. `peer` is the `address:port` at the other end of its connection."""
        if span is None or span.span is None:
            return
        ended, span.span = span.span, None
        if peer and ended.is_recording():
            ended.set_attributes(peer_attributes(peer))
        self._end(ended, status, error)

    def _end(self, span: Span, status: int | None, error: BaseException | None) -> None:
        """Say how it went, by the HTTP semantic conventions for clients, and end the span."""
        if span.is_recording():
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if error is not None:
                span.set_attribute("error.type", error_type(error))
                span.set_status(Status(StatusCode.ERROR, error_description(error)))
            elif status is not None and status >= _FIRST_ERROR_STATUS:
                span.set_attribute("error.type", str(status))
                span.set_status(Status(StatusCode.ERROR))
        span.end(self._now())

    def _tracer(self) -> Tracer | None:
        provider = self._provider()
        if provider is None:
            return None
        known, tracer = self._known
        if provider is not known:
            tracer = _tracer_of(provider)
            self._known = (provider, tracer)
        return tracer

    def _format(self, provider: str | None) -> TextMapPropagator | None:
        if provider is None:
            return None
        if provider not in self._formats:
            self._formats[provider] = _propagator_of(provider)
        return self._formats[provider]

    def _unrecorded(self, parent: Context) -> Span:
        """Make a span that is only an identity: of the parent's trace or a new one, and not sampled."""
        above = trace.get_current_span(parent).get_span_context()
        identity = trace.SpanContext(
            trace_id=above.trace_id if above.is_valid else self._random.getrandbits(128) | 1,
            span_id=self._random.getrandbits(64) | 1,
            is_remote=False,
            trace_flags=trace.TraceFlags(trace.TraceFlags.DEFAULT),
            trace_state=above.trace_state,
        )
        return trace.NonRecordingSpan(identity)

    def _now(self) -> int | None:
        return None if self._clock is None else int(self._clock.time() * 1e9)


def _lookup(given: TracerProvider | None) -> Callable[[], TracerProvider | None]:
    """Return the cheapest way to the provider that holds now, `None` while none is set up."""
    if given is not None:
        return lambda: given
    trace.get_tracer_provider()  # loads the one that the environment names, if any
    if not hasattr(trace, "_TRACER_PROVIDER"):
        return trace.get_tracer_provider
    # The public function asks the environment each time while no SDK is set up: 0.57 µs against 0.03.
    return lambda: trace._TRACER_PROVIDER  # noqa: SLF001


def _tracer_of(provider: TracerProvider) -> Tracer | None:
    if isinstance(provider, (trace.NoOpTracerProvider, trace.ProxyTracerProvider)):
        return None
    return provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)


def _operation(call: Call) -> str:
    """Return what Envoy names the span by: the route's `decorator.operation`, if it has one."""
    model = getattr(call.route, "model", None)
    return model.decorator.operation if model is not None and model.decorator is not None else ""


def _parent(headers: list[Header], wire: TextMapPropagator | None) -> Context:
    """Return the context above the call: the caller's current span, else what the request's headers say."""
    current = get_current()
    if trace.get_current_span(current).get_span_context().is_valid:
        return current
    carrier: dict[str, list[str]] = {}
    for name, value in headers:
        carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    above = propagate.extract(carrier, current)
    if wire is not None and not trace.get_current_span(above).get_span_context().is_valid:
        above = wire.extract(carrier, above)
    return above


def _inject(headers: list[Header], context: Context, wire: TextMapPropagator | None) -> None:
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


def _propagator_of(provider: str) -> TextMapPropagator | None:
    """Return the format that Envoy's tracer writes: B3 for zipkin, else W3C."""
    if provider != "zipkin":
        return TraceContextTextMapPropagator()
    try:
        from opentelemetry.propagators.b3 import B3MultiFormat
    except ImportError:
        warnings.warn(
            "the policy's tracing.provider is zipkin, which speaks B3: install opentelemetry-propagator-b3; "
            "until then trace headers are written by the configured propagator only",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return B3MultiFormat()
