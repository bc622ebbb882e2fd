"""Spans of OpenTelemetry's own SDK, of which a call makes no more than their ids, their times and their facts.

`Tracer.start_span` makes a lock, two lists and a checked dictionary for somebody who might do anything with the span: a
call would pay 20 µs for its two. We do one thing with ours. So the sampler is asked first, a span that it drops is no
more than its ids, and one that it keeps ends as a `ReadableSpan`, equal to the SDK's own in every field. Where it waits
for an exporter, even that is made when it is read (`Ended`). Where anything cannot be known (`sdk_parts`) the public
way is taken.
"""
# ruff: noqa: SLF001 - what is private is looked at in `sdk_parts` before

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import DEFAULT_TRACE_STATE as NO_STATE
from opentelemetry.trace import SpanContext

from .._native import mypyc_attr
from ..runtime.afresh import Anchor
from .sdk_ended import Ended, UnderWay
from .sdk_parts import batch_of, ignores_starts, is_plain, is_random, uses
from .sdk_sampling import LOCAL, REMOTE, SAMPLED, decide, fixed_decisions, place_of
from .spans import FLAGS, NO_LINKS, Identity, PublicSpans, Recording, Spans
from .unchangeable import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk._shared_internal import BatchProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanKind, Status, TracerProvider, TraceState

    from .attributes import Attributes
    from .facts import Facts

_RANDOM: Final = 2
_LAST_TRACE_ID: Final = 2**128 - 1
_LAST_SPAN_ID: Final = 2**64 - 1
_new: Final = object.__new__
_new_tuple: Final = tuple.__new__


def sdk_spans(provider: TracerProvider, tracer: trace.Tracer, now: Callable[[], int]) -> SdkSpans | None:
    """Return the fast way to make a tracer's spans, `None` where only the public one is sure to be right."""
    return SdkSpans(tracer, now) if isinstance(tracer, Tracer) and is_plain(provider, tracer) else None


class SdkSpans(Spans):
    """Makes the spans of one tracer of the SDK. `now`: the time in nanoseconds."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        self.tracer = tracer
        self.scope = Scope(tracer)
        self.processors: tuple[Any, ...] | None = None
        self.batch: BatchProcessor[ReadableSpan] | None = None
        """Where spans that are sampled wait for their export, if the SDK's own processor is the only one."""
        self.room = 0
        """As many of them wait there without more ado."""
        self._now = now
        self._public = PublicSpans(tracer, now)
        self._ignores_starts = False
        # Later than 1.26: tracers that are switched off, metrics of the SDK's own, the flag of random trace ids.
        self._may_be_off = hasattr(tracer, "_is_enabled")
        metrics = getattr(tracer, "_tracer_metrics", None)
        self._metrics = None if type(metrics).__name__ == "NoOpTracerMetrics" else metrics
        self._flags_random = uses(Tracer.start_span, "is_trace_id_random")
        self._inherits_random = self._flags_random and uses(Tracer.start_span, "random_trace_id")
        self._generator: IdGenerator | None = None
        self._flag = 0
        self._trace_id: Callable[[], int] = tracer.id_generator.generate_trace_id
        self._span_id: Callable[[], int] = tracer.id_generator.generate_span_id
        self._sampler: Sampler | None = None
        self._fixed: tuple[Decision | None, ...] = ()
        self._plans: list[int | None] = []
        """The flag that tells in each place what becomes of a span, where nothing of it is open but its ids."""
        self._anchor = Anchor(self.start_afresh)

    def start(self, kind: SpanKind, above: Context, parent: Identity, facts: Facts) -> Identity:
        tracer = self.tracer
        if (
            tracer.span_processor._span_processors is not self.processors
            or tracer.sampler is not self._sampler
            or tracer.id_generator is not self._generator
        ):
            self._look_again()
        has_parent = parent.is_valid
        sampled = self._plans[(REMOTE if parent.is_remote else LOCAL) + (parent.flags & SAMPLED) if has_parent else 0]
        if sampled is None or (self._may_be_off and not tracer._tracer_config.is_enabled):
            return self._start(kind, above, parent, facts)
        flags = self._flag | sampled
        if has_parent:
            if self._inherits_random:
                flags = parent.flags & _RANDOM | sampled
            trace_id, state = parent.trace_id, parent.state
        else:
            trace_id, state = self._trace_id(), NO_STATE
        span_id = self._span_id()
        if not sampled:
            return Identity(trace_id, span_id, flags, state, self._span_id)
        outer = parent if has_parent else None
        return Sampled(self, kind, outer, facts, trace_id, span_id, flags, state, self._now())

    def _start(self, kind: SpanKind, above: Context, parent: Identity, facts: Facts) -> Identity:
        """Start a span of which more than its ids is open."""
        tracer = self.tracer
        if not self._ignores_starts or (self._may_be_off and not tracer._tracer_config.is_enabled):
            return self._public.start(kind, above, parent, facts)
        outer = parent.told if parent.is_valid else None
        trace_id, state = (self._trace_id(), NO_STATE) if outer is None else (parent.trace_id, parent.state)
        attributes: BoundedAttributes | None = None
        decision = self._fixed[place_of(outer)] or decide(tracer.sampler, outer, trace_id)
        if decision is None:
            decision, state, attributes = self._ask(parent.placed(above), trace_id, kind, facts)
        number = parent.flags & _RANDOM if outer is not None and self._inherits_random else self._flag
        if decision is Decision.RECORD_AND_SAMPLE:
            number |= SAMPLED
        on_end = self._metrics.start_span(outer, decision) if self._metrics is not None else None
        span_id = self._span_id()
        is_valid = 0 < trace_id <= _LAST_TRACE_ID and 0 < span_id <= _LAST_SPAN_ID
        if decision is not Decision.DROP:
            inside = None if outer is None else parent
            span = _Recorded(
                self, kind, inside, facts, trace_id, span_id, number, state, self._now(), attributes, on_end
            )
            span.is_valid = is_valid
            return span
        below = self._span_id if self._fixed[LOCAL] is Decision.DROP and on_end is None and is_valid else None
        identity = Identity(trace_id, span_id, number, state, below)
        identity.is_valid = is_valid
        return identity

    def start_afresh(self) -> None:
        """In a forked child the queue may be another's still: look at it again."""
        self.processors = self.batch = None

    def _ask(
        self, above: Context, trace_id: int, kind: SpanKind, facts: Facts
    ) -> tuple[Decision, TraceState, BoundedAttributes]:
        """Ask a sampler of somebody else's, which may add attributes, and a `tracestate`."""
        tracer = self.tracer
        result = tracer.sampler.should_sample(above, trace_id, facts.name, kind, facts.at_start(), NO_LINKS)
        state = NO_STATE if result.trace_state is None else result.trace_state
        found = BoundedAttributes(tracer._span_limits.max_span_attributes, result.attributes, immutable=False)
        return result.decision, state, found

    def _look_again(self) -> None:
        """Learn what is to be known of the processors, to which some may be added, of the sampler and the ids."""
        tracer = self.tracer
        generator, processors = tracer.id_generator, tracer.span_processor._span_processors
        self._flag = _RANDOM if self._flags_random and generator.is_trace_id_random() else 0
        if is_random(generator):
            self._trace_id, self._span_id = partial(random.getrandbits, 128), partial(random.getrandbits, 64)
        else:
            self._trace_id, self._span_id = generator.generate_trace_id, generator.generate_span_id
        self._fixed = fixed_decisions(tracer.sampler)
        self._ignores_starts = ignores_starts(processors)
        is_plain = self._ignores_starts and is_random(generator) and self._metrics is None
        self._plans = [self._plan(decision) if is_plain else None for decision in self._fixed]
        self.batch = batch_of(processors)
        self.room = 0 if self.batch is None else self.batch._max_export_batch_size - 1
        self.scope = Scope(tracer)
        self.processors, self._sampler, self._generator = processors, tracer.sampler, generator

    def _plan(self, decision: Decision | None) -> int | None:
        if decision is Decision.RECORD_AND_SAMPLE:
            return SAMPLED
        return 0 if decision is Decision.DROP and self._fixed[LOCAL] is Decision.DROP else None


@mypyc_attr(acyclic=True)
class Scope:
    """What all spans of a tracer have in common."""

    __slots__ = ("info", "nothing", "resource", "scope")

    def __init__(self, tracer: Tracer) -> None:
        self.resource = tracer.resource
        self.info = tracer.instrumentation_info
        self.scope = tracer._instrumentation_scope
        self.nothing = NO_LINKS
        """Their links, and their events."""


@mypyc_attr(acyclic=True)
class _Late(Recording):
    """A span that is built at its end, or later."""

    __slots__ = ("kind", "parent", "scope", "source", "started")

    def __init__(
        self, source: SdkSpans, kind: SpanKind, parent: Identity | None, facts: Facts,
        trace_id: int, span_id: int, flags: int, state: TraceState, started: int,
    ) -> None:  # fmt: skip
        # By the base's constructor it would cost an interpreter half as much again.
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.state = state
        self.is_remote = False
        self.is_valid = self.is_open = True
        self.below = None
        self.facts = facts
        self.source: SdkSpans | None = source
        """What ends it, and is let go then: a span that waits holds on to nothing that others wait in."""
        self.scope = source.scope
        self.kind = kind
        self.parent = parent
        self.started = started

    @property
    def told(self) -> SpanContext:
        fields = self.trace_id, self.span_id, self.is_remote, FLAGS[self.flags], self.state, self.is_valid
        return _new_tuple(SpanContext, fields)

    @property
    def outer(self) -> SpanContext | None:
        """Its parent's identity."""
        return None if self.parent is None else self.parent.told

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(UnderWay(self.told), above)

    def made(self, attributes: Any, ended: int) -> ReadableSpan:
        """Build it."""
        facts, scope = self.facts, self.scope
        return ReadableSpan(
            name=facts.name,
            context=self.told,
            parent=self.outer,
            resource=scope.resource,
            attributes=attributes,
            links=NO_LINKS,
            kind=self.kind,
            instrumentation_info=scope.info,
            status=facts.verdict(),
            start_time=self.started,
            end_time=ended,
            instrumentation_scope=scope.scope,
        )


@mypyc_attr(acyclic=True)
class Sampled(_Late):
    """One of which everything was settled at its start. It is read by way of an `Ended`."""

    __slots__ = ("ended",)

    ended: int

    def end(self, now: int) -> None:
        source = self.source
        if source is None:
            return
        self.source = None
        self.ended = now
        batch, processors = source.batch, source.tracer.span_processor._span_processors
        if batch is None or processors is not source.processors:
            span = self.readable()
        else:
            span = _new(Ended)
            span.sampled = self
            if len(batch._queue) < source.room and not batch._shutdown:
                batch._queue.appendleft(span)  # all that the processor would do
                return
        for processor in processors:
            processor.on_end(span)

    @property
    def attributes(self) -> Attributes:
        """What is told of it; nobody can change it."""
        found = self.facts.whole()
        return found if isinstance(found, Kept) else Kept(found)

    @property
    def status(self) -> Status:
        """How it went."""
        return self.facts.verdict()

    def readable(self) -> ReadableSpan:
        """Build an ordinary one."""
        return self.made(self.facts.whole(), self.ended)


class _Recorded(_Late):
    """One that is recorded, be it sampled or not. `added`: what a sampler of somebody else's made of its attributes.

    `on_end` is for the SDK's own metrics.
    """

    __slots__ = ("_added", "_on_end")

    def __init__(
        self, source: SdkSpans, kind: SpanKind, parent: Identity | None, facts: Facts,
        trace_id: int, span_id: int, flags: int, state: TraceState, started: int,
        added: BoundedAttributes | None, on_end: Callable[[], None] | None,
    ) -> None:  # fmt: skip
        super().__init__(source, kind, parent, facts, trace_id, span_id, flags, state, started)
        self._added = added
        self._on_end = on_end

    def end(self, now: int) -> None:
        source, facts, added = self.source, self.facts, self._added
        if source is None:
            return
        self.source = None
        if self._on_end is not None:
            self._on_end()
        if added is not None:
            added.update(facts.at_end())
        span = self.made(facts.whole() if added is None else added, now)
        for processor in source.tracer.span_processor._span_processors:
            processor.on_end(span)
