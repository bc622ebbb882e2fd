"""Spans that are built at their end, held to those that the SDK makes by itself."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event
from types import FunctionType
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    TracerProvider,
    sampling,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ambassador_lib.call import Attempt, Call, Header
from ambassador_lib.errors import connect_failure
from ambassador_lib.telemetry import sdk_parts
from ambassador_lib.telemetry.sdk_sampling import decide
from ambassador_lib.telemetry.sdk_spans import SdkSpans
from ambassador_lib.telemetry.tracing import Tracing
from ambassador_lib.testing.clock import FakeClock

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
RESOURCE = Resource({"service.name": "shop"})


class Subclass(TracerProvider):
    """A provider that is not the SDK's own, whose spans are therefore made in the public way."""


class Opinionated(sampling.Sampler):
    """A sampler of somebody else's: it looks at everything, and adds attributes and a tracestate."""

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        *_: Any,
        **__: Any,
    ) -> sampling.SamplingResult:
        above = trace.get_current_span(parent_context)
        told = {
            **(attributes or {}),
            "above": above.is_recording(),
            "kind": str(kind),
            "bad": object(),
            "n": trace_id % 7,
        }
        if trace_id % 5 == 0:
            told |= {f"more.{number}": number for number in range(200)}
        decision = sampling.Decision(trace_id % 3)
        return sampling.SamplingResult(decision, told, TraceState([("mine", str(len(told)))]))

    def get_description(self) -> str:
        return "opinionated"


SAMPLERS: list[sampling.Sampler] = [
    sampling.ALWAYS_ON,
    sampling.ALWAYS_OFF,
    sampling.StaticSampler(sampling.Decision.RECORD_ONLY),
    sampling.TraceIdRatioBased(0.5),
    sampling.DEFAULT_ON,
    sampling.DEFAULT_OFF,
    sampling.ParentBased(sampling.TraceIdRatioBased(0.5), remote_parent_not_sampled=sampling.ALWAYS_ON),
    sampling.ParentBased(sampling.DEFAULT_ON, local_parent_sampled=sampling.ALWAYS_OFF),
    sampling.ParentBased(sampling.ALWAYS_ON, remote_parent_sampled=sampling.TraceIdRatioBased(0.5)),
    Opinionated(),
    sampling.ParentBased(Opinionated(), local_parent_sampled=Opinionated()),
]


class Unknown(CompositePropagator):
    """The default propagators, in a class that nobody knows: all headers are read and written by them."""


PROPAGATORS = [
    None,
    CompositePropagator([TraceContextTextMapPropagator()]),
    B3MultiFormat(),
    B3SingleFormat(),
    CompositePropagator([B3MultiFormat(), TraceContextTextMapPropagator()]),
]
HEADERS: list[dict[str, str]] = [
    {},
    {"traceparent": f"00-{TRACE}-{SPAN}-01"},
    {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "a=b,c=d"},
    {"traceparent": f"00-{TRACE}-{SPAN}-03", "baggage": "tenant=blue"},
    {"traceparent": "nonsense", "tracestate": "stale=1"},
    {"baggage": "tenant=blue", "x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"},
    {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "0", "x-request-id": "abc"},
    {"b3": f"{TRACE}-{SPAN}-1"},
]


@dataclass
class Parent:
    """The caller's current span."""

    flags: int
    is_remote: bool
    state: TraceState | None

    def span(self) -> trace.Span:
        return trace.NonRecordingSpan(
            SpanContext(int(TRACE, 16), int(SPAN, 16), self.is_remote, TraceFlags(self.flags), self.state)
        )


@dataclass
class Try:
    """One try: where it goes, how it ends, and whether others have begun by then."""

    authority: str
    status: int | None
    error: BaseException | None
    peer: str | None
    ends_late: bool


@dataclass
class Story:
    """A call, all that is around it, and what becomes of it."""

    method: str
    url: str
    sampler: sampling.Sampler
    propagator: Any
    policy: str | None
    sampled: bool
    headers: dict[str, str]
    parent: Parent | None
    baggage: str | None
    tries: list[Try]
    copies: list[bool | None]
    cluster: str | None
    flags: list[str]
    seed: int


parents = st.none() | st.builds(
    Parent, st.sampled_from([0, 1, 2, 3]), st.booleans(), st.sampled_from([None, TraceState([("k", "v")])])
)
outcomes = st.sampled_from(
    [(200, None), (404, None), (503, None), (None, connect_failure("refused")), (200, ConnectionResetError("reset")),
     (None, TimeoutError())]
)  # fmt: skip
tries = st.builds(
    lambda authority, outcome, peer, late: Try(authority, *outcome, peer, late),
    st.sampled_from(["billing.test", "me:secret@[::1]:8443", "10.0.0.1:81"]),
    outcomes,
    st.sampled_from([None, "10.0.0.1:80", "[::1]:443", "/run/app.sock"]),
    st.booleans(),
)
stories = st.builds(
    Story,
    st.sampled_from(["GET", "POST", "BREW"]),
    st.sampled_from(["http://me:secret@billing.test/a?sig=1&x=2", "https://[::1]/b", "http://billing.test:8080/"]),
    st.sampled_from(SAMPLERS),
    st.sampled_from(PROPAGATORS),
    st.sampled_from([None, "opentelemetry", "zipkin"]),
    st.booleans(),
    st.sampled_from(HEADERS),
    parents,
    st.sampled_from([None, "blue"]),
    st.lists(tries, max_size=3),
    st.lists(st.sampled_from([None, False, True]), max_size=2),
    st.sampled_from([None, "billing"]),
    st.lists(st.sampled_from(["UF", "URX"]), unique=True),
    st.integers(0, 2**32),
)


@contextmanager
def configured(propagator: Any) -> Iterator[None]:
    before = propagate.get_global_textmap()
    if propagator is not None:
        propagate.set_global_textmap(propagator)
    yield
    propagate.set_global_textmap(before)


def play(story: Story, provider: TracerProvider) -> list[list[Header]]:
    """Let the story happen, with the dice and the clock of every other time; return the headers of its tries."""
    clock = FakeClock()
    tracing = Tracing(tracer_provider=provider, clock=clock, random=random.Random(story.seed))
    call = Call(httpx.Request(story.method, story.url), 0.0)
    call.authority = "billing.test"
    call.headers = [(name.encode(), value.encode()) for name, value in story.headers.items()]
    call.report.cluster = story.cluster
    random.seed(story.seed)  # the SDK's own ids
    sent: list[list[Header]] = []
    with ExitStack() as stack:
        propagator = story.propagator
        if propagator is None and isinstance(provider, Subclass):
            propagator = Unknown([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
        stack.enter_context(configured(propagator))
        around = context.get_current()
        if story.baggage is not None:
            around = baggage.set_baggage("tenant", story.baggage, around)
        if story.parent is not None:
            around = trace.set_span_in_context(story.parent.span(), around)
        stack.callback(context.detach, context.attach(around))
        tracing.start_call(call, provider=story.policy, sampled=story.sampled)
        clock.sleep(0.25)
        _play_tries(story, tracing, call, clock, sent)
        if len(story.tries) > 1:
            call.method = "GET"  # as a redirect may
        for flag in story.flags:
            call.flag(flag)
        last = story.tries[-1] if story.tries else Try("", 200, None, None, False)
        tracing.end_call(call, last.status, last.error)
    return sent


def _play_tries(story: Story, tracing: Tracing, call: Call, clock: FakeClock, sent: list[list[Header]]) -> None:
    late = []
    for number, told in enumerate(story.tries, 1):
        call.authority = told.authority
        sent.append([*call.headers, (b"tracestate", b"stale=1")])
        span = tracing.start_try(call, Attempt(number), sent[-1])
        call.report.cluster = story.cluster
        clock.sleep(0.5)
        if told.ends_late:
            late.append((span, told))
        else:
            tracing.end_try(span, told.status, told.error, told.peer)
    for sampled in story.copies:
        copy = Call(call.request, 0.0)
        copy.authority = "mirror.test"
        tracing.follow(call, copy, sampled=sampled)
        sent.append([])
        tracing.end_try(tracing.start_try(copy, Attempt(1), sent[-1]), 200, None)
    for span, told in late:
        clock.sleep(0.125)
        tracing.end_try(span, told.status, told.error, told.peer)


def told(span: ReadableSpan) -> dict[str, Any]:
    """Every field of a span, private ones too."""
    fields = {name: value for name, value in vars(span).items() if name not in ("_attributes", "_events", "_links")}
    public = {
        name: getattr(span, name)
        for name in ("events", "links", "dropped_attributes", "dropped_events", "dropped_links", "resource", "context")
    }
    attributes = list((span.attributes or {}).items())
    return {**fields, **public, "attributes": attributes, "status": vars(span.status), "json": span.to_json(),
            "class": type(span), "_status": None}  # fmt: skip


def provider_of(kind: type[TracerProvider], sampler: sampling.Sampler, *processors: SpanProcessor) -> TracerProvider:
    provider = kind(sampler=sampler, resource=RESOURCE, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


@dataclass
class Keep(SpanProcessor):
    """A processor of somebody else's that keeps all spans, recorded ones that are not sampled too."""

    spans: list[ReadableSpan] = field(default_factory=list)

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def spans_of(tracing: Tracing) -> Any:
    """Return how its spans are made."""
    made = tracing.made()
    assert made is not None
    return made.spans()


def is_fast(provider: TracerProvider) -> bool:
    tracing = Tracing(tracer_provider=provider)
    assert tracing.enabled
    return isinstance(spans_of(tracing), SdkSpans)


@settings(max_examples=1000, deadline=None)
@given(stories)
def test_spans_are_those_of_the_sdk(story: Story) -> None:
    """Whatever happens to a call, its spans and its tries' headers are to the last field those of the public way."""
    seen = []
    for kind in (TracerProvider, Subclass):
        keep, exporter = Keep(), InMemorySpanExporter()
        provider = provider_of(kind, story.sampler, keep, SimpleSpanProcessor(exporter))
        headers = play(story, provider)
        seen.append(
            (headers, [told(span) for span in keep.spans], [told(span) for span in exporter.get_finished_spans()])
        )
        provider.shutdown()
    assert seen[0] == seen[1]


@given(
    st.sampled_from([sampler for sampler in SAMPLERS if "opinionated" not in sampler.get_description()]),
    parents,
    st.integers(1, 2**128 - 1),
)
def test_decisions_are_those_of_the_sdks_samplers(
    sampler: sampling.Sampler, parent: Parent | None, trace_id: int
) -> None:
    """A decision that is made without asking is the one that the sampler would have given."""
    above = context.Context() if parent is None else trace.set_span_in_context(parent.span(), context.Context())
    told = None if parent is None else parent.span().get_span_context()
    assert decide(sampler, told, trace_id) is sampler.should_sample(above, trace_id, "GET").decision


def test_the_sdk_that_is_installed_is_known() -> None:
    """Spans of the plain provider are built at their end: a new version of the SDK is looked at before it is slow."""
    assert is_fast(provider_of(TracerProvider, sampling.DEFAULT_ON))


def _patch_start_span(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    original = sdk.Tracer.start_span

    def start_span(self: sdk.Tracer, *args: Any, **kwargs: Any) -> trace.Span:
        return original(self, *args, **kwargs)

    monkeypatch.setattr(sdk.Tracer, "start_span", start_span)
    return TracerProvider()


def _replace(name: str) -> Callable[[pytest.MonkeyPatch], TracerProvider]:
    def replace(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
        monkeypatch.setattr(sdk.Span, name, lambda self, *args, **kwargs: None)
        return TracerProvider()

    return replace


def _exchange_places(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    function = sdk.ReadableSpan.__init__
    exchanged = {"kind": "status", "status": "kind"}
    names = tuple(exchanged.get(name, name) for name in function.__code__.co_varnames)
    code = function.__code__.replace(co_varnames=names)
    monkeypatch.setattr(sdk.ReadableSpan, "__init__", FunctionType(code, function.__globals__))
    return TracerProvider()


def _lengthen_contexts(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    monkeypatch.setattr(sdk_parts, "SpanContext", lambda *fields: (*fields, True, None))
    return TracerProvider()


@pytest.mark.parametrize(
    "make",
    [
        lambda _: Subclass(),
        lambda _: TracerProvider(span_limits=SpanLimits(max_span_attributes=3)),
        lambda _: TracerProvider(span_limits=SpanLimits(max_span_attribute_length=3)),
        lambda _: TracerProvider(active_span_processor=ConcurrentMultiSpanProcessor()),
        _patch_start_span,
        _replace("end"),
        _replace("_readable_span"),
        _exchange_places,
        _lengthen_contexts,
    ],
    ids=[
        "subclass",
        "few attributes",
        "short attributes",
        "concurrent",
        "start_span",
        "end",
        "_readable_span",
        "other places",
        "longer contexts",
    ],
)
def test_what_is_not_plain_is_left_to_the_sdk(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[pytest.MonkeyPatch], TracerProvider]
) -> None:
    """Where anything of the SDK is exchanged, limited or replaced, spans are made in the public way."""
    assert not is_fast(make(monkeypatch))


class Noting(SpanProcessor):
    """Looks at spans when they start."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.seen.append(f"start {span.kind.name}")
        span.set_attribute("noted", True)

    def on_end(self, span: ReadableSpan) -> None:
        self.seen.append(f"end {span.kind.name} {(span.attributes or {}).get('noted')}")


def a_call(tracing: Tracing) -> Call:
    call = Call(httpx.Request("GET", "http://billing.test/"), 0.0)
    call.authority = "billing.test"
    tracing.start_call(call)
    return call


def test_a_processor_that_looks_at_starts_sees_them() -> None:
    """A processor may be added at any time; from then on it sees every span from its start, and may change it."""
    provider, late, early = TracerProvider(shutdown_on_exit=False), Noting(), Keep()
    provider.add_span_processor(early)
    tracing = Tracing(tracer_provider=provider)
    call = a_call(tracing)
    provider.add_span_processor(late)
    tracing.end_try(tracing.start_try(call, Attempt(1), []), 200, None)
    tracing.end_call(call, 200, None)
    assert late.seen == ["start CLIENT", "end CLIENT True", "end INTERNAL None"]
    client, internal = early.spans
    assert client.parent == internal.context
    tracing.end_call(a_call(tracing), 200, None)
    assert late.seen[3:] == ["start INTERNAL", "end INTERNAL True"]


def test_a_method_of_an_instance_counts() -> None:
    """`on_start` that was set on the very processor is called as well."""
    processor, started = Keep(), []
    processor.on_start = lambda span, parent_context=None: started.append(span)  # type: ignore[method-assign]
    tracing = Tracing(tracer_provider=provider_of(TracerProvider, sampling.ALWAYS_ON, processor))
    tracing.end_call(a_call(tracing), 200, None)
    assert len(started) == len(processor.spans) == 1


def test_spans_go_through_the_batch_processor() -> None:
    """What production exports with takes them, and drops recorded ones that are not sampled, as always."""
    exporter = InMemorySpanExporter()
    provider = provider_of(TracerProvider, sampling.ALWAYS_ON, BatchSpanProcessor(exporter))
    tracing = Tracing(tracer_provider=provider)
    assert is_fast(provider)
    call = a_call(tracing)
    tracing.end_try(tracing.start_try(call, Attempt(1), []), 200, None)
    tracing.end_call(call, 200, None)
    provider.shutdown()
    assert [span.kind for span in exporter.get_finished_spans()] == [SpanKind.CLIENT, SpanKind.INTERNAL]


def a_batch(exporter: InMemorySpanExporter, size: int = 4) -> BatchSpanProcessor:
    """A processor that exports as soon as `size` spans wait, and else not before it is asked to."""
    return BatchSpanProcessor(exporter, max_queue_size=64, schedule_delay_millis=10**6, max_export_batch_size=size)


def calls(tracing: Tracing, number: int) -> list[int]:
    """Make calls without tries, and return their spans' ids."""
    made = []
    for _ in range(number):
        call = a_call(tracing)
        made.append(call.span.told.span_id)
        tracing.end_call(call, 200, None)
    return made


def exported(exporter: InMemorySpanExporter) -> list[int]:
    return [span.context.span_id for span in exporter.get_finished_spans() if span.context is not None]


@pytest.mark.parametrize("kind", [TracerProvider, Subclass])
def test_a_batch_is_exported_when_it_is_full(kind: type[TracerProvider]) -> None:
    """Spans wait in the order of their ends until there are enough, and then nobody has to ask for them."""
    full = Event()

    class Exporter(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                return super().export(spans)
            finally:
                full.set()

    exporter = Exporter()
    provider = provider_of(kind, sampling.ALWAYS_ON, a_batch(exporter))
    tracing = Tracing(tracer_provider=provider)
    made = calls(tracing, 3)
    assert exported(exporter) == []
    made += calls(tracing, 1)
    assert full.wait(10)
    assert exported(exporter) == made
    made += calls(tracing, 2)
    assert provider.force_flush()
    assert exported(exporter) == made
    provider.shutdown()
    calls(tracing, 2)
    assert exported(exporter) == made


def _set(owner: Callable[[BatchSpanProcessor], Any], name: str) -> Callable[[BatchSpanProcessor, list[Any]], None]:
    def replace(processor: BatchSpanProcessor, seen: list[Any]) -> None:
        setattr(owner(processor), name, seen.append)

    return replace


@pytest.mark.parametrize(
    "replace", [_set(lambda each: each, "on_end"), _set(lambda each: getattr(each, "_batch_processor", each), "emit")]
)
def test_what_is_set_on_a_batch_sees_its_spans(replace: Callable[[BatchSpanProcessor, list[Any]], None]) -> None:
    """A processor whose own way of taking spans was replaced is handed every span."""
    seen: list[ReadableSpan] = []
    processor = a_batch(InMemorySpanExporter())
    if not hasattr(processor, "_batch_processor"):
        pytest.skip("this SDK's processors have no batch")
    replace(processor, seen)
    provider = provider_of(TracerProvider, sampling.ALWAYS_ON, processor)
    made = calls(Tracing(tracer_provider=provider), 2)
    assert [span.context.span_id for span in seen if span.context is not None] == made
    provider.shutdown()


def test_a_second_processor_is_told_as_well() -> None:
    """One that comes beside a batch gets the spans from then on, those under way included; the batch has them all."""
    exporter, keep = InMemorySpanExporter(), Keep()
    provider = provider_of(TracerProvider, sampling.ALWAYS_ON, a_batch(exporter, 64))
    tracing = Tracing(tracer_provider=provider)
    made = calls(tracing, 2)
    under_way = a_call(tracing)
    provider.add_span_processor(keep)
    made.append(under_way.span.told.span_id)
    tracing.end_call(under_way, 200, None)
    made += calls(tracing, 1)
    provider.force_flush()
    assert exported(exporter) == made
    assert [span.context.span_id for span in keep.spans if span.context is not None] == made[2:]
    provider.shutdown()


def test_only_what_is_sampled_waits_in_a_batch() -> None:
    """A span that is recorded alone is not exported."""
    exporter = InMemorySpanExporter()
    sampler = sampling.StaticSampler(sampling.Decision.RECORD_ONLY)
    provider = provider_of(TracerProvider, sampler, a_batch(exporter))
    calls(Tracing(tracer_provider=provider), 2)
    provider.shutdown()
    assert exported(exporter) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_exports_its_own_spans() -> None:
    """What the parent's call left waiting is the parent's to export; the child's spans are the child's."""
    exporter = InMemorySpanExporter()
    provider = provider_of(TracerProvider, sampling.ALWAYS_ON, a_batch(exporter, 64))
    tracing = Tracing(tracer_provider=provider)
    before = calls(tracing, 2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            made = calls(tracing, 2)
            code = 0 if provider.force_flush() and exported(exporter) == made else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert provider.force_flush()
    assert exported(exporter) == before
    provider.shutdown()


class Counting(RandomIdGenerator):
    """An id generator of somebody else's, whose trace ids are not random."""

    def __init__(self) -> None:
        self.given = 0

    def generate_trace_id(self) -> int:
        self.given += 1
        return self.given

    def is_trace_id_random(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [TracerProvider, Subclass])
def test_ids_come_from_the_providers_generator(kind: type[TracerProvider]) -> None:
    """Ids are the provider's to give, and what its generator says of their randomness is told."""
    keep = Keep()
    provider = kind(id_generator=Counting(), shutdown_on_exit=False)
    provider.add_span_processor(keep)
    tracing = Tracing(tracer_provider=provider)
    for _ in range(2):
        tracing.end_call(a_call(tracing), 200, None)
    contexts = [span.context for span in keep.spans if span.context is not None]
    assert [(found.trace_id, found.trace_flags) for found in contexts] == [(1, 1), (2, 1)]


@pytest.mark.parametrize("kind", [TracerProvider, Subclass])
def test_the_source_of_ids_may_be_exchanged(kind: type[TracerProvider]) -> None:
    """Whoever sets another method on the SDK's generator, or another generator on the tracer, gives the next ids."""
    generator = RandomIdGenerator()
    generator.generate_trace_id = lambda: 7  # type: ignore[method-assign]
    keep = Keep()
    provider = kind(id_generator=generator, shutdown_on_exit=False)
    provider.add_span_processor(keep)
    tracing = Tracing(tracer_provider=provider)
    tracing.end_call(a_call(tracing), 200, None)
    spans_of(tracing).tracer.id_generator = Counting()
    tracing.end_call(a_call(tracing), 200, None)
    assert [found.context.trace_id for found in keep.spans if found.context is not None] == [7, 1]


def test_a_tracer_that_is_switched_off_makes_no_spans() -> None:
    """A tracer may be switched off while it is used (later SDKs): what is around travels on instead."""
    provider, keep = TracerProvider(shutdown_on_exit=False), Keep()
    provider.add_span_processor(keep)
    switch_off = getattr(sdk, "_disable_tracer_configurator", None)
    if switch_off is None:
        pytest.skip("this SDK's tracers cannot be switched off")
    tracing = Tracing(tracer_provider=provider)
    tracing.end_call(a_call(tracing), 200, None)
    provider._set_tracer_configurator(tracer_configurator=switch_off)
    headers: list[Header] = []
    call = a_call(tracing)
    tracing.end_try(tracing.start_try(call, Attempt(1), headers), 200, None)
    tracing.end_call(call, 200, None)
    assert (len(keep.spans), headers) == (1, [])


def test_a_processor_that_raises_is_not_hidden() -> None:
    """What a processor raises at a span's end comes out as it does of the SDK's own span; the span ends once."""

    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise ZeroDivisionError

    for kind in (TracerProvider, Subclass):
        tracing = Tracing(tracer_provider=provider_of(kind, sampling.ALWAYS_ON, Broken()))
        call = a_call(tracing)
        with pytest.raises(ZeroDivisionError):
            tracing.end_call(call, 200, None)
        tracing.end_call(call, 200, None)


def test_every_sampler_of_the_list_is_played() -> None:
    """The differential test covers what keeps, drops, and only records."""
    decisions = {
        sampler.should_sample(context.Context(), trace_id, "GET", attributes={}).decision
        for sampler in SAMPLERS
        for trace_id in range(6)
    }
    assert decisions == set(sampling.Decision)
