"""Trace headers without an SDK, as Envoy 1.40's tracers write them (semantics 11.2)."""

from __future__ import annotations

import re

import httpx
import pytest

from ambassador_lib.call import Call
from ambassador_lib.policy.model import Tracing
from ambassador_lib.telemetry.identity import follow, forward
from ambassador_lib.testing import FakeRandom

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEX16, HEX32 = "[0-9a-f]{16}", "[0-9a-f]{32}"
B3 = {"x-b3-traceid": "00000000000000aa", "x-b3-spanid": "00000000000000bb", "x-b3-sampled": "1"}
KEPT = (B3["x-b3-traceid"], B3["x-b3-spanid"], None, "1")


def sent(tracing: Tracing, headers: dict[str, str], *, sampled: bool = True, outbound: bool = False) -> dict[str, str]:
    call = Call(httpx.Request("GET", "http://svc.test/"), 0.0)
    call.headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    forward(call, tracing, FakeRandom(), sampled=sampled, outbound=outbound)
    return {name.decode(): value.decode() for name, value in call.headers}


@pytest.mark.parametrize(
    ("headers", "sampled", "traceparent", "tracestate"),
    [
        ({}, True, f"00-{HEX32}-{HEX16}-01", ""),
        ({}, False, f"00-{HEX32}-{HEX16}-00", ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, True, f"00-{TRACE}-{HEX16}-01", ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, False, f"00-{TRACE}-{HEX16}-00", ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-00"}, True, f"00-{TRACE}-{HEX16}-00", ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}, True, f"00-{TRACE}-{HEX16}-01", "a=b"),
        ({"traceparent": "nonsense", "tracestate": "a=b"}, True, f"00-{HEX32}-{HEX16}-01", ""),
    ],
)
def test_opentelemetry_writes_both_w3c_headers(
    headers: dict[str, str], sampled: bool, traceparent: str, tracestate: str
) -> None:
    """A new span in the parent's trace or a new one; sampled only where parent and policy say so."""
    found = sent(Tracing(provider="opentelemetry"), headers, sampled=sampled)
    assert re.fullmatch(traceparent, found["traceparent"])
    assert SPAN not in found["traceparent"]
    assert found["tracestate"] == tracestate


def b3(found: dict[str, str]) -> tuple[str | None, ...]:
    return tuple(found.get(f"x-b3-{name}") for name in ("traceid", "spanid", "parentspanid", "sampled"))


def test_zipkin_joins_the_callers_span() -> None:
    """Not outbound: the same span goes on; a trace of its own begins with one id for trace and span."""
    assert b3(sent(Tracing(provider="zipkin"), B3)) == KEPT
    trace, span, parent, sampled = b3(sent(Tracing(provider="zipkin"), {}, sampled=False))
    assert trace is not None
    assert re.fullmatch(HEX16, trace)
    assert (span, parent, sampled) == (trace, None, "0")


@pytest.mark.parametrize(
    ("tracing", "outbound"),
    [
        (Tracing(provider="zipkin"), True),
        (Tracing(provider="zipkin", shared_span_context=False), False),
        (Tracing(provider="zipkin", spawn_upstream_span=True), False),
    ],
)
def test_zipkin_begins_a_span_of_its_own(tracing: Tracing, outbound: bool) -> None:
    """An outbound listener, no shared span, or spans of the upstream's: a new id, with the old one as its parent."""
    trace, span, parent, sampled = b3(sent(tracing, B3, outbound=outbound))
    assert (trace, parent, sampled) == (B3["x-b3-traceid"], B3["x-b3-spanid"], "1")
    assert span not in (None, parent)
    single = sent(tracing, {"b3": "aa-bb-1"}, outbound=outbound)["b3"]
    assert re.fullmatch(f"aa-{HEX16}-1-bb", single)


def test_zipkin_leaves_a_single_b3_header() -> None:
    """In one span with the caller it goes on as it is."""
    assert sent(Tracing(provider="zipkin"), {"b3": "aa-bb-0"}) == {"b3": "aa-bb-0"}


def test_zipkin_may_have_long_ids() -> None:
    """Source: `trace_id_128bit`; the span is its lower half."""
    trace, span, _, _ = b3(sent(Tracing(provider="zipkin", trace_id_128bit=True), {}))
    assert trace is not None
    assert re.fullmatch(HEX32, trace)
    assert trace[16:] == span


def test_zipkin_may_speak_w3c_too() -> None:
    """Source: `trace_context_option`: a `traceparent` is read where there is no B3, and always written."""
    tracing = Tracing(provider="zipkin", w3c_propagation=True)
    found = sent(tracing, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert b3(found) == (TRACE, SPAN, None, "1")
    assert found["traceparent"] == f"00-{TRACE}-{SPAN}-01"
    found = sent(tracing, B3)
    assert found["traceparent"] == f"00-{'0' * 16}{B3['x-b3-traceid']}-{B3['x-b3-spanid']}-01"


def test_what_the_request_says_of_sampling_counts() -> None:
    """`x-b3-sampled` alone is kept; without it the policy's decision is told."""
    assert sent(Tracing(provider="zipkin"), {"x-b3-sampled": "0"})["x-b3-sampled"] == "0"


def test_without_a_provider_nothing_is_touched() -> None:
    """Sampling without a tracer only marks the request's id."""
    assert sent(Tracing(), B3) == B3


@pytest.mark.parametrize(("sampled", "flag"), [(None, "1"), (True, "1"), (False, "0")])
def test_a_mirrored_copy_has_a_span_below_its_calls(sampled: bool | None, flag: str) -> None:
    """The trace stays, the span is the copy's own, and zipkin names the call's as its parent."""
    copy = Call(httpx.Request("GET", "http://svc.test/"), 0.0)
    told = {**B3, "traceparent": f"00-{TRACE}-{SPAN}-01", "b3": f"{TRACE}-{SPAN}-1"}
    copy.headers = [(name.encode(), value.encode()) for name, value in told.items()]
    follow(copy, Tracing(provider="zipkin", w3c_propagation=True), FakeRandom(), sampled=sampled)
    found = {name.decode(): value.decode() for name, value in copy.headers}
    assert re.fullmatch(f"00-{TRACE}-(?!{SPAN}){HEX16}-0{flag}", found["traceparent"])
    assert re.fullmatch(f"{TRACE}-(?!{SPAN}){HEX16}-{flag}-{SPAN}", found["b3"])
    trace, span, parent, said = b3(found)
    assert (trace, parent, said) == (B3["x-b3-traceid"], B3["x-b3-spanid"], flag)
    assert span not in (None, parent)


def test_a_copy_of_a_call_without_an_identity_gets_none() -> None:
    """What the call does not say of its trace, its copy does not say either."""
    for provider in ("zipkin", "opentelemetry", None):
        copy = Call(httpx.Request("GET", "http://svc.test/"), 0.0)
        copy.headers = []
        follow(copy, Tracing(provider=provider), FakeRandom(), sampled=True)
        assert copy.headers == []
