"""What all spans have in common, however they are made: an identity; and the public way to make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, TraceFlags

from .._native import mypyc_attr

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import SpanKind, Tracer, TraceState

    from .facts import Facts

FLAGS: Final = tuple(TraceFlags(number) for number in range(256))
NO_LINKS: Final[tuple[Link, ...]] = ()


@mypyc_attr(acyclic=True)
class Identity:
    """What headers tell of a span; one that is no more than this is not recorded.

    Its parts stand side by side: OpenTelemetry's `SpanContext` costs more to make, and to look into, than the rest of
    a span, and most of them are never asked for.
    """

    __slots__ = ("below", "flags", "is_remote", "is_valid", "span_id", "state", "trace_id")

    def __init__(
        self, trace_id: int, span_id: int, flags: int, state: TraceState, below: Callable[[], int] | None = None
    ) -> None:
        """`below` gives the ids of spans below it where none of them is recorded either."""
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.state = state
        self.is_remote = False
        self.is_valid = True
        self.below = below

    @property
    def told(self) -> SpanContext:
        """OpenTelemetry's form of it."""
        return SpanContext(self.trace_id, self.span_id, self.is_remote, FLAGS[self.flags], self.state)

    def placed(self, above: Context) -> Context:
        """Return the context `above` with this span as its current one."""
        return trace.set_span_in_context(trace.NonRecordingSpan(self.told), above)


class Around(Identity):
    """What is around a call: a span of the application's or of whoever called it, or none (not valid)."""

    __slots__ = ("_told",)

    def __init__(self, told: SpanContext) -> None:
        # A tuple, whose properties cost five times as much.
        trace_id, span_id, self.is_remote, flags, state, self.is_valid = told
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.state = state
        self.below = None
        self._told = told

    @property
    def told(self) -> SpanContext:
        return self._told

    def placed(self, above: Context) -> Context:
        return above


@mypyc_attr(acyclic=True)
class Recording(Identity):
    """A span that has to be ended, once. `facts`: what is told of it."""

    __slots__ = ("facts", "is_open")

    facts: Facts
    is_open: bool

    def end(self, now: int) -> None:
        """End the span, whose facts say what became of it; `now` in nanoseconds."""
        raise NotImplementedError


class Spans:
    """A way to make spans."""

    def start(self, kind: SpanKind, above: Context, parent: Identity, facts: Facts) -> Identity:
        """Start a span below `parent`, which stands in the context `above`; a `Recording` has to be ended."""
        raise NotImplementedError


class CallSpan:
    """The span of a logical request, `call.span`, and what those of its tries are made from.

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

    @property
    def told(self) -> SpanContext:
        """OpenTelemetry's form of the span's identity."""
        return self.span.told


class PublicSpans(Spans):
    """Spans of any tracer, by OpenTelemetry's API alone. `now`: the time in nanoseconds."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        self.tracer = tracer
        self._now = now

    def start(self, kind: SpanKind, above: Context, parent: Identity, facts: Facts) -> Identity:
        placed, started = parent.placed(above), self._now()
        span = self.tracer.start_span(facts.name, placed, kind, facts.at_start(), start_time=started)
        return _Started(span, facts)


class _Started(Recording):
    """A span of somebody else's, recorded or not as he likes."""

    __slots__ = ("_span", "_told")

    def __init__(self, span: trace.Span, facts: Facts) -> None:
        self._told = told = span.get_span_context()
        super().__init__(told.trace_id, told.span_id, told.trace_flags, told.trace_state)
        self.is_remote = told.is_remote
        self.is_valid = told.is_valid
        self.facts = facts
        self.is_open = True
        self._span = span

    @property
    def told(self) -> SpanContext:
        return self._told

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(self._span, above)

    def end(self, now: int) -> None:
        span, facts = self._span, self.facts
        if facts.operation:
            span.update_name(facts.operation)
        span.set_attributes(facts.at_end())
        if facts.has_failed:
            span.set_status(facts.verdict())
        span.end(now)
