"""Spans of calls and tries, and what travels in the headers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ambassador_lib.call import Attempt, Call, Header
from ambassador_lib.errors import connect_failure
from ambassador_lib.policy.model.route import Decorator, Route, RouteMatch
from ambassador_lib.telemetry.spans import Recording
from ambassador_lib.telemetry.tracing import Tracing
from ambassador_lib.testing.clock import FakeClock

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

MakeCall = Callable[..., Call]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@dataclass
class CompiledRoute:
    """As much of a compiled route as tracing looks at."""

    model: Route


@pytest.fixture
def tracing(provider: TracerProvider) -> Tracing:
    return Tracing(tracer_provider=provider)


@pytest.fixture
def propagator() -> Iterator[Callable[[object], None]]:
    """Set the global propagator for one test."""
    before = propagate.get_global_textmap()
    yield propagate.set_global_textmap  # type: ignore[misc]
    propagate.set_global_textmap(before)


def one_try(
    tracing: Tracing,
    call: Call,
    number: int = 1,
    status: int | None = 200,
    error: BaseException | None = None,
    peer: str | None = None,
) -> list[Header]:
    """Run one try and return the headers that it sent."""
    headers = list(call.headers)
    span = tracing.start_try(call, Attempt(number), headers)
    tracing.end_try(span, status, error, peer)
    return headers


def sent(headers: list[Header]) -> dict[str, str]:
    assert len({name for name, _ in headers}) == len(headers)
    return {name.decode(): value.decode() for name, value in headers}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_call_is_one_span_with_one_child_a_try(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """The logical request's span is INTERNAL, its tries are CLIENT spans below it, each with an id of its own."""
    call = make_call()
    tracing.start_call(call)
    one_try(tracing, call, 1, 503)
    one_try(tracing, call, 2, 200)
    tracing.end_call(call, 200, None)
    first, second, logical = exporter.get_finished_spans()
    assert (logical.name, logical.kind, logical.parent) == ("GET", SpanKind.INTERNAL, None)
    assert [span.kind for span in (first, second)] == [SpanKind.CLIENT] * 2
    assert [span.parent for span in (first, second)] == [logical.context] * 2
    assert len({span.context.span_id for span in (first, second, logical) if span.context}) == 3
    assert "http.request.resend_count" not in attributes(first)
    assert attributes(second)["http.request.resend_count"] == 1


def test_spans_hang_below_the_callers_span(
    tracing: Tracing, provider: TracerProvider, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """The caller's current span is the parent, it wins over headers that the application set, and stays current."""
    call = make_call(traceparent=TRACEPARENT)
    with provider.get_tracer("app").start_as_current_span("work") as work:
        tracing.start_call(call)
        headers = one_try(tracing, call)
        tracing.end_call(call, 200, None)
        assert trace.get_current_span() is work
    logical = exporter.get_finished_spans()[1]
    assert logical.parent == work.get_span_context()
    assert sent(headers)["traceparent"].split("-")[1] == f"{work.get_span_context().trace_id:032x}"


def test_headers_of_the_application_are_the_parent_where_no_span_is_current(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """A trace that arrives in the request's own headers is continued."""
    call = make_call(traceparent=TRACEPARENT, tracestate="a=b")
    tracing.start_call(call)
    headers = sent(one_try(tracing, call))
    tracing.end_call(call, 200, None)
    tried, logical = exporter.get_finished_spans()
    assert logical.parent is not None
    assert f"{logical.parent.span_id:016x}" == PARENT
    assert tried.context is not None
    assert headers["traceparent"] == f"00-{TRACE}-{tried.context.span_id:016x}-01"
    assert headers["tracestate"] == "a=b"


def test_each_try_sends_its_own_identity(tracing: Tracing, make_call: MakeCall) -> None:
    """Two tries share a trace and differ in their span; the call's own headers are not touched."""
    call = make_call()
    tracing.start_call(call)
    first, second = (sent(one_try(tracing, call, number))["traceparent"].split("-") for number in (1, 2))
    assert first[1] == second[1]
    assert first[2] != second[2]
    assert call.headers == []


def test_a_stale_tracestate_does_not_survive(tracing: Tracing, provider: TracerProvider, make_call: MakeCall) -> None:
    """`tracestate` belongs to its `traceparent` and goes with it; other headers stay, in order."""
    call = make_call(a="1", tracestate="stale=1", traceparent=TRACEPARENT, baggage="k=v", b="2")
    with provider.get_tracer("app").start_as_current_span("work"):
        tracing.start_call(call)
        headers = one_try(tracing, call)
    assert [name for name, _ in headers] == [b"a", b"baggage", b"b", b"traceparent"]


def test_baggage_of_the_caller_travels(tracing: Tracing, make_call: MakeCall) -> None:
    """The configured propagator sees the whole context of the caller."""
    token = context.attach(baggage.set_baggage("tenant", "blue"))
    try:
        call = make_call()
        tracing.start_call(call)
    finally:
        context.detach(token)
    assert sent(one_try(tracing, call))["baggage"] == "tenant=blue"


@pytest.mark.parametrize("provider_name", [None, "opentelemetry", "zipkin"])
def test_the_configured_propagator_is_used(
    tracing: Tracing, make_call: MakeCall, propagator: Callable[[object], None], provider_name: str | None
) -> None:
    """B3 goes out where B3 is configured, whatever the policy asks for besides."""
    propagator(B3MultiFormat())
    call = make_call()
    tracing.start_call(call, provider=provider_name)
    headers = sent(one_try(tracing, call))
    assert headers["x-b3-sampled"] == "1"
    assert ("traceparent" in headers) == (provider_name == "opentelemetry")


def test_b3_in_one_header(tracing: Tracing, make_call: MakeCall, propagator: Callable[[object], None]) -> None:
    """A B3 trace from the application is continued, and no header of the old identity is left."""
    propagator(B3SingleFormat())
    call = make_call(x_b3_traceid=TRACE, x_b3_spanid=PARENT, x_b3_sampled="1", x_b3_parentspanid=PARENT)
    tracing.start_call(call)
    headers = sent(one_try(tracing, call))
    assert list(headers) == ["b3"]
    assert headers["b3"].startswith(TRACE)


def test_a_zipkin_policy_sends_b3_beside_the_configured_format(tracing: Tracing, make_call: MakeCall) -> None:
    """Upstreams behind a zipkin sidecar find the B3 headers that they know, of the same span as the others."""
    call = make_call(x_b3_traceid=TRACE, x_b3_spanid=PARENT, x_b3_sampled="1")
    tracing.start_call(call, provider="zipkin")
    headers = sent(one_try(tracing, call))
    assert headers["x-b3-traceid"] == TRACE
    assert headers["traceparent"] == f"00-{TRACE}-{headers['x-b3-spanid']}-01"


def test_a_zipkin_policy_without_the_b3_package_warns(
    tracing: Tracing, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning names the package, comes once, and the call goes on in the configured format."""
    monkeypatch.setitem(sys.modules, "opentelemetry.propagators.b3", None)
    call = make_call()
    with pytest.warns(RuntimeWarning, match="opentelemetry-propagator-b3"):
        tracing.start_call(call, provider="zipkin")
    tracing.start_call(call, provider="zipkin")
    assert list(sent(one_try(tracing, call))) == ["traceparent"]


def test_a_good_call_leaves_the_status_unset(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """A status below 400 is told and is no error; the peer is told."""
    call = make_call()
    tracing.start_call(call)
    one_try(tracing, call, peer="10.0.0.1:8443")
    tracing.end_call(call, 200, None)
    for span in exporter.get_finished_spans():
        assert attributes(span)["http.response.status_code"] == 200
        assert "error.type" not in attributes(span)
        assert span.status.status_code is StatusCode.UNSET
    assert attributes(exporter.get_finished_spans()[0])["network.peer.address"] == "10.0.0.1"
    assert attributes(exporter.get_finished_spans()[0])["network.peer.port"] == 8443


@pytest.mark.parametrize("status", [404, 503])
def test_a_bad_status_is_an_error(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall, status: int
) -> None:
    """For a client 4xx and 5xx are errors, whose type is the status."""
    call = make_call()
    tracing.start_call(call)
    one_try(tracing, call, status=status)
    tracing.end_call(call, status, None)
    for span in exporter.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert attributes(span)["error.type"] == str(status)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (connect_failure("Connection refused"), "ambassador_lib.errors.UpstreamConnectError"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
    ],
)
def test_an_exception_is_an_error(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall, error: BaseException, name: str
) -> None:
    """Failures and cancellations end the spans and are named in them."""
    call = make_call()
    tracing.start_call(call)
    one_try(tracing, call, status=None, error=error)
    tracing.end_call(call, None, error)
    for span in exporter.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == name
        assert "http.response.status_code" not in attributes(span)


def test_a_body_that_breaks_keeps_its_status(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """A failure after the head tells both the status that was received and the error."""
    call = make_call()
    tracing.start_call(call)
    tracing.end_call(call, 200, ConnectionResetError("reset"))
    (span,) = exporter.get_finished_spans()
    assert attributes(span)["http.response.status_code"] == 200
    assert attributes(span)["error.type"] == "ConnectionResetError"
    assert span.status.description == "reset"


def test_the_story_of_the_call_is_told_in_envoys_tags(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """Flags, cluster and request id stand under the names of Envoy's span tags; the decorator names the span."""
    call = make_call(x_request_id="abc")
    tracing.start_call(call)
    call.flag("UF")
    call.flag("URX")
    call.report.cluster = "billing_upstream"
    call.route = CompiledRoute(Route(match=RouteMatch(prefix="/"), decorator=Decorator(operation="charge")))
    tracing.end_call(call, 503, None)
    (span,) = exporter.get_finished_spans()
    assert span.name == "charge"
    assert attributes(span)["response_flags"] == "UF,URX"
    assert attributes(span)["upstream_cluster.name"] == "billing_upstream"
    assert attributes(span)["guid:x-request-id"] == "abc"


def test_spans_end_once(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall, caplog: pytest.LogCaptureFixture
) -> None:
    """Ending again, or ending what never began, changes nothing."""
    call = make_call()
    tracing.start_call(call)
    span = tracing.start_try(call, Attempt(1), [])
    assert isinstance(span, Recording)
    tracing.end_try(span, 200, None)
    tracing.end_try(span, None, OSError())
    tracing.end_try(None, None, None)
    tracing.end_call(call, 200, None)
    tracing.end_call(call, None, OSError())
    assert [attributes(span)["http.response.status_code"] for span in exporter.get_finished_spans()] == [200, 200]
    assert not any("error.type" in attributes(span) for span in exporter.get_finished_spans())
    assert caplog.records == []


def test_timestamps_come_from_the_injected_clock(
    provider: TracerProvider, exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """Under virtual time a span lasts as long as the clock says."""
    clock = FakeClock()
    tracing = Tracing(tracer_provider=provider, clock=clock)
    call = make_call()
    tracing.start_call(call)
    clock.sleep(1.5)
    tracing.end_call(call, 200, None)
    (span,) = exporter.get_finished_spans()
    assert span.start_time == 1_700_000_000 * 10**9
    assert span.end_time == 1_700_000_001_500_000_000


def test_nothing_happens_without_an_sdk(make_call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an SDK there is no span, and trace headers of the application pass through untouched."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    tracing = Tracing()
    call = make_call(traceparent=TRACEPARENT, b3="0")
    tracing.start_call(call, provider="zipkin", sampled=False)
    assert not tracing.enabled
    assert call.span is None
    assert one_try(tracing, call) == call.headers
    tracing.end_call(call, 200, None)


def test_an_sdk_may_be_set_up_later(
    provider: TracerProvider, exporter: InMemorySpanExporter, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A global provider that appears after the stack was built is noticed with the next call."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    tracing = Tracing()
    before = tracing.enabled
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert (before, tracing.enabled) == (False, True)
    call = make_call()
    tracing.start_call(call)
    tracing.end_call(call, 200, None)
    assert len(exporter.get_finished_spans()) == 1


def test_a_provider_that_does_nothing_counts_as_none(make_call: MakeCall) -> None:
    """The API's own no-op provider switches tracing off."""
    tracing = Tracing(tracer_provider=trace.NoOpTracerProvider())
    call = make_call(traceparent=TRACEPARENT)
    tracing.start_call(call)
    assert (tracing.enabled, call.span) == (False, None)


def test_what_the_sdk_does_not_sample_is_passed_on_as_not_sampled(
    exporter: InMemorySpanExporter, make_call: MakeCall
) -> None:
    """The SDK's sampler decides, and upstreams are told of it."""
    tracing = Tracing(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    call = make_call()
    tracing.start_call(call)
    flags = sent(one_try(tracing, call))["traceparent"].rpartition("-")[2]
    assert int(flags, 16) & TraceFlags.SAMPLED == 0
    tracing.end_call(call, 200, None)
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("traceparent", [None, TRACEPARENT])
def test_what_the_policy_does_not_sample_is_passed_on_as_not_sampled(
    tracing: Tracing, exporter: InMemorySpanExporter, make_call: MakeCall, traceparent: str | None
) -> None:
    """The policy's decision turns an incoming `-01` into `-00`, keeps the trace, and records nothing (11.2)."""
    call = make_call(**({} if traceparent is None else {"traceparent": traceparent}))
    tracing.start_call(call, sampled=False)
    first, second = (sent(one_try(tracing, call, number))["traceparent"] for number in (1, 2))
    tracing.end_call(call, 200, None)
    assert first.endswith("-00")
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]
    assert traceparent is None or first.split("-")[1] == TRACE
    assert TraceContextTextMapPropagator().extract({"traceparent": first})
    assert exporter.get_finished_spans() == ()


def test_only_the_api_is_needed() -> None:
    """Importing the module brings in no SDK."""
    check = "import sys, ambassador_lib.telemetry.tracing; assert 'opentelemetry.sdk' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


@pytest.mark.parametrize(("sampled", "recorded"), [(None, 2), (False, 1)])
def test_a_mirrored_copy_is_traced_below_its_call(
    sampled: bool | None,
    recorded: int,
    tracing: Tracing,
    exporter: InMemorySpanExporter,
    make_call: MakeCall,
) -> None:
    """The copy's try has an identity of its own in the call's trace; not sampled, it is only an identity."""
    call, copy = make_call(), make_call()
    tracing.start_call(call)
    tracing.follow(call, copy, sampled=sampled)
    told = sent(one_try(tracing, copy))["traceparent"].split("-")
    tracing.end_call(call, 200, None)
    spans = exporter.get_finished_spans()
    assert len(spans) == recorded
    logical = spans[-1].context
    assert logical is not None
    assert told[1] == f"{logical.trace_id:032x}"
    assert int(told[3], 16) & TraceFlags.SAMPLED == (sampled is None)
    assert told[2] != f"{logical.span_id:016x}"


def test_a_copy_of_a_call_without_a_span_has_none(tracing: Tracing, make_call: MakeCall) -> None:
    """Nothing is traced that its call is not."""
    call, copy = make_call(), make_call()
    tracing.follow(call, copy, sampled=True)
    assert one_try(tracing, copy) == copy.headers
