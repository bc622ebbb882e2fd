"""Spans that wait in the SDK's own queue: made when they are read, and then like any other."""

from __future__ import annotations

import copy
import gc
import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import SpanContext, TraceFlags

from ambassador_lib.call import Attempt, Call
from ambassador_lib.errors import connect_failure
from ambassador_lib.telemetry.sdk_ended import Ended
from ambassador_lib.telemetry.tracing import Tracing
from ambassador_lib.testing.clock import FakeClock

RESOURCE = Resource({"service.name": "shop"})
PARENT = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1))
PARTS = (
    "_name", "_context", "_kind", "_instrumentation_info", "_instrumentation_scope", "_parent", "_start_time",
    "_end_time", "_attributes", "_events", "_links", "_resource", "_status",
)  # fmt: skip
PUBLIC = (
    "name", "context", "kind", "parent", "start_time", "end_time", "status", "attributes", "events", "links",
    "resource", "instrumentation_scope", "dropped_attributes", "dropped_events", "dropped_links",
)  # fmt: skip


class Keep(SpanProcessor):
    """A processor of somebody else's, which is handed ordinary spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def make_calls(provider: TracerProvider) -> None:
    """Let a good call, one that is not its first try's, one that fails and one with a parent happen."""
    clock = FakeClock()
    tracing = Tracing(tracer_provider=provider, clock=clock, random=random.Random(1))
    random.seed(1)  # the SDK's own ids
    outcomes: list[tuple[int | None, BaseException | None]] = [(200, None), (503, None), (None, connect_failure("no"))]
    for number, (status, error) in enumerate([*outcomes, (200, None)]):
        call = Call(httpx.Request("GET", f"http://me:secret@billing.test/{number}"), 0.0)
        call.authority, call.report.cluster = "billing.test", "billing"
        call.headers = [(b"x-request-id", b"id-%d" % number)] if number != 1 else []
        if number == 3:
            call.headers.append((b"traceparent", b"00-%032x-%016x-01" % (7, 9)))
        tracing.start_call(call)
        clock.sleep(0.25)
        tried = tracing.start_try(call, Attempt(number + 1), [])
        clock.sleep(0.5)
        tracing.end_try(tried, status, error, "10.0.0.1:80")
        if error is not None:
            call.flag("UF")
        tracing.end_call(call, status, error)


def spans_of(*processors: SpanProcessor) -> TracerProvider:
    provider = TracerProvider(sampler=sampling.ALWAYS_ON, resource=RESOURCE, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    make_calls(provider)
    return provider


def a_queue(exporter: InMemorySpanExporter) -> BatchSpanProcessor:
    """A processor in which spans wait until it is asked for them."""
    queue = BatchSpanProcessor(exporter, max_queue_size=64, schedule_delay_millis=10**6, max_export_batch_size=64)
    if not hasattr(queue, "_batch_processor"):
        pytest.skip("this SDK's processors have no batch")
    return queue


@pytest.fixture
def waiting() -> Iterator[list[ReadableSpan]]:
    """Spans as an exporter is given them."""
    exporter = InMemorySpanExporter()
    provider = spans_of(a_queue(exporter))
    provider.force_flush()
    yield list(exporter.get_finished_spans())
    provider.shutdown()


@pytest.fixture
def ordinary() -> list[ReadableSpan]:
    """The same spans, built at once."""
    keep = Keep()
    spans_of(keep)
    return keep.spans


def said(span: ReadableSpan, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: getattr(span, name) for name in names}
    return {name: vars(each) if isinstance(each, trace.Status) else each for name, each in found.items()}


def test_every_part_is_what_an_ordinary_span_has(waiting: list[ReadableSpan], ordinary: list[ReadableSpan]) -> None:
    """Whoever reads a span that waited finds in each place, private ones too, what would have been built at once."""
    assert [type(span) for span in waiting] == [Ended] * 8
    assert [type(span) for span in ordinary] == [ReadableSpan] * 8
    for span, other in zip(waiting, ordinary, strict=True):
        assert said(span, PARTS + PUBLIC) == said(other, PARTS + PUBLIC)
        assert list(span.attributes or {}) == list(other.attributes or {})
        assert span.get_span_context() == other.get_span_context()
        assert span.to_json() == other.to_json()
    assert waiting[-1].parent == PARENT


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_set_makes_it_an_ordinary_one(waiting: list[ReadableSpan], part: str) -> None:
    """An exporter may write into its spans: what it wrote is read, and all else is as before."""
    span, untouched = waiting[0], copy.copy(waiting[0])
    others = tuple(name for name in PARTS if name != part)
    written: Any = {"new": 1} if part == "_attributes" else ()
    setattr(span, part, written)
    assert type(span) is ReadableSpan
    assert getattr(span, part) == written
    assert said(span, others) == said(untouched, others)


def test_what_was_dropped_of_a_part_that_is_set_is_told(waiting: list[ReadableSpan]) -> None:
    """An exporter may cut its spans short by the SDK's own bounded parts: what they dropped is read of the span."""
    span: Any = waiting[0]
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (0, 0, 0)
    span._attributes = BoundedAttributes(1, {"first": 1, "second": 2})
    span._events = BoundedList.from_seq(1, ["first", "second", "third"])
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (1, 2, 0)
    assert span.events == ("third",)


@pytest.mark.parametrize("part", PUBLIC)
def test_public_parts_are_only_read(waiting: list[ReadableSpan], part: str) -> None:
    """As of the SDK's own spans."""
    with pytest.raises(AttributeError):
        setattr(waiting[0], part, None)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_copies_are_ordinary_spans(waiting: list[ReadableSpan], again: Callable[[ReadableSpan], ReadableSpan]) -> None:
    """A span may be copied."""
    names = tuple(name for name in PARTS if name != "_resource")
    for span in waiting:
        copied = again(span)
        assert type(copied) is ReadableSpan
        assert said(copied, names) == said(span, names)
        assert copied.resource.attributes == span.resource.attributes


def test_attributes_cannot_be_changed_in_place(waiting: list[ReadableSpan]) -> None:
    """As of the SDK's own spans that have ended."""
    for span in waiting:
        attributes: Any = span._attributes
        with pytest.raises(TypeError, match="ended"):
            attributes["added"] = 1


def test_what_changes_later_is_not_told() -> None:
    """The report and the headers are the application's once the call is over; the span tells how it was."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(a_queue(exporter))
    tracing = Tracing(tracer_provider=provider)
    call = Call(httpx.Request("GET", "http://billing.test/"), 0.0)
    call.headers, call.report.cluster = [(b"x-request-id", b"mine")], "billing"
    call.flag("UF")
    tracing.start_call(call)
    tracing.end_call(call, 503, None)
    call.flag("URX")
    call.report.cluster, call.method = "other", "POST"
    call.headers[:] = [(b"x-request-id", b"yours")]
    provider.force_flush()
    (span,) = exporter.get_finished_spans()
    found = dict(span.attributes or {})
    assert (span.name, found["response_flags"], found["upstream_cluster.name"], found["guid:x-request-id"]) == (
        "GET", "UF", "billing", "mine",
    )  # fmt: skip
    provider.shutdown()


def test_nothing_of_the_call_waits_with_its_span() -> None:
    """A span in the queue keeps neither the request nor the error alive."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(a_queue(exporter))
    tracing = Tracing(tracer_provider=provider)
    request, error = httpx.Request("POST", "http://billing.test/", content=b"body"), connect_failure("refused")
    call = Call(request, 0.0)
    tracing.start_call(call)
    tracing.end_try(tracing.start_try(call, Attempt(1), []), None, error)
    tracing.end_call(call, None, error)
    gone = [weakref.ref(request), weakref.ref(error)]
    del request, error, call
    gc.collect()
    assert [each() for each in gone] == [None, None]
    provider.force_flush()
    assert len(exporter.get_finished_spans()) == 2
    provider.shutdown()


def test_spans_that_are_kept_do_not_keep_their_provider() -> None:
    """Whoever keeps spans keeps what they say, not what made them: no provider lives on for a span's sake."""
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(a_queue(exporter))
    make_calls(provider)
    provider.shutdown()
    spans, gone = exporter.get_finished_spans(), weakref.ref(provider)
    del provider, exporter
    gc.collect()
    assert gone() is None
    assert len(spans) == 8
