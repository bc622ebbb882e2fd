"""The spans of calls and tries, once OpenTelemetry is in the process (`tracing`).

Only its API is used here. While no SDK is set up a call costs one attribute test and its headers are not touched.
Contexts are passed by hand and never attached, so nothing can leak into the caller's context at a suspension.
"""
# ruff: noqa: SLF001 - the global provider's place is read where it is there

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..runtime.clock import SystemClock
from .facts import CallFacts, TryFacts
from .propagation import NOTHING, Propagation, inject, write_w3c
from .spans import CallSpan, Identity, PublicSpans, Recording
from .tracing import SCHEMA_URL, SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from ..call import Attempt, Call, Header
    from ..runtime.base import Clock, Random
    from .spans import Spans

_AROUND_TRIES: Final = SpanKind.INTERNAL
"""The conventions forbid a CLIENT span around the CLIENT spans of the single tries."""
_OF_TRIES: Final = SpanKind.CLIENT
_REQUEST_ID: Final = b"x-request-id"


class CallSpans:
    """Makes and ends the spans of one stack; `tracer_provider` `None`: of the global one, which may be set any time."""

    def __init__(self, tracer_provider: TracerProvider | None, clock: Clock, random: Random) -> None:
        self._now = _nanoseconds(clock)
        self._random = random
        self._place = _place_of(tracer_provider)
        self._known: tuple[TracerProvider | None, Spans | None] = (None, None)
        """The provider that held last, and how its spans are made."""
        self.propagation = Propagation()
        self._formats: dict[str, TextMapPropagator | None] = {}

    def spans(self) -> Spans | None:
        """Return how spans are made now, `None` while no SDK is set up; one may be set up later."""
        provider: TracerProvider | None = self._place._TRACER_PROVIDER
        if provider is None:
            return None
        known, spans = self._known
        if provider is not known:
            spans = _spans_of(provider, self._now)
            self._known = provider, spans
        return spans

    def start_call(self, call: Call, provider: str | None, sampled: bool, may_tell: bool) -> None:  # noqa: FBT001
        """Start the span of the logical request, as `Tracing.start_call`."""
        spans = self.spans()
        if spans is None:
            return
        wire = None if provider is None else self._format(provider)
        propagation = self.propagation
        above = propagation.current()
        around: Identity = NOTHING
        is_plain = True
        if above or may_tell or wire is not None or propagation.place._HTTP_TEXT_FORMAT is not propagation.default:
            above, around, is_plain = propagation.around(call.headers, wire, may_tell)
        if sampled:
            span = spans.start(_AROUND_TRIES, above, around, CallFacts(call.method, call.request.url))
            call.span = CallSpan(span, above, spans, wire, is_plain)
        else:
            call.span = CallSpan(self._unrecorded(around), above, None, wire, is_plain)

    def follow(self, call: Call, copy: Call, sampled: bool | None) -> None:  # noqa: FBT001
        """Let the tries of a mirrored copy have spans below the call's, as `Tracing.follow`."""
        copy.span = held = call.span
        if held is not None and held.spans is not None and sampled is False:
            told = held.span
            alike = Identity(told.trace_id, told.span_id, told.flags, told.state)
            alike.is_remote, alike.is_valid = told.is_remote, told.is_valid
            copy.span = CallSpan(alike, held.above, None, held.wire, held.is_plain)

    def end_call(self, held: CallSpan, call: Call, response_status: int | None, error: BaseException | None) -> None:
        """End the logical request's span, as `Tracing.end_call`."""
        span = held.span
        if isinstance(span, Recording) and span.is_open:
            span.is_open = False
            facts = span.facts
            if isinstance(facts, CallFacts):
                _complete(facts, call)
            facts.ended(response_status, error)
            span.end(self._now())

    def start_try(self, held: CallSpan, call: Call, attempt: Attempt, headers: list[Header]) -> Recording | None:
        """Start the span of one try, as `Tracing.start_try`."""
        told = held.span
        next_id = told.below
        if next_id is not None and held.is_plain:
            write_w3c(headers, told, next_id(), held.wire is not None)
            return None
        spans = held.spans
        if spans is None:
            span = self._unrecorded(told)
        else:
            facts = TryFacts(call.method, call.scheme, call.authority, call.target, attempt.number, call.report.cluster)
            span = spans.start(_OF_TRIES, held.above, told, facts)
        if held.is_plain and span.is_valid:
            write_w3c(headers, span, span.span_id, held.wire is not None)
        else:
            inject(headers, span.placed(held.above), held.wire)
        return span if isinstance(span, Recording) else None

    def end_try(self, span: Recording, status: int | None, error: BaseException | None, peer: str | None) -> None:
        """End a try's span, as `Tracing.end_try`."""
        if span.is_open:
            span.is_open = False
            facts = span.facts
            if isinstance(facts, TryFacts):
                facts.peer = peer
            facts.ended(status, error)
            span.end(self._now())

    def _format(self, provider: str) -> TextMapPropagator | None:
        if provider not in self._formats:
            self._formats[provider] = _propagator_of(provider)
        return self._formats[provider]

    def _unrecorded(self, above: Identity) -> Identity:
        """Make a span that is only an identity: of the trace of the one above or a new one, and not sampled."""
        trace_id = above.trace_id if above.is_valid else self._random.getrandbits(128) | 1
        return Identity(trace_id, self._own_id(), 0, above.state, self._own_id)

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


def _spans_of(provider: TracerProvider, now: Callable[[], int]) -> Spans | None:
    if isinstance(provider, (trace.NoOpTracerProvider, trace.ProxyTracerProvider)):
        return None
    tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)
    if type(provider).__module__ == "opentelemetry.sdk.trace":  # whose import others need not pay for
        from .sdk_spans import sdk_spans

        return sdk_spans(provider, tracer, now) or PublicSpans(tracer, now)
    return PublicSpans(tracer, now)


def _complete(facts: CallFacts, call: Call) -> None:
    """Take down what the call has come to by its end; the report is the application's to change from then on."""
    report = call.report
    facts.cluster = report.cluster
    if report.flags:
        facts.flags = ",".join(report.flags)
    for name, value in call.headers:
        if name == _REQUEST_ID:
            facts.request_id = value
            break
    facts.operation = _operation(call)


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
