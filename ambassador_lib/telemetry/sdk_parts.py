"""Whether OpenTelemetry's SDK is one whose spans we may build ourselves: nothing of it is assumed, all is looked at.

Where anything is not as it is known to be (`known`), the public way is taken.
"""
# ruff: noqa: SLF001 - that is what this is for

from __future__ import annotations

import inspect
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import export, sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from .known import is_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk._shared_internal import BatchProcessor
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

_EMIT = """_at_fork_reinit _bsp_reset_once _exporting _logger _max_export_batch_size _max_queue_size _metrics _pid
    _queue _shutdown _worker_awaken appendleft do_once drop_items getpid info is_set len os set warning"""
"""The names that a batch's `emit` may use: a span goes into the queue, and the worker is woken if that is full."""

_DO_NOTHING = tuple(
    getattr(kind, name, None)
    for kind in (sdk.SpanProcessor, export.SimpleSpanProcessor, export.BatchSpanProcessor)
    for name in ("on_start", "_on_ending")
)
"""What processors do with a span that starts, or is about to end; the latter is younger than the SDK's version 1.26."""

_PARTS = """name context parent resource attributes events links kind instrumentation_info status start_time end_time
    instrumentation_scope"""
"""What a `ReadableSpan` is made of, and keeps."""

_MOST_ATTRIBUTES = 32
"""More than any span of ours has."""


def is_plain(provider: TracerProvider, tracer: Tracer) -> bool:
    """Whether both are the SDK's own, of a version that is known, with nothing in place of their parts."""
    return (
        type(provider) is sdk.TracerProvider
        and type(tracer) is sdk.Tracer
        and "start_span" not in vars(tracer)
        and (not hasattr(tracer, "_is_enabled") or is_known(sdk.Tracer, "_is_enabled", "_tracer_config is_enabled"))
        and all(is_known(owner, name, names) for (owner, name), names in _KNOWN.items())
        and type(tracer.span_processor) is sdk.SynchronousMultiSpanProcessor
        and _is_what_it_is_made_of(sdk.ReadableSpan)
        and _is_tuple(SpanContext)
        and _has_room(tracer._span_limits)
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


def batch_of(processors: Sequence[sdk.SpanProcessor]) -> BatchProcessor[sdk.ReadableSpan] | None:
    """Return the queue of the only processor, if all that it does with a span that is sampled is to put it there.

    `None` before the SDK's version 1.33, and wherever anything is not as it is known to be.
    """
    processor = processors[0] if len(processors) == 1 else None
    if type(processor) is not export.BatchSpanProcessor:
        return None
    batch: BatchProcessor[sdk.ReadableSpan] | None = getattr(processor, "_batch_processor", None)
    kind = type(batch)
    if (
        batch is not None
        and (kind.__module__, kind.__qualname__) == ("opentelemetry.sdk._shared_internal", "BatchProcessor")
        and is_known(type(processor), "on_end", "_batch_processor context emit sampled trace_flags")
        and is_known(kind, "emit", _EMIT)
        and "on_end" not in vars(processor)
        and "emit" not in vars(batch)
        and type(batch._queue) is deque
        and batch._pid == os.getpid()  # else it starts afresh with the next one
    ):
        return batch
    return None


def uses(function: Any, name: str) -> bool:
    """Whether a function of the SDK's uses a name."""
    return name in function.__code__.co_names


def _is_what_it_is_made_of(kind: type[sdk.ReadableSpan]) -> bool:
    """Whether a span keeps each of its parts as it is, and nothing else."""
    parts: dict[str, Any] = {name: object() for name in _PARTS.split()}
    return list(inspect.signature(kind).parameters) == list(parts) and vars(kind(**parts)) == {
        f"_{name}": part for name, part in parts.items()
    }


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
