"""Whether OpenTelemetry's SDK is one whose spans we may build ourselves: nothing of it is assumed, all is looked at.

Where anything is not as it is known to be (`known`), the public way is taken.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import export, sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from .known import is_known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Tracer, TracerProvider

_FIELDS = """_attributes _context _end_time _events _instrumentation_info _instrumentation_scope _kind _links _name
    _parent _resource _start_time _status kind"""

_KNOWN: dict[tuple[type, str], str] = {
    (sdk.Tracer, "start_span"): """DEFAULT NonRecordingSpan RANDOM_TRACE_ID SAMPLED SpanContext TraceFlags TypeError
        _Span _instrumentation_scope _is_enabled _span_limits _tracer_metrics attributes copy decision generate_span_id
        generate_trace_id get_current_span get_span_context id_generator instrumentation_info is_recording is_sampled
        is_trace_id_random is_valid isinstance random_trace_id resource sampler should_sample span_processor start
        start_span trace_api trace_flags trace_id trace_state""",
    (sdk.Span, "__init__"): """BoundedAttributes Lock Resource __init__ _attributes _events _limits _links _lock
        _new_events _new_links _record_end_metrics _record_exception _sampler _set_status_on_exception _span_processor
        _trace_config append attributes create max_attribute_length max_event_attributes max_span_attribute_length
        max_span_attributes super threading""",
    (sdk.Span, "start"): "_lock _span_processor _start_time logger on_start time_ns warning",
    (sdk.Span, "end"): """RuntimeError _attributes _end_time _immutable _lock _on_ending _readable_span
        _record_end_metrics _span_processor _start_time logger on_end time_ns warning""",
    (sdk.Span, "_readable_span"): f"ReadableSpan {_FIELDS}",
    (sdk.ReadableSpan, "__init__"): f"Resource create {_FIELDS}",
    (sdk.SynchronousMultiSpanProcessor, "on_start"): "_span_processors on_start",
    (sdk.SynchronousMultiSpanProcessor, "on_end"): "_span_processors on_end",
    (sampling.StaticSampler, "should_sample"): "DROP Decision SamplingResult _decision _get_parent_trace_state",
    (sampling.TraceIdRatioBased, "should_sample"): """DROP Decision RECORD_AND_SAMPLE SamplingResult TRACE_ID_LIMIT
        _get_parent_trace_state bound""",
    (sampling.ParentBased, "should_sample"): """_local_parent_not_sampled _local_parent_sampled
        _remote_parent_not_sampled _remote_parent_sampled _root get_current_span get_span_context is_remote is_valid
        sampled should_sample trace_flags""",
}
"""What begins and ends a span, and the names that each may use."""

_DO_NOTHING = tuple(
    getattr(kind, name, None)
    for kind in (sdk.SpanProcessor, export.SimpleSpanProcessor, export.BatchSpanProcessor)
    for name in ("on_start", "_on_ending")
)
"""What processors do with a span that starts, or is about to end; the latter is younger than the SDK's version 1.26."""

_PLACES = """self name context parent resource attributes events links kind instrumentation_info status start_time
    end_time instrumentation_scope"""
"""What `ReadableSpan` is made of, in this order."""

_MOST_ATTRIBUTES = 32
"""More than any span of ours has."""


def is_plain(provider: TracerProvider, tracer: Tracer) -> bool:
    """Whether both are the SDK's own, of a version that is known, with nothing in place of their parts."""
    return (
        type(provider) is sdk.TracerProvider
        and type(tracer) is sdk.Tracer
        and "start_span" not in vars(tracer)
        and all(is_known(owner, name, names) for (owner, name), names in _KNOWN.items())
        and type(tracer.span_processor) is sdk.SynchronousMultiSpanProcessor
        and list(inspect.signature(sdk.ReadableSpan.__init__).parameters) == _PLACES.split()
        and _is_tuple(SpanContext)
        and _has_room(tracer._span_limits)  # noqa: SLF001
    )


def ignores_starts(processors: Iterable[sdk.SpanProcessor]) -> bool:
    """Whether no processor would do anything with a span that starts, or that is about to end."""
    return all(
        _method(processor, name) in _DO_NOTHING for processor in processors for name in ("on_start", "_on_ending")
    )


def is_random(generator: IdGenerator) -> bool:
    """Whether ids are the SDK's own: random bits, drawn again should all of them be 0, which they never are."""
    return type(generator) is RandomIdGenerator and all(
        is_known(RandomIdGenerator, name, "INVALID_SPAN_ID INVALID_TRACE_ID getrandbits random trace")
        and name not in vars(generator)
        for name in ("generate_trace_id", "generate_span_id")
    )


def uses(function: Any, name: str) -> bool:
    """Whether a function of the SDK's uses a name."""
    return name in function.__code__.co_names


def _is_tuple(kind: type[SpanContext]) -> bool:
    """Whether a context is a tuple of what it is made of, and of whether it is valid."""
    fields = (1, 2, False, TraceFlags(1), TraceState([("a", "b")]))
    return tuple(kind(*fields)) == (*fields, True)


def _has_room(limits: sdk.SpanLimits) -> bool:
    most = limits.max_span_attributes
    return limits.max_span_attribute_length is None and (most is None or most >= _MOST_ATTRIBUTES)


def _method(processor: sdk.SpanProcessor, name: str) -> Any:
    """Return what the processor's class has under a name; an instance that has its own is like no other."""
    return processor if name in getattr(processor, "__dict__", ()) else getattr(type(processor), name, None)
