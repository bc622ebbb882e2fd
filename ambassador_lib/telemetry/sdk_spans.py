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
from opentelemetry.trace import SpanContext, Status, StatusCode

from .sdk_parts import ignores_starts, is_plain, is_random, uses
from .spans import FLAGS, NANOSECONDS, NO_LINKS, Identity, PublicSpans, Recording, Unrecorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanKind, TracerProvider, TraceState

    from .attributes import Attributes

_UNSET = Status(StatusCode.UNSET)
_LOCAL = 1
"""The place (`_place`) below a local span that is not sampled."""
_SAMPLED = 1
_RANDOM = 2
_LAST_TRACE_ID = 2**128 - 1
_LAST_SPAN_ID = 2**64 - 1
_new_tuple = tuple.__new__


def sdk_spans(provider: TracerProvider, tracer: trace.Tracer, time: Callable[[], float]) -> SdkSpans | None:
    """Return the fast way to make a tracer's spans, `None` where only the public one is sure to be right."""
    return SdkSpans(tracer, time) if isinstance(tracer, Tracer) and is_plain(provider, tracer) else None


class SdkSpans:
    """Makes the spans of one tracer of the SDK."""

    def __init__(self, tracer: Tracer, time: Callable[[], float]) -> None:
        self.tracer = tracer
        self._time = time
        self._public = PublicSpans(tracer, time)
        self._processors: tuple[Any, ...] | None = None
        self._ignores_starts = False
        # Later than 1.26: tracers that are switched off, metrics of the SDK's own, the flag of random trace ids.
        self._is_enabled: Callable[[], bool] | None = getattr(tracer, "_is_enabled", None)
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

    def start(
        self,
        name: str,
        kind: SpanKind,
        above: Context,
        parent: Identity,
        describe: Callable[..., Attributes],
        *facts: Any,
    ) -> Identity:
        tracer = self.tracer
        if (
            tracer.span_processor._span_processors is not self._processors
            or tracer.sampler is not self._sampler
            or tracer.id_generator is not self._generator
        ):
            self._look_again()
        if not self._ignores_starts or (self._is_enabled is not None and not self._is_enabled()):
            return self._public.start(name, kind, above, parent, describe, *facts)
        trace_id, _, _, parent_flags, state, has_parent = told = parent.told
        outer = told if has_parent else None
        if not has_parent:
            trace_id, state = self._trace_id(), trace.DEFAULT_TRACE_STATE
        attributes: Attributes | BoundedAttributes | None = None
        decision = self._fixed[_place(outer)] or decide(tracer.sampler, outer, trace_id)
        if decision is None:
            decision, state, attributes = self._ask(parent.placed(above), trace_id, name, kind, describe(*facts))
        flags = parent_flags & _RANDOM if has_parent and self._inherits_random else self._flag
        if decision is Decision.RECORD_AND_SAMPLE:
            flags |= _SAMPLED
        on_end = self._metrics.start_span(outer, decision) if self._metrics is not None else None
        span_id = self._span_id()
        is_valid = 0 < trace_id <= _LAST_TRACE_ID and 0 < span_id <= _LAST_SPAN_ID
        identity = _new_tuple(SpanContext, (trace_id, span_id, False, FLAGS[flags], state, is_valid))
        if decision is not Decision.DROP:
            if attributes is None:
                attributes = describe(*facts)
            return _Recorded(identity, attributes, (tracer, name, kind, outer, self._time(), on_end))
        if self._fixed[_LOCAL] is Decision.DROP and on_end is None and is_valid:
            return Unrecorded(identity, self._span_id)
        return Identity(identity)

    def _ask(
        self, above: Context, trace_id: int, name: str, kind: SpanKind, attributes: Attributes
    ) -> tuple[Decision, TraceState, BoundedAttributes]:
        """Ask a sampler of somebody else's, which may add attributes, and a `tracestate`."""
        tracer = self.tracer
        result = tracer.sampler.should_sample(above, trace_id, name, kind, attributes, NO_LINKS)
        state = trace.DEFAULT_TRACE_STATE if result.trace_state is None else result.trace_state
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
        self._processors, self._sampler, self._generator = processors, tracer.sampler, generator


_Made = tuple[
    Tracer,
    str,  # its name
    "SpanKind",
    "SpanContext | None",  # its parent
    float,  # when it started
    "Callable[[], None] | None",  # for the SDK's own metrics
]
"""What a span is made of; a tuple, since a call pays for each attribute that is set."""


class _Recorded(Recording):
    """A span that is built at its end."""

    __slots__ = ("_made",)

    def __init__(self, told: SpanContext, attributes: Any, made: _Made) -> None:
        self.told = told
        self.attributes = attributes
        self.is_open = True
        self._made = made

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(_UnderWay(self.told), above)

    def end(self, name: str, status: Status | None, now: float) -> None:
        tracer, first_name, kind, parent, started, on_end = self._made
        if on_end is not None:
            on_end()
        span = ReadableSpan(  # by place, as `sdk_parts` knows them: names cost twice as much
            name or first_name,
            self.told,
            parent,
            tracer.resource,
            self.attributes,
            (),
            NO_LINKS,
            kind,
            tracer.instrumentation_info,
            _UNSET if status is None else status,
            int(started * NANOSECONDS),
            int(now * NANOSECONDS),
            tracer._instrumentation_scope,
        )
        for processor in tracer.span_processor._span_processors:
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
    _, _, is_remote, flags, *_ = parent
    return (3 if is_remote else _LOCAL) + (flags & _SAMPLED)


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
