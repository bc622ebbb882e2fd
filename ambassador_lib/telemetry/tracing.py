"""Spans: one for the logical request, below it one for every try, whose identity travels in that try's headers.

Only OpenTelemetry's API is used; this module is imported when the first stack is built, since the API takes 6 ms to
load. While no SDK is set up a call costs one attribute test and its headers are not touched. Contexts are passed by
hand and never attached, so nothing can leak into the caller's context at a suspension.
"""

from __future__ import annotations

import warnings
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..runtime.clock import SystemClock
from .attributes import (
    FIRST_ERROR_STATUS,
    call_attributes,
    error_description,
    error_type,
    method_name,
    peer_attributes,
    story_attributes,
    try_attributes,
)
from .propagation import Propagation, write_w3c
from .spans import Identity, PublicSpans

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from ..call import Attempt, Call, Header
    from ..runtime.base import Clock, Random
    from .attributes import Attributes
    from .spans import Spans

SCOPE: Final = "ambassador_lib"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.30.0"


class CallSpan:
    """The span of the logical request, and what the spans of its tries are made from.

    `above` is the context around it. `spans` is `None` where the policy decided against tracing this request:
    identities travel on, marked as not sampled, and nothing is recorded (semantics 11.2). `below`: as the span's.
    """

    __slots__ = ("above", "below", "span", "spans", "wire")

    def __init__(self, span: Identity, above: Context, spans: Spans | None, wire: TextMapPropagator | None) -> None:
        self.span = span
        self.above = above
        self.spans = spans
        self.wire = wire
        self.below = span.below


class TrySpan:
    """The span of one try; `span` is `None` once it has ended."""

    __slots__ = ("span",)

    def __init__(self, span: Identity) -> None:
        self.span: Identity | None = span


class Tracing:
    """Makes and ends the spans of one stack.

    `tracer_provider`: in place of the global one, which may be set at any time. `clock`: the source of timestamps.
    `random`: the source of the ids of spans that the policy decided against.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._time = (SystemClock() if clock is None else clock).time
        self._random: Random = SystemRandom() if random is None else random
        self._provider = _lookup(tracer_provider)
        self._known: tuple[TracerProvider | None, Spans | None] = (None, None)
        self._propagation = Propagation()
        self._formats: dict[str, TextMapPropagator | None] = {}

    @property
    def enabled(self) -> bool:
        """Whether an SDK is set up; asked anew each time, since one may be set up later."""
        return self._provider() is not None and self._spans() is not None

    def start_call(self, call: Call, *, provider: str | None = None, sampled: bool = True) -> None:
        """Start the span of the logical request, below the caller's current span, and keep it in `call.span`.

        `provider` is the listener's `tracing.provider`, which decides the format of the headers besides the
        configured propagator; `sampled` is False where the listener's `tracing` decided against this request.
        """
        spans = self._spans()
        if spans is None:
            return
        wire = None if provider is None else self._format(provider)
        above = self._propagation.above(call.headers, wire)
        if sampled:
            # INTERNAL: the conventions forbid a CLIENT span around the CLIENT spans of the single tries.
            name, url = method_name(call.method), call.request.url
            span = spans.start(name, SpanKind.INTERNAL, above, None, call_attributes, call.method, url)
        else:
            span = self._unrecorded(trace.get_current_span(above).get_span_context())
        call.span = CallSpan(span, above, spans if sampled else None, wire)

    def follow(self, call: Call, copy: Call, *, sampled: bool | None) -> None:
        """Let the tries of a mirrored copy have spans below the call's; `sampled` False: identities only."""
        held: CallSpan | None = call.span
        if held is not None:
            copy.span = followed = CallSpan(held.span, held.above, held.spans, held.wire)
            if sampled is False and held.spans is not None:
                followed.spans = followed.below = None

    def end_call(self, call: Call, response_status: int | None, error: BaseException | None) -> None:
        """End the logical request's span, once; call it when the body has ended, whichever way."""
        held: CallSpan | None = call.span
        if held is None:
            return
        call.span = None
        if held.span.recording:
            self._end(held.span, _operation(call), story_attributes(call), response_status, error)

    def start_try(self, call: Call, attempt: Attempt, headers: list[Header]) -> TrySpan | None:
        """Start the span of one try and put its identity into `headers`, in place of what stood there.

        `None` where there is nothing to end: the call has no span, or none below it is recorded.
        """
        held: CallSpan | None = call.span
        if held is None:
            return None
        next_id = held.below
        if next_id is not None and self._propagation.is_plain(held.above, held.wire):
            write_w3c(headers, held.span.told, next_id(), always_state=held.wire is not None)
            return None
        if held.spans is None:
            span = self._unrecorded(held.span.told)
        else:
            # What it is made from may have changed at its end: the next try's host, a redirect's cluster.
            span = held.spans.start(
                method_name(call.method), SpanKind.CLIENT, held.above, held.span, try_attributes,
                call.method, call.scheme, call.authority, call.target, attempt.number, call.report.cluster,
            )  # fmt: skip
        self._propagation.write(headers, span, held.above, held.wire)
        return TrySpan(span)

    def end_try(
        self, span: TrySpan | None, status: int | None, error: BaseException | None, peer: str | None = None
    ) -> None:
        """End a try's span, once. `peer` is the `address:port` at the other end of its connection."""
        if span is None or span.span is None:
            return
        ended, span.span = span.span, None
        if ended.recording:
            self._end(ended, "", peer_attributes(peer) if peer else {}, status, error)

    def _end(
        self, span: Identity, name: str, attributes: Attributes, status: int | None, error: BaseException | None
    ) -> None:
        """Say how it went, by the HTTP semantic conventions for clients, and end the span."""
        verdict = None
        if status is not None:
            attributes["http.response.status_code"] = status
        if error is not None:
            attributes["error.type"] = error_type(type(error))
            verdict = Status(StatusCode.ERROR, error_description(error))
        elif status is not None and status >= FIRST_ERROR_STATUS:
            attributes["error.type"] = str(status)
            verdict = Status(StatusCode.ERROR)
        span.end(name, attributes, verdict, self._now())

    def _spans(self) -> Spans | None:
        provider = self._provider()
        if provider is None:
            return None
        known, spans = self._known
        if provider is not known:
            spans = _spans_of(provider, self._now)
            self._known = (provider, spans)
        return spans

    def _format(self, provider: str) -> TextMapPropagator | None:
        if provider not in self._formats:
            self._formats[provider] = _propagator_of(provider)
        return self._formats[provider]

    def _unrecorded(self, above: SpanContext) -> Identity:
        """Make a span that is only an identity: of the trace of the one above or a new one, and not sampled."""
        trace_id = above.trace_id if above.is_valid else self._random.getrandbits(128) | 1
        return Identity(
            SpanContext(trace_id, self._own_id(), is_remote=False, trace_state=above.trace_state), self._own_id
        )

    def _own_id(self) -> int:
        return self._random.getrandbits(64) | 1

    def _now(self) -> int:
        return int(self._time() * 1e9)


def _lookup(given: TracerProvider | None) -> Callable[[], TracerProvider | None]:
    """Return the cheapest way to the provider that holds now, `None` while none is set up."""
    if given is not None:
        return lambda: given
    trace.get_tracer_provider()  # loads the one that the environment names, if any
    if not hasattr(trace, "_TRACER_PROVIDER"):
        return trace.get_tracer_provider
    # The public function asks the environment each time while no SDK is set up: 0.57 µs against 0.03.
    return lambda: trace._TRACER_PROVIDER  # noqa: SLF001


def _spans_of(provider: TracerProvider, now: Callable[[], int]) -> Spans | None:
    if isinstance(provider, (trace.NoOpTracerProvider, trace.ProxyTracerProvider)):
        return None
    tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)
    if type(provider).__module__ == "opentelemetry.sdk.trace":  # whose import others need not pay for
        from .sdk_spans import sdk_spans

        return sdk_spans(provider, tracer, now) or PublicSpans(tracer, now)
    return PublicSpans(tracer, now)


def _operation(call: Call) -> str:
    """Return what Envoy names the span by: the route's `decorator.operation`, if it has one."""
    model = getattr(call.route, "model", None)
    return model.decorator.operation if model is not None and model.decorator is not None else ""


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
