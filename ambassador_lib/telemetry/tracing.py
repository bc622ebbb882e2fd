"""Spans: one for the logical request, below it one for every try, whose identity travels in that try's headers.

Only OpenTelemetry's API is used; this module is imported when the first stack is built, since the API takes 6 ms to
load. While no SDK is set up a call costs one attribute test and its headers are not touched. Contexts are passed by
hand and never attached, so nothing can leak into the caller's context at a suspension.
"""

from __future__ import annotations

import warnings
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..runtime.clock import SystemClock
from .attributes import (
    FIRST_ERROR_STATUS,
    OTHER_NAME,
    SPAN_NAMES,
    call_attributes,
    error_description,
    error_type,
    peer_attributes,
    tell_story,
    try_attributes,
)
from .propagation import Propagation, inject, write_w3c
from .spans import Identity, PublicSpans, Recording, Unrecorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from ..call import Attempt, Call, Header
    from ..runtime.base import Clock, Random
    from .spans import Spans

SCOPE: Final = "ambassador_lib"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.30.0"

_AROUND_TRIES = SpanKind.INTERNAL
"""The conventions forbid a CLIENT span around the CLIENT spans of the single tries."""


class CallSpan:
    """The span of the logical request, and what the spans of its tries are made from.

    `above` is the context around it. `spans` is `None` where the policy decided against tracing this request:
    identities travel on, marked as not sampled, and nothing is recorded (semantics 11.2). `wire` is the policy's own
    format; `is_plain`: tries are told their identity in the W3C's alone.
    """

    __slots__ = ("above", "is_plain", "span", "spans", "wire")

    def __init__(
        self,
        span: Identity,
        above: Context,
        spans: Spans | None,
        wire: TextMapPropagator | None,
        is_plain: bool,  # noqa: FBT001 - by place: a call pays for names
    ) -> None:
        self.span = span
        self.above = above
        self.spans = spans
        self.wire = wire
        self.is_plain = is_plain


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
        known, spans = self._known
        if self._provider() is not known:
            spans = self._spans()
        if spans is None:
            return
        wire = None if provider is None else self._format(provider)
        above, around, is_plain = self._propagation.around(call.headers, wire)
        if sampled:
            name = SPAN_NAMES.get(call.method, OTHER_NAME)
            span = spans.start(name, _AROUND_TRIES, above, around, call_attributes, call.method, call.request.url)
        else:
            span = self._unrecorded(around.told)
        call.span = CallSpan(span, above, spans if sampled else None, wire, is_plain)

    def follow(self, call: Call, copy: Call, *, sampled: bool | None) -> None:
        """Let the tries of a mirrored copy have spans below the call's; `sampled` False: identities only."""
        held: CallSpan | None = call.span
        if held is not None:
            copy.span = followed = CallSpan(held.span, held.above, held.spans, held.wire, held.is_plain)
            if sampled is False and held.spans is not None:
                followed.spans, followed.span = None, Identity(held.span.told)

    def end_call(self, call: Call, response_status: int | None, error: BaseException | None) -> None:
        """End the logical request's span, once; call it when the body has ended, whichever way."""
        held: CallSpan | None = call.span
        if held is None:
            return
        call.span = None
        span = held.span
        if isinstance(span, Recording):
            tell_story(call, span.attributes)
            self._end(span, _operation(call), response_status, error)

    def start_try(self, call: Call, attempt: Attempt, headers: list[Header]) -> Recording | None:
        """Start the span of one try and put its identity into `headers`, in place of what stood there.

        `None` where there is nothing to end: the call has no span, or the try's is not recorded.
        """
        held: CallSpan | None = call.span
        if held is None:
            return None
        next_id = held.span.below
        if next_id is not None and held.is_plain:
            write_w3c(headers, held.span.told, next_id(), always_state=held.wire is not None)
            return None
        if held.spans is None:
            span: Identity = self._unrecorded(held.span.told)
        else:
            name = SPAN_NAMES.get(call.method, OTHER_NAME)
            span = held.spans.start(
                name, SpanKind.CLIENT, held.above, held.span, try_attributes,
                call.method, call.scheme, call.authority, call.target, attempt.number, call.report.cluster,
            )  # fmt: skip
        _, span_id, *_, is_valid = span.told
        if held.is_plain and is_valid:
            write_w3c(headers, span.told, span_id, always_state=held.wire is not None)
        else:
            inject(headers, span.placed(held.above), held.wire)
        return span if isinstance(span, Recording) else None

    def end_try(
        self, span: Recording | None, status: int | None, error: BaseException | None, peer: str | None = None
    ) -> None:
        """End a try's span, once. `peer` is the `address:port` at the other end of its connection."""
        if span is not None and span.is_open:
            if peer:
                span.attributes.update(peer_attributes(peer))
            self._end(span, "", status, error)

    def _end(self, span: Recording, name: str, status: int | None, error: BaseException | None) -> None:
        """Say how it went, by the HTTP semantic conventions for clients, and end the span."""
        span.is_open = False
        attributes = span.attributes
        verdict = None
        if status is not None:
            attributes["http.response.status_code"] = status
        if error is not None:
            attributes["error.type"] = error_type(type(error))
            verdict = Status(StatusCode.ERROR, error_description(error))
        elif status is not None and status >= FIRST_ERROR_STATUS:
            attributes["error.type"] = str(status)
            verdict = Status(StatusCode.ERROR)
        span.end(name, verdict, self._time())

    def _spans(self) -> Spans | None:
        provider = self._provider()
        if provider is None:
            return None
        known, spans = self._known
        if provider is not known:
            spans = _spans_of(provider, self._time)
            self._known = (provider, spans)
        return spans

    def _format(self, provider: str) -> TextMapPropagator | None:
        if provider not in self._formats:
            self._formats[provider] = _propagator_of(provider)
        return self._formats[provider]

    def _unrecorded(self, above: SpanContext) -> Identity:
        """Make a span that is only an identity: of the trace of the one above or a new one, and not sampled."""
        trace_id = above.trace_id if above.is_valid else self._random.getrandbits(128) | 1
        told = SpanContext(trace_id, self._own_id(), is_remote=False, trace_state=above.trace_state)
        return Unrecorded(told, self._own_id)

    def _own_id(self) -> int:
        return self._random.getrandbits(64) | 1


def _lookup(given: TracerProvider | None) -> Callable[[], TracerProvider | None]:
    """Return the cheapest way to the provider that holds now, `None` while none is set up."""
    if given is not None:
        return lambda: given
    trace.get_tracer_provider()  # loads the one that the environment names, if any
    if not hasattr(trace, "_TRACER_PROVIDER"):
        return trace.get_tracer_provider
    # The public function asks the environment each time while no SDK is set up: 0.57 µs against 0.03.
    return partial(getattr, trace, "_TRACER_PROVIDER")


def _spans_of(provider: TracerProvider, time: Callable[[], float]) -> Spans | None:
    if isinstance(provider, (trace.NoOpTracerProvider, trace.ProxyTracerProvider)):
        return None
    tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)
    if type(provider).__module__ == "opentelemetry.sdk.trace":  # whose import others need not pay for
        from .sdk_spans import sdk_spans

        return sdk_spans(provider, tracer, time) or PublicSpans(tracer, time)
    return PublicSpans(tracer, time)


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
