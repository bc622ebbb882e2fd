"""Spans of OpenTelemetry's own SDK, built once, when they end, from what the call knows anyway.

`Tracer.start_span` makes a lock, two lists and a checked dictionary for somebody who might do anything with the span: a
call would pay 20 µs for its two. We do one thing with ours. So the sampler is asked first, a span that it drops is no
more than its ids, and one that it keeps becomes a `ReadableSpan` at its end, equal to the SDK's own in every field.
Where that cannot be known (`sdk_parts`) the public way is taken.
"""
# ruff: noqa: SLF001 - what is private is looked at in `sdk_parts` before

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, StaticSampler, TraceIdRatioBased
from opentelemetry.trace import SpanContext, Status, StatusCode

from .sdk_parts import ignores_starts, is_plain, uses
from .spans import FLAGS, NO_LINKS, Identity, PublicSpans

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanKind, TracerProvider

    from .attributes import Attributes

_UNSET = Status(StatusCode.UNSET)
_LOCAL = 1
"""The place (`_place`) below a local span that is not sampled."""
_SAMPLED = 1
_RANDOM = 2


def sdk_spans(provider: TracerProvider, tracer: trace.Tracer, now: Callable[[], int]) -> SdkSpans | None:
    """Return the fast way to make a tracer's spans, `None` where only the public one is sure to be right."""
    return SdkSpans(tracer, now) if isinstance(tracer, Tracer) and is_plain(provider, tracer) else None


class SdkSpans:
    """Makes the spans of one tracer of the SDK."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        self.tracer = tracer
        self._now = now
        self._public = PublicSpans(tracer, now)
        self._processors: tuple[Any, ...] | None = None
        self._ignore_starts = False
        # Later than 1.26: tracers that are switched off, metrics of the SDK's own, the flag of random trace ids.
        self._is_enabled: Callable[[], bool] | None = getattr(tracer, "_is_enabled", None)
        metrics = getattr(tracer, "_tracer_metrics", None)
        self._metrics = None if type(metrics).__name__ == "NoOpTracerMetrics" else metrics
        self._flags_random = uses(Tracer.start_span, "is_trace_id_random")
        self._inherits_random = uses(Tracer.start_span, "random_trace_id")
        self._sampler: Sampler | None = None
        self._fixed: tuple[Decision | None, ...] = ()

    def start(
        self,
        name: str,
        kind: SpanKind,
        above: Context,
        below: Identity | None,
        describe: Callable[..., Attributes],
        *facts: Any,
    ) -> Identity:
        if not self._may_build():
            return self._public.start(name, kind, above, below, describe, *facts)
        tracer = self.tracer
        parent: SpanContext | None = trace.get_current_span(above).get_span_context() if below is None else below.told
        if parent is None or not parent.is_valid:
            parent, trace_id, state = None, tracer.id_generator.generate_trace_id(), None
        else:
            trace_id, state = parent.trace_id, parent.trace_state
        if tracer.sampler is not self._sampler:
            self._fixed = fixed_decisions(tracer.sampler)
            self._sampler = tracer.sampler
        checked: BoundedAttributes | None = None
        decision = self._fixed[_place(parent)]
        if decision is None:
            decision = decide(tracer.sampler, parent, trace_id)
        if decision is None:
            context = above if below is None else below.placed(above)
            result = tracer.sampler.should_sample(context, trace_id, name, kind, describe(*facts), NO_LINKS)
            decision, state = result.decision, result.trace_state
            checked = BoundedAttributes(tracer._span_limits.max_span_attributes, result.attributes, immutable=False)
        flags = self._random_flag(parent)
        if decision is Decision.RECORD_AND_SAMPLE:
            flags |= _SAMPLED
        on_end = self._metrics.start_span(parent, decision) if self._metrics is not None else None
        identity = SpanContext(trace_id, tracer.id_generator.generate_span_id(), False, FLAGS[flags], state)
        if decision is Decision.DROP:
            below_are_dropped = self._fixed[_LOCAL] is Decision.DROP and on_end is None and identity.is_valid
            return Identity(identity, tracer.id_generator.generate_span_id if below_are_dropped else None)
        return _Recorded(identity, (tracer, name, kind, parent, describe, facts, checked, self._now(), on_end))

    def _may_build(self) -> bool:
        """Whether nobody looks at spans before their end; asked anew, since processors may be added."""
        processors = self.tracer.span_processor._span_processors
        if processors is not self._processors:
            self._ignore_starts = ignores_starts(processors)
            self._processors = processors
        return self._ignore_starts and (self._is_enabled is None or self._is_enabled())

    def _random_flag(self, parent: SpanContext | None) -> int:
        if not self._flags_random:
            return 0
        if parent is not None and self._inherits_random:
            return parent.trace_flags & _RANDOM
        return _RANDOM if self.tracer.id_generator.is_trace_id_random() else 0


_Made = tuple[
    Tracer,
    str,  # its name
    "SpanKind",
    "SpanContext | None",  # its parent
    "Callable[..., Attributes]",
    tuple[Any, ...],  # what to describe
    "BoundedAttributes | None",  # the attributes as a sampler of somebody else's would have them instead
    int,  # when it started
    "Callable[[], None] | None",  # for the SDK's own metrics
]
"""What a span is made of; a tuple, since a call pays for each attribute that is set."""


class _Recorded(Identity):
    """A span that is built at its end."""

    __slots__ = ("_made",)

    recording = True

    def __init__(self, told: SpanContext, made: _Made) -> None:
        self.told = told
        self.below = None
        self._made = made

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(_UnderWay(self.told), above)

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        tracer, first_name, kind, parent, describe, facts, checked, started, on_end = self._made
        found: Any = describe(*facts) if checked is None else checked
        found.update(attributes)
        if on_end is not None:
            on_end()
        tracer.span_processor.on_end(
            ReadableSpan(
                name or first_name,
                self.told,
                parent,
                tracer.resource,
                found,
                kind=kind,
                status=_UNSET if status is None else status,
                start_time=started,
                end_time=now,
                instrumentation_info=tracer.instrumentation_info,
                instrumentation_scope=tracer._instrumentation_scope,
            )
        )


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
    return (3 if parent.is_remote else _LOCAL) + (parent.trace_flags & _SAMPLED)


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
