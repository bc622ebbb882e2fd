"""Request ids and trace headers where `tracing` is set (semantics 11.1, 11.2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, route, typed
from ..expect import Re
from ..look import got_each, sent_each
from ..model import Scenario, get

Document = dict[str, Any]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
REFUSED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
B3 = {"x-b3-traceid": "00000000000000aa", "x-b3-spanid": "00000000000000bb", "x-b3-sampled": "1"}
HEX = "[0-9a-f]{16}"
_GRPC = {"envoy_grpc": {"cluster_name": "collector"}}
OTEL = {
    "name": "otel",
    "typed_config": typed("config.trace.v3.OpenTelemetryConfig", grpc_service=_GRPC, service_name="s"),
}
NONE = {"random_sampling": {"value": 0}}
DECORATED = {"decorator": {"operation": "op"}}
UUID_CONFIG = "extensions.request_id.uuid.v3.UuidRequestIdConfig"


def identity(reason: str) -> Re:
    """An id with the reason of its trace in it: 4 none, 9 sampled, a forced, b the client's."""
    return Re(f"[0-9a-f]{{8}}-[0-9a-f]{{4}}-{reason}[0-9a-f]{{3}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}")


def parent(trace: str, flags: str) -> Re:
    return Re(f"00-{trace}-{HEX}-{flags}")


def zipkin(**fields: Any) -> Document:
    config = {"collector_cluster": "collector", "collector_endpoint": "/", "collector_endpoint_version": "HTTP_JSON"}
    return {"name": "zipkin", "typed_config": typed("config.trace.v3.ZipkinConfig", **config, **fields)}


def _scenario(
    name: str,
    about: str,
    tracing: Document,
    calls: list[Document],
    *looks: Any,
    direction: str = "",
    more: Document | None = None,
    **manager: Any,
) -> Scenario:
    clusters = [cluster("a"), cluster("collector", endpoints=[])]
    policy = boot([route("a", more=more)], clusters, manager={"tracing": tracing, **manager})
    if direction:
        policy["static_resources"]["listeners"][0]["traffic_direction"] = direction
    calls_made = [get("/", headers) for headers in calls]
    return Scenario(f"tracing_{name}", about, rule="11.2", policy=policy, calls=calls_made, expect=list(looks))


ANY = "[0-9a-f]{32}"

SCENARIOS = [
    _scenario(
        "otel_headers",
        "opentelemetry: a new span in the caller's trace; -00 stays; tracestate is always there",
        {"provider": OTEL},
        [{}, PARENT, REFUSED, {**PARENT, "tracestate": "a=b"}, {**PARENT, "x-request-id": "abc"}],
        sent_each(
            "traceparent",
            parent(ANY, "01"),
            parent(TRACE, "01"),
            parent(TRACE, "00"),
            parent(TRACE, "01"),
            parent(TRACE, "00"),
        ),
        sent_each("tracestate", "", "", "", "a=b", ""),
        sent_each("x-request-id", *[identity("9")] * 4, "abc"),
    ),
    _scenario(
        "not_sampled",
        "what the policy does not sample is -00, whatever the caller says, and 4 in its id",
        {"provider": OTEL, **NONE},
        [{}, PARENT],
        sent_each("traceparent", parent(ANY, "00"), parent(TRACE, "00")),
        sent_each("x-request-id", identity("4"), identity("4")),
    ),
    _scenario(
        "without_provider",
        "without a provider trace headers pass, and the id is marked all the same",
        {},
        [PARENT, {}],
        sent_each("traceparent", PARENT["traceparent"], None),
        sent_each("x-request-id", identity("9"), identity("9")),
    ),
    _scenario(
        "forced",
        "the client's wish comes before force, which comes before chance; a forced id is returned",
        {"provider": OTEL, **NONE},
        [
            {"x-envoy-force-trace": "true"},
            {"x-client-trace-id": "x"},
            {"x-client-trace-id": "x", "x-envoy-force-trace": "true"},
        ],
        sent_each("x-request-id", identity("a"), identity("b"), identity("b")),
        got_each("x-request-id", identity("a"), None, identity("b")),
        **INTERNAL,
    ),
    _scenario(
        "by_route",
        "a route's tracing stands in place of the listener's: unset is all",
        {"provider": OTEL, **NONE},
        [{}],
        sent_each("x-request-id", identity("9")),
        more={"tracing": {}},
    ),
    _scenario(
        "by_route_none",
        "a route may switch sampling off",
        {"provider": OTEL},
        [{}],
        sent_each("x-request-id", identity("4")),
        more={"tracing": {"random_sampling": {"numerator": 0}}},
    ),
    _scenario(
        "reason_not_packed",
        "pack_trace_reason: false leaves the id alone",
        {"provider": OTEL},
        [{}],
        sent_each("x-request-id", identity("4")),
        request_id_extension={"typed_config": typed(UUID_CONFIG, pack_trace_reason=False)},
    ),
    _scenario(
        "not_by_id",
        "use_request_id_for_trace_sampling: false samples what has no UUID",
        {"provider": OTEL},
        [{"x-request-id": "abc"}],
        sent_each("traceparent", parent(ANY, "01")),
        request_id_extension={"typed_config": typed(UUID_CONFIG, use_request_id_for_trace_sampling=False)},
    ),
    _scenario(
        "zipkin_shared",
        "zipkin joins the caller's span; a single b3 header passes",
        {"provider": zipkin()},
        [B3, {"b3": "00000000000000aa-00000000000000bb-1"}, {}],
        sent_each("x-b3-traceid", B3["x-b3-traceid"], None, Re(HEX)),
        sent_each("x-b3-spanid", B3["x-b3-spanid"], None, Re(HEX)),
        sent_each("x-b3-sampled", "1", None, "1"),
        sent_each("b3", None, "00000000000000aa-00000000000000bb-1", None),
    ),
    _scenario(
        "zipkin_outbound",
        "an outbound listener begins a span of its own below the caller's",
        {"provider": zipkin()},
        [B3, {"b3": "00000000000000aa-00000000000000bb-1"}],
        sent_each("x-b3-parentspanid", B3["x-b3-spanid"], None),
        sent_each("x-b3-traceid", B3["x-b3-traceid"], None),
        sent_each("b3", None, Re(f"00000000000000aa-{HEX}-1-00000000000000bb")),
        direction="OUTBOUND",
    ),
    _scenario(
        "zipkin_long",
        "trace_id_128bit: the trace has the length of W3C's",
        {"provider": zipkin(trace_id_128bit=True)},
        [{}],
        sent_each("x-b3-traceid", Re(ANY)),
        sent_each("x-b3-spanid", Re(HEX)),
    ),
    _scenario(
        "zipkin_w3c",
        "USE_B3_WITH_W3C_PROPAGATION reads traceparent where there is no B3, and writes both",
        {"provider": zipkin(trace_context_option="USE_B3_WITH_W3C_PROPAGATION")},
        [PARENT],
        sent_each("x-b3-traceid", TRACE),
        sent_each("x-b3-spanid", SPAN),
        sent_each("traceparent", PARENT["traceparent"]),
    ),
    _scenario(
        "zipkin_w3c_of_its_own",
        "a trace that begins here, or came as B3, is told in both forms as well",
        {"provider": zipkin(trace_context_option="USE_B3_WITH_W3C_PROPAGATION")},
        [{}, B3],
        sent_each("traceparent", parent(f"0{{16}}{HEX}", "01"), f"00-{'0' * 30}aa-00000000000000bb-01"),
        sent_each("x-b3-traceid", Re(HEX), "00000000000000aa"),
    ),
    _scenario(
        "decided_before",
        "what an earlier hop wrote into the id is kept, whatever the policy would decide",
        NONE,
        [{"x-request-id": f"00000000-0000-{reason}000-8000-000000000000"} for reason in "9ab4"],
        sent_each("x-request-id", *[f"00000000-0000-{reason}000-8000-000000000000" for reason in "9ab4"]),
    ),
    _scenario(
        "decorator",
        "not outbound: the operation is told to the caller, unless the request names its own",
        {"provider": OTEL},
        [{}, {"x-envoy-decorator-operation": "x"}],
        got_each("x-envoy-decorator-operation", "op", None),
        sent_each("x-envoy-decorator-operation", None, None),
        more=DECORATED,
    ),
    _scenario(
        "decorator_outbound",
        "outbound: the operation is told to the upstream",
        {"provider": OTEL},
        [{}, {"x-envoy-decorator-operation": "x"}],
        got_each("x-envoy-decorator-operation", None, None),
        sent_each("x-envoy-decorator-operation", "op", "op"),
        direction="OUTBOUND",
        more=DECORATED,
    ),
    _scenario(
        "decorator_not_propagated",
        "outbound without propagate: the request's own name goes on",
        {"provider": OTEL},
        [{"x-envoy-decorator-operation": "x"}],
        sent_each("x-envoy-decorator-operation", "x"),
        direction="OUTBOUND",
        more={"decorator": {"operation": "op", "propagate": False}},
    ),
]
