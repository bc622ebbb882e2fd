"""Spans of OpenTelemetry's own SDK, built once, when they end, from what the call knows anyway.

`Tracer.start_span` makes a lock, two lists and a checked dictionary for somebody who might do anything with the span: a
call would pay 20 µs for its two. We do one thing with ours. So the sampler is asked first, a span that it drops is no
more than its ids, and one that it keeps becomes a `ReadableSpan` at its end, equal to the SDK's own in every field.
Where that cannot be known (`sdk_parts`) the public way is taken.
"""
# ruff: noqa: SLF001 - what is private is looked at in `sdk_parts` before

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import DEFAULT_TRACE_STATE as NO_STATE
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..runtime.afresh import after_fork
from .attributes import OTHER_NAME, SPAN_NAMES
from .sdk_parts import batch_of, ignores_starts, is_plain, is_random, uses
from .sdk_sampling import LOCAL, REMOTE, SAMPLED, decide, fixed_decisions, place_of
from .spans import FLAGS, NO_LINKS, Identity, PublicSpans, Recording, Unrecorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk._shared_internal import BatchProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanKind, TracerProvider, TraceState

    from .attributes import Attributes
    from .spans import Facts

_UNSET = Status(StatusCode.UNSET)
_RANDOM = 2
_LAST_TRACE_ID = 2**128 - 1
_LAST_SPAN_ID = 2**64 - 1
_new = object.__new__
_new_tuple = tuple.__new__


def sdk_spans(provider: TracerProvider, tracer: trace.Tracer, now: Callable[[], int]) -> SdkSpans | None:
    """Return the fast way to make a tracer's spans, `None` where only the public one is sure to be right."""
    return SdkSpans(tracer, now) if isinstance(tracer, Tracer) and is_plain(provider, tracer) else None


class SdkSpans:
    """Makes the spans of one tracer of the SDK. `now`: the time in nanoseconds."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        self.tracer = tracer
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
        after_fork(self)

    def start(
        self, kind: SpanKind, above: Context, parent: Identity, describe: Callable[..., Attributes], facts: Facts
    ) -> Identity:
        tracer = self.tracer
        if (
            tracer.span_processor._span_processors is not self.processors
            or tracer.sampler is not self._sampler
            or tracer.id_generator is not self._generator
        ):
            self._look_again()
        trace_id, _, is_remote, flags, state, has_parent = told = parent.told
        place = ((REMOTE if is_remote else LOCAL) + (flags & SAMPLED)) if has_parent else 0
        sampled = self._plans[place]
        if sampled is None or (self._may_be_off and not tracer._tracer_config.is_enabled):
            return self._start(kind, above, parent, describe, facts)
        if has_parent:
            outer, own_flags = told, flags & _RANDOM if self._inherits_random else self._flag
        else:
            outer, own_flags = None, self._flag
            trace_id, state = self._trace_id(), NO_STATE
        fields = trace_id, self._span_id(), False, FLAGS[own_flags | sampled], state, True
        if not sampled:
            return Unrecorded(_new_tuple(SpanContext, fields), self._span_id)
        span = _new(_Sampled)  # without a constructor, which costs twice as much
        span.told = _new_tuple(SpanContext, fields)
        span.facts = facts
        span.is_open = True
        span.origin = self
        span.kind = kind
        span.parent = outer
        span.started = self._now()
        return span

    def _start(
        self, kind: SpanKind, above: Context, parent: Identity, describe: Callable[..., Attributes], facts: Facts
    ) -> Identity:
        """Start a span of which more than its ids is open."""
        tracer = self.tracer
        if not self._ignores_starts or (self._may_be_off and not tracer._tracer_config.is_enabled):
            return self._public.start(kind, above, parent, describe, facts)
        trace_id, _, _, flags, state, has_parent = told = parent.told
        outer = told if has_parent else None
        if not has_parent:
            trace_id, state = self._trace_id(), NO_STATE
        attributes: BoundedAttributes | None = None
        decision = self._fixed[place_of(outer)] or decide(tracer.sampler, outer, trace_id)
        if decision is None:
            decision, state, attributes = self._ask(parent.placed(above), trace_id, kind, facts, describe(*facts))
        number = flags & _RANDOM if has_parent and self._inherits_random else self._flag
        if decision is Decision.RECORD_AND_SAMPLE:
            number |= SAMPLED
        on_end = self._metrics.start_span(outer, decision) if self._metrics is not None else None
        span_id = self._span_id()
        is_valid = 0 < trace_id <= _LAST_TRACE_ID and 0 < span_id <= _LAST_SPAN_ID
        identity = _new_tuple(SpanContext, (trace_id, span_id, False, FLAGS[number], state, is_valid))
        if decision is not Decision.DROP:
            return _Recorded(self, identity, outer, kind, facts, self._now(), attributes, on_end)
        if self._fixed[LOCAL] is Decision.DROP and on_end is None and is_valid:
            return Unrecorded(identity, self._span_id)
        return Identity(identity)

    def start_afresh(self) -> None:
        """In a forked child the queue may be another's still: look at it again."""
        self.processors = self.batch = None

    def _ask(
        self, above: Context, trace_id: int, kind: SpanKind, facts: Facts, attributes: Attributes
    ) -> tuple[Decision, TraceState, BoundedAttributes]:
        """Ask a sampler of somebody else's, which may add attributes, and a `tracestate`."""
        tracer = self.tracer
        name = SPAN_NAMES.get(facts[0], OTHER_NAME)
        result = tracer.sampler.should_sample(above, trace_id, name, kind, attributes, NO_LINKS)
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
        self.processors, self._sampler, self._generator = processors, tracer.sampler, generator

    def _plan(self, decision: Decision | None) -> int | None:
        if decision is Decision.RECORD_AND_SAMPLE:
            return SAMPLED
        return 0 if decision is Decision.DROP and self._fixed[LOCAL] is Decision.DROP else None


class _Late(Recording):
    """A span that is built at its end."""

    __slots__ = ("kind", "origin", "parent", "started")

    origin: SdkSpans
    parent: SpanContext | None
    kind: SpanKind
    started: int

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(_UnderWay(self.told), above)


class _Sampled(_Late):
    """One of which everything was settled at its start."""

    __slots__ = ()

    facts: Facts

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        origin = self.origin
        tracer = origin.tracer
        # As its constructor does (`sdk_parts`), which costs three times as much.
        span = _new(ReadableSpan)
        span._name = name or SPAN_NAMES.get(self.facts[0], OTHER_NAME)
        span._context = self.told
        span._kind = self.kind
        span._instrumentation_info = tracer.instrumentation_info
        span._instrumentation_scope = tracer._instrumentation_scope
        span._parent = self.parent
        span._start_time = self.started
        span._end_time = now
        span._attributes = attributes
        span._events = ()
        span._links = NO_LINKS
        span._resource = tracer.resource
        span._status = _UNSET if status is None else status
        batch, processors = origin.batch, tracer.span_processor._span_processors
        if (
            batch is not None
            and len(batch._queue) < origin.room
            and processors is origin.processors
            and not batch._shutdown
        ):
            batch._queue.appendleft(span)  # all that the processor would do
        else:
            for processor in processors:
                processor.on_end(span)


class _Recorded(_Late):
    """One that is recorded, be it sampled or not. `added`: what a sampler of somebody else's made of its attributes.

    `on_end` is for the SDK's own metrics.
    """

    __slots__ = ("_added", "_name", "_on_end")

    def __init__(
        self,
        origin: SdkSpans,
        told: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        facts: Facts,
        started: int,
        added: BoundedAttributes | None,
        on_end: Callable[[], None] | None,
    ) -> None:
        self.told = told
        self.facts = facts if added is None else None
        self.is_open = True
        self.origin = origin
        self.parent = parent
        self.kind = kind
        self.started = started
        self._name = SPAN_NAMES.get(facts[0], OTHER_NAME)
        self._added = added
        self._on_end = on_end

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        if self._on_end is not None:
            self._on_end()
        if self._added is not None:
            self._added.update(attributes)
        tracer = self.origin.tracer
        span = ReadableSpan(
            name=name or self._name,
            context=self.told,
            parent=self.parent,
            resource=tracer.resource,
            attributes=attributes if self._added is None else self._added,
            links=NO_LINKS,
            kind=self.kind,
            instrumentation_info=tracer.instrumentation_info,
            status=_UNSET if status is None else status,
            start_time=self.started,
            end_time=now,
            instrumentation_scope=tracer._instrumentation_scope,
        )
        for processor in tracer.span_processor._span_processors:
            processor.on_end(span)


class _UnderWay(trace.NonRecordingSpan):
    """What a sampler or a propagator of somebody else's sees of a span that is yet to be built."""

    def is_recording(self) -> bool:
        return True
