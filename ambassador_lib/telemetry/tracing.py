"""Spans: one for the logical request, below it one for every try, whose identity travels in that try's headers.

Only OpenTelemetry's API is used; this module is imported when the first stack is built, since the API takes 6 ms to
load. While no SDK is set up a call costs one attribute test and its headers are not touched. Contexts are passed by
hand and never attached, so nothing can leak into the caller's context at a suspension.
"""
# ruff: noqa: SLF001 - the global provider's place is read where it is there

from __future__ import annotations

import warnings
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..runtime.clock import SystemClock
from .attributes import (
    FIRST_ERROR_STATUS,
    call_attributes,
    call_end,
    error_description,
    try_attributes,
    try_end,
)
from .propagation import NOTHING, Propagation, inject, write_w3c
from .spans import Identity, PublicSpans, Recording, Unrecorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from ..call import Attempt, Call, Header
    from ..runtime.base import Clock, Random
    from .spans import Spans

SCOPE: Final = "ambassador_lib"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.30.0"

_AROUND_TRIES = SpanKind.INTERNAL
"""The conventions forbid a CLIENT span around the CLIENT spans of the single tries."""
_SPAN_ID: Final = 1
_IS_VALID: Final = 5
"""Places in a span's context, whose properties cost five times as much."""
_BAD_STATUS = Status(StatusCode.ERROR)


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
        self._now = _nanoseconds(SystemClock() if clock is None else clock)
        self._random: Random = SystemRandom() if random is None else random
        self._place = _place_of(tracer_provider)
        self._known: tuple[TracerProvider | None, Spans | None] = (None, None)
        self._propagation = Propagation()
        self._formats: dict[str, TextMapPropagator | None] = {}

    @property
    def enabled(self) -> bool:
        """Whether an SDK is set up; asked anew each time, since one may be set up later."""
        return self._spans() is not None

    def start_call(
        self, call: Call, *, provider: str | None = None, sampled: bool = True, may_tell: bool = True
    ) -> None:
        """Start the span of the logical request, below the caller's current span, and keep it in `call.span`.

        `provider` is the listener's `tracing.provider`, which decides the format of the headers besides the
        configured propagator; `sampled` is False where the listener's `tracing` decided against this request.
        `may_tell` False: `tells_of_trace` was asked of its headers before.
        """
        known, spans = self._known
        if self._place._TRACER_PROVIDER is not known:
            spans = self._spans()
        if spans is None:
            return
        wire = None if provider is None else self._format(provider)
        propagation = self._propagation
        above = propagation.current()
        if above or may_tell or wire is not None or propagation.place._HTTP_TEXT_FORMAT is not propagation.default:
            above, around, is_plain = propagation.around(call.headers, wire, may_tell)
        else:
            around, is_plain = NOTHING, True
        if sampled:
            span = spans.start(_AROUND_TRIES, above, around, call_attributes, (call.method, call.request.url))
        else:
            span, spans = self._unrecorded(around.told), None
        span.above = above
        span.spans = spans
        span.wire = wire
        span.is_plain = is_plain
        call.span = span

    def follow(self, call: Call, copy: Call, *, sampled: bool | None) -> None:
        """Let the tries of a mirrored copy have spans below the call's; `sampled` False: identities only."""
        copy.span = held = call.span
        if held is not None and held.spans is not None and sampled is False:
            copy.span = Identity(held.told)
            copy.span.above, copy.span.spans = held.above, None
            copy.span.wire, copy.span.is_plain = held.wire, held.is_plain

    def end_call(self, call: Call, response_status: int | None, error: BaseException | None) -> None:
        """End the logical request's span, once; call it when the body has ended, whichever way."""
        span: Identity | None = call.span
        if span is None:
            return
        call.span = None
        if isinstance(span, Recording) and span.is_open:
            span.is_open = False
            attributes = call_end(call, span.facts, response_status, error)
            verdict = None
            if error is not None or (response_status is not None and response_status >= FIRST_ERROR_STATUS):
                verdict = _failed(error)
            span.end(_operation(call), attributes, verdict, self._now())

    def start_try(self, call: Call, attempt: Attempt, headers: list[Header]) -> Recording | None:
        """Start the span of one try and put its identity into `headers`, in place of what stood there.

        `None` where there is nothing to end: the call has no span, or the try's is not recorded.
        """
        held: Identity | None = call.span
        if held is None:
            return None
        next_id = held.below
        if next_id is not None and held.is_plain:
            write_w3c(headers, held.told, next_id(), held.wire is not None)
            return None
        if held.spans is None:
            span: Identity = self._unrecorded(held.told)
        else:
            facts = (call.method, call.scheme, call.authority, call.target, attempt.number, call.report.cluster)
            span = held.spans.start(SpanKind.CLIENT, held.above, held, try_attributes, facts)
        told = span.told
        if held.is_plain and told[_IS_VALID]:
            write_w3c(headers, told, told[_SPAN_ID], held.wire is not None)
        else:
            inject(headers, span.placed(held.above), held.wire)
        return span if isinstance(span, Recording) else None

    def end_try(
        self, span: Recording | None, status: int | None, error: BaseException | None, peer: str | None = None
    ) -> None:
        """End a try's span, once. `peer` is the `address:port` at the other end of its connection."""
        if span is not None and span.is_open:
            span.is_open = False
            verdict = None
            if error is not None or (status is not None and status >= FIRST_ERROR_STATUS):
                verdict = _failed(error)
            span.end("", try_end(span.facts, peer, status, error), verdict, self._now())

    def _spans(self) -> Spans | None:
        provider: TracerProvider | None = self._place._TRACER_PROVIDER
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
        told = SpanContext(trace_id, self._own_id(), is_remote=False, trace_state=above.trace_state)
        return Unrecorded(told, self._own_id)

    def _own_id(self) -> int:
        return self._random.getrandbits(64) | 1


class _Given:
    """A provider in a place like that of the global one."""

    def __init__(self, provider: TracerProvider) -> None:
        self._TRACER_PROVIDER = provider


class _Asked:
    """The place of the global provider in an API that has another one."""

    @property
    def _TRACER_PROVIDER(self) -> TracerProvider | None:  # noqa: N802
        return trace.get_tracer_provider()


def _place_of(given: TracerProvider | None) -> Any:
    """Return where the provider that holds now is found, `None` while none is set up."""
    if given is not None:
        return _Given(given)
    trace.get_tracer_provider()  # loads the one that the environment names, if any
    # The public function asks the environment each time while no SDK is set up.
    return trace if hasattr(trace, "_TRACER_PROVIDER") else _Asked()


def _nanoseconds(clock: Clock) -> Callable[[], int]:
    """Return what tells the clock's time in nanoseconds."""
    return clock.time_ns if type(clock) is SystemClock else lambda: int(clock.time() * 1e9)


def _failed(error: BaseException | None) -> Status:
    """Say that it did not go well, by the HTTP semantic conventions for clients; without an error, by its status."""
    return _BAD_STATUS if error is None else Status(StatusCode.ERROR, error_description(error))


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
    try:
        decorator = call.route.model.decorator
    except AttributeError:  # no route, or one of no policy's
        return ""
    return "" if decorator is None else decorator.operation


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
