"""Trace headers where no OpenTelemetry SDK is set up: what Envoy's tracer would send on, and nothing is recorded.

Upstreams rely on the headers whoever exports spans (semantics 11.2); each form is verified on Envoy 1.40.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..routing.mutations import set_lower_header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..call import Call, Header
    from ..policy.model.listener import Tracing
    from ..runtime.base import Random

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_READ_BY_DEFAULT = frozenset({b"traceparent", b"baggage"})


def tells_of_trace(headers: Iterable[Header]) -> bool:
    """Whether OpenTelemetry's default propagators would find something in them."""
    return any(name in _READ_BY_DEFAULT for name, _ in headers)


def forward(call: Call, tracing: Tracing, random: Random, *, sampled: bool, outbound: bool) -> None:
    """Write the headers of the policy's tracer in place of what the request brought.

    `sampled` is the policy's decision; a parent that is not sampled stays so. `outbound`: the listener's direction,
    by which zipkin begins a span of its own.
    """
    if tracing.provider == "opentelemetry":
        _w3c(call, random, sampled=sampled)
    elif tracing.provider == "zipkin":
        own_span = outbound or not tracing.shared_span_context or bool(tracing.spawn_upstream_span)
        _b3(call, tracing, random, sampled=sampled, own_span=own_span)


def _w3c(call: Call, random: Random, *, sampled: bool) -> None:
    parent = _TRACEPARENT.fullmatch(call.header(b"traceparent") or b"")
    state = b""
    if parent is None:
        trace = _hex(random, 128)
    else:
        trace, flags = parent[1], int(parent[3], 16)
        sampled = sampled and bool(flags & 1)
        state = b",".join(value for name, value in call.headers if name == b"tracestate")
    set_lower_header(call.headers, b"traceparent", b"00-%s-%s-%s" % (trace, _hex(random, 64), _flag(sampled)))
    set_lower_header(call.headers, b"tracestate", state)  # empty where there is none, as Envoy does


def _b3(call: Call, tracing: Tracing, random: Random, *, sampled: bool, own_span: bool) -> None:
    single = call.header(b"b3")
    if single is not None:
        parts = single.split(b"-")
        if own_span and len(parts) >= 2:
            said = parts[2] if len(parts) > 2 else _bit(sampled)
            set_lower_header(call.headers, b"b3", b"-".join((parts[0], _hex(random, 64), said, parts[1])))
        return
    trace, span, parent = call.header(b"x-b3-traceid"), call.header(b"x-b3-spanid"), None
    said_sampled = call.header(b"x-b3-sampled")
    w3c = _TRACEPARENT.fullmatch(call.header(b"traceparent") or b"") if tracing.w3c_propagation else None
    if (not trace or not span) and w3c is not None:
        trace, span, said_sampled = w3c[1], w3c[2], _bit(bool(int(w3c[3], 16) & 1))
    if trace and span:
        if own_span:
            parent, span = span, _hex(random, 64)
    else:
        span = _hex(random, 64)
        trace = _hex(random, 64) + span if tracing.trace_id_128bit else span
    said = _bit(sampled) if said_sampled is None else said_sampled
    _set_b3(call, trace, span, parent, said)
    if tracing.w3c_propagation:
        flag = _flag(said in (b"1", b"true"))
        set_lower_header(call.headers, b"traceparent", b"00-%s-%s-%s" % (trace.rjust(32, b"0"), span, flag))


def follow(copy: Call, tracing: Tracing, random: Random, *, sampled: bool | None) -> None:
    """Give a mirrored copy, which has its call's headers, a span below its call's; `sampled` None: as its call is."""
    own = _hex(random, 64)
    if tracing.provider == "zipkin":
        _follow_b3(copy, own, None if sampled is None else _bit(sampled))
    if tracing.provider == "opentelemetry" or tracing.w3c_propagation:
        parent = _TRACEPARENT.fullmatch(copy.header(b"traceparent") or b"")
        if parent is not None:
            flag = parent[3] if sampled is None else _flag(sampled)
            set_lower_header(copy.headers, b"traceparent", b"00-%s-%s-%s" % (parent[1], own, flag))


def _follow_b3(copy: Call, own: bytes, sampled: bytes | None) -> None:
    trace, span = copy.header(b"x-b3-traceid"), copy.header(b"x-b3-spanid")
    if trace and span:
        _set_b3(copy, trace, own, span, sampled or copy.header(b"x-b3-sampled") or b"1")
    single = (copy.header(b"b3") or b"").split(b"-")
    if len(single) >= 2:
        said = sampled or (single[2] if len(single) > 2 else b"1")
        set_lower_header(copy.headers, b"b3", b"-".join((single[0], own, said, single[1])))


def _set_b3(call: Call, trace: bytes, span: bytes, parent: bytes | None, sampled: bytes) -> None:
    set_lower_header(call.headers, b"x-b3-traceid", trace)
    set_lower_header(call.headers, b"x-b3-spanid", span)
    if parent is not None:
        set_lower_header(call.headers, b"x-b3-parentspanid", parent)
    set_lower_header(call.headers, b"x-b3-sampled", sampled)


def _hex(random: Random, bits: int) -> bytes:
    return f"{random.getrandbits(bits) | 1:0{bits // 4}x}".encode()


def _flag(sampled: bool) -> bytes:  # noqa: FBT001 - its only meaning
    return b"01" if sampled else b"00"


def _bit(sampled: bool) -> bytes:  # noqa: FBT001 - its only meaning
    return b"1" if sampled else b"0"
