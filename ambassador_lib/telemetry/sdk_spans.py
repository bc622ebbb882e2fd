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
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, StaticSampler, TraceIdRatioBased
from opentelemetry.trace import DEFAULT_TRACE_STATE as NO_STATE
from opentelemetry.trace import SpanContext, Status, StatusCode

from ..runtime.afresh import after_fork
from .attributes import OTHER_NAME, SPAN_NAMES
from .sdk_parts import batch_of, ignores_starts, is_plain, is_random, uses
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
_LOCAL = 1
"""The place (`_place`) below a local span that is not sampled."""
_REMOTE = 3
"""The place below a remote one."""
_SAMPLED = 1
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
        self._is_plain: list[bool] = []
        """In which place nothing of a span is open but its ids, and they are valid in any case."""
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
        place = ((_REMOTE if is_remote else _LOCAL) + (flags & _SAMPLED)) if has_parent else 0
        if not self._is_plain[place] or (self._may_be_off and not tracer._tracer_config.is_enabled):
            return self._start(kind, above, parent, describe, facts)
        if has_parent:
            outer, own_flags = told, flags & _RANDOM if self._inherits_random else self._flag
        else:
            outer, own_flags = None, self._flag
            trace_id, state = self._trace_id(), NO_STATE
        fields = trace_id, self._span_id(), False, FLAGS[own_flags | _SAMPLED], state, True
        span = _new(_Recorded)  # without a constructor, which costs twice as much
        span.told = _new_tuple(SpanContext, fields)
        span._made = (self, facts[0], kind, outer, self._now(), None, None)
        span.facts = facts
        span.is_open = True
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
        decision = self._fixed[_place(outer)] or decide(tracer.sampler, outer, trace_id)
        if decision is None:
            decision, state, attributes = self._ask(parent.placed(above), trace_id, kind, facts, describe(*facts))
        number = flags & _RANDOM if has_parent and self._inherits_random else self._flag
        if decision is Decision.RECORD_AND_SAMPLE:
            number |= _SAMPLED
        on_end = self._metrics.start_span(outer, decision) if self._metrics is not None else None
        span_id = self._span_id()
        is_valid = 0 < trace_id <= _LAST_TRACE_ID and 0 < span_id <= _LAST_SPAN_ID
        identity = _new_tuple(SpanContext, (trace_id, span_id, False, FLAGS[number], state, is_valid))
        if decision is not Decision.DROP:
            span = _new(_Recorded)
            span.told, span.facts, span.is_open = identity, facts if attributes is None else None, True
            span._made = (self, facts[0], kind, outer, self._now(), attributes, on_end)
            return span
        if self._fixed[_LOCAL] is Decision.DROP and on_end is None and is_valid:
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
        self._is_plain = [is_plain and decision is Decision.RECORD_AND_SAMPLE for decision in self._fixed]
        self.batch = batch_of(processors)
        self.room = 0 if self.batch is None else self.batch._max_export_batch_size - 1
        self.processors, self._sampler, self._generator = processors, tracer.sampler, generator


_Made = tuple[
    SdkSpans,
    str,  # its method
    "SpanKind",
    "SpanContext | None",  # its parent
    int,  # when it started, in nanoseconds
    "BoundedAttributes | None",  # what a sampler of somebody else's has made of its attributes
    "Callable[[], None] | None",  # for the SDK's own metrics
]
"""What a span is made of; a tuple, since a call pays for each attribute that is set."""


class _Recorded(Recording):
    """A span that is built at its end."""

    __slots__ = ("_made",)

    _made: _Made

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(_UnderWay(self.told), above)

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        origin, method, kind, parent, started, added, on_end = self._made
        if on_end is not None:
            on_end()
        if added is not None:
            added.update(attributes)
        tracer, told = origin.tracer, self.told
        # As its constructor does (`sdk_parts`), which costs three times as much.
        span = _new(ReadableSpan)
        span._name = name or SPAN_NAMES.get(method, OTHER_NAME)
        span._context = told
        span._kind = kind
        span._instrumentation_info = tracer.instrumentation_info
        span._instrumentation_scope = tracer._instrumentation_scope
        span._parent = parent
        span._start_time = started
        span._end_time = now
        span._attributes = attributes if added is None else added
        span._events = ()
        span._links = NO_LINKS
        span._resource = tracer.resource
        span._status = _UNSET if status is None else status
        batch, processors = origin.batch, tracer.span_processor._span_processors
        if (
            batch is not None
            and not batch._shutdown
            and processors is origin.processors
            and len(batch._queue) < origin.room
            and told[3] & _SAMPLED
        ):
            batch._queue.appendleft(span)  # all that the processor would do
        else:
            for processor in processors:
                processor.on_end(span)


class _UnderWay(trace.NonRecordingSpan):
    """What a sampler or a propagator of somebody else's sees of a span that is yet to be built."""

    def is_recording(self) -> bool:
        return True


def decide(sampler: Sampler, parent: SpanContext | None, trace_id: int) -> Decision | None:
    """Decide as the SDK's own samplers would, which look at no more than this; `None`: it is another, ask it."""
    sampler = _responsible(sampler, _place(parent))
    if type(sampler) is StaticSampler:
        return sampler._decision
    if type(sampler) is TraceIdRatioBased:
        kept = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < sampler.bound
        return Decision.RECORD_AND_SAMPLE if kept else Decision.DROP
    return None


def fixed_decisions(sampler: Sampler) -> tuple[Decision | None, ...]:
    """Return what is decided in each place (`_place`) whatever the trace; `None` where that depends."""
    found = [_responsible(sampler, place) for place in range(5)]
    return tuple(each._decision if type(each) is StaticSampler else None for each in found)


def _place(parent: SpanContext | None) -> int:
    """Number what samplers tell apart: no parent, a local one, not sampled and sampled, a remote one likewise."""
    if parent is None:
        return 0
    return (_REMOTE if parent.is_remote else _LOCAL) + (parent.trace_flags & _SAMPLED)


def _responsible(sampler: Sampler, place: int) -> Sampler:
    """Return who decides in a place."""
    while type(sampler) is ParentBased:
        sampler = (
            sampler._root,
            sampler._local_parent_not_sampled,
            sampler._local_parent_sampled,
            sampler._remote_parent_not_sampled,
            sampler._remote_parent_sampled,
        )[place]
    return sampler
