"""HTTP filters (semantics 9): the seam, fault, local_ratelimit, header_mutation, buffer."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, boot, cluster, direct, header, http_filter, retry, route, router, typed
from ..expect import Between, OneOf
from ..look import (
    body,
    details,
    flags,
    got,
    got_each,
    hits,
    lines,
    received,
    see,
    sent,
    sent_each,
    status,
    took,
)
from ..model import Scenario, Until, get, pause, post, times
from ..upstreams.replies import Reply

ALWAYS = {"numerator": 100}
ON = {"default_value": ALWAYS}
FAULT, LIMIT = "envoy.filters.http.fault", "envoy.filters.http.local_ratelimit"
MUTATION, BUFFER = "envoy.filters.http.header_mutation", "envoy.filters.http.buffer"
KINDS = {
    FAULT: "fault.v3.HTTPFault",
    LIMIT: "local_ratelimit.v3.LocalRateLimit",
    MUTATION: "header_mutation.v3.HeaderMutationPerRoute",
    BUFFER: "buffer.v3.BufferPerRoute",
}


def fault(status: int | None = None, **fields: Any) -> Document:
    abort = {} if status is None else {"abort": {"http_status": status, "percentage": ALWAYS}}
    return http_filter("fault", KINDS[FAULT], **abort, **fields)


def limit(tokens: int | None, *, every: str = "60s", **fields: Any) -> Document:
    bucket = {} if tokens is None else {"token_bucket": {"max_tokens": tokens, "fill_interval": every}}
    switched = {"filter_enabled": ON, "filter_enforced": ON}
    return http_filter("local_ratelimit", KINDS[LIMIT], stat_prefix="s", **bucket, **{**switched, **fields})


def changes(request: Any = (), response: Any = (), query: Any = ()) -> Document:
    fields = {"request_mutations": request, "response_mutations": response, "query_parameter_mutations": query}
    return {"mutations": {name: list(value) for name, value in fields.items() if value}}


def mutation(request: Any = (), response: Any = (), query: Any = (), **fields: Any) -> Document:
    return http_filter(
        "header_mutation", "header_mutation.v3.HeaderMutation", **changes(request, response, query), **fields
    )


def add(key: str, value: str, action: str | None = None) -> Document:
    return {"append": header(key, value, action)}


def query(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> Document:
    return {"append": {"record": {"key": key, "value": value}, "action": action}}


def buffer(size: int) -> Document:
    return http_filter("buffer", "buffer.v3.Buffer", max_request_bytes=size)


def limits(tokens: int, **fields: Any) -> Document:
    """What a level sets for the limit: nothing is switched on."""
    return sets(LIMIT, stat_prefix="s", token_bucket={"max_tokens": tokens, "fill_interval": "60s"}, **fields)


def sets(name: str, **fields: Any) -> Document:
    """What a level sets for a filter."""
    return {"typed_per_filter_config": {name: typed(f"extensions.filters.http.{KINDS[name]}", **fields)}}


def switch(name: str, **fields: Any) -> Document:
    return {"typed_per_filter_config": {name: typed("config.route.v3.FilterConfig", **fields)}}


def aborting(status: int) -> Document:
    return {"abort": {"http_status": status, "percentage": ALWAYS}}


def key(value: str, **fields: Any) -> Document:
    return {"actions": [{"generic_key": {"descriptor_value": value}}], **fields}


def counted(tokens: int, *entries: tuple[str, str], fill: int = 1) -> Document:
    pairs = [{"key": name, "value": value} if value else {"key": name} for name, value in entries]
    return {
        "entries": pairs,
        "token_bucket": {"max_tokens": tokens, "tokens_per_fill": fill, "fill_interval": "60s"},
    }


TWO = key("a", hits_addend={"number": 2})
SWITCHED = {"filter_enabled": ON, "filter_enforced": ON}
TELL = {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}
ADDED = {"response_headers_to_add": [header("x-by", "route")]}

CODEC = http_filter("upstream_codec", "upstream_codec.v3.UpstreamCodec")
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def each_try(*filters: Document) -> Document:
    """The field of a cluster that holds its filters."""
    http1 = {"explicit_http_config": {"http_protocol_options": {}}}
    fields = {**http1, "http_filters": [*filters, CODEC]}
    return {"typed_extension_protocol_options": {OPTIONS: typed(OPTIONS.removeprefix("envoy."), **fields)}}


SCENARIOS = [
    Scenario(
        "filter_of_a_cluster",
        "a cluster's filters run once a try, after the rewrite, on headers that all tries share",
        rule="9.1 upstream_http_filters",
        upstreams={"a": [503, 200]},
        policy=boot(
            [route(prefix="/p", prefix_rewrite="/z", retry_policy=retry("5xx", 1))],
            [cluster("a", **each_try(mutation([add("x-m", "%REQ(:path)% %REQ(x-envoy-attempt-count)%")])))],
            host={"include_request_attempt_count": True},
        ),
        calls=[get("/p")],
        expect=[status(200), hits(a=2), sent({"x-m": "/z 1"}, request=0), sent({"x-m": ["/z 1", "/z 2"]})],
    ),
    Scenario(
        "filter_of_a_router",
        "a router's upstream filters run for clusters that have none; the codec alone counts as some",
        rule="9.1 upstream_http_filters",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            [route("b", "/b"), route()],
            [cluster("a"), cluster("b", **each_try())],
            filters=[router(upstream_http_filters=[mutation([add("x-m", "router")]), CODEC])],
        ),
        calls=[get("/a"), get("/b")],
        expect=[status(200, 200), sent({"x-m": "router"}), sent({"x-m": None}, upstream="b")],
    ),
    Scenario(
        "filter_of_a_cluster_seen_by_retries",
        "what a cluster's filters leave of a response decides on the retry and reaches the application",
        rule="9.1 upstream_http_filters",
        upstreams={"a": Reply(200, {"x-gone": "1"})},
        policy=boot(
            [route(retry_policy=retry("retriable-headers", 1, retriable_headers=[{"name": "x-again"}]))],
            [cluster("a", **each_try(mutation(response=[add("x-again", "1"), {"remove": "x-gone"}])))],
        ),
        calls=[get()],
        expect=[status(200), hits(a=2), got({"x-again": "1", "x-gone": None})],
    ),
    Scenario(
        "filter_of_a_cluster_response_order",
        "a cluster's filters see its answers from the last to the first",
        rule="9.1 upstream_http_filters",
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    **each_try(
                        {**mutation(response=[add("x-by", "1")]), "name": "one"},
                        {**mutation(response=[add("x-by", "2")]), "name": "two"},
                    ),
                )
            ]
        ),
        calls=[get()],
        expect=[status(200), got({"x-by": ["2", "1"]})],
    ),
    Scenario(
        "filter_of_a_cluster_by_route",
        "a route sets something for a cluster's filters as for any other, and turns them off",
        rule="9.1 upstream_http_filters",
        policy=boot(
            [
                route(prefix="/more", more=sets(MUTATION, **changes([add("x-m", "route")]))),
                route(prefix="/off", more=switch(MUTATION, disabled=True)),
                route(),
            ],
            [cluster("a", **each_try(mutation([add("x-m", "filter")])))],
        ),
        calls=[get("/more"), get("/off"), get("/")],
        expect=[status(200, 200, 200), sent_each("x-m", ["filter", "route"], None, "filter")],
    ),
    Scenario(
        "filter_reply_is_the_routes_not_the_routers",
        "a filter's reply: the route's header mutations, but no retry, no service time, no attempt count",
        rule="9 local replies of filters",
        policy=boot(
            [route(more=ADDED, retry_policy=retry("5xx", 2))],
            filters=[fault(503)],
            host={"include_attempt_count_in_response": True},
        ),
        calls=[get()],
        expect=[
            status(503),
            hits(a=0),
            flags("FI"),
            details("fault_filter_abort"),
            got({"x-by": "route", "x-envoy-upstream-service-time": None, "x-envoy-attempt-count": None}),
        ],
    ),
    Scenario(
        "filter_reply_of_a_direct_response_route",
        "a route that answers by itself does not change a filter's reply, which comes first",
        rule="1.7, 9 order",
        policy=boot([direct(200, "x", **ADDED)], filters=[fault(418)]),
        calls=[get()],
        expect=[status(418), got({"x-by": None})],
    ),
    Scenario(
        "filter_runs_without_a_route",
        "filters see calls that no route claims; the 404 comes after them and passes them",
        rule="9 order",
        policy=boot(
            [route(prefix="/known")],
            filters=[
                fault(418, headers=[{"name": "x-abort", "present_match": True}]),
                mutation(response=[add("x-by", "filter")]),
            ],
        ),
        calls=[get("/"), get("/", {"x-abort": "1"})],
        expect=[status(404, 418), flags("NR", "FI"), got_each("x-by", "filter", "filter")],
    ),
    Scenario(
        "filter_reply_passes_later_filters",
        "a local reply passes all filters on its way back, framed, mutated by the route and with its code",
        rule="9 order",
        policy=boot(
            [route(more=ADDED)],
            filters=[
                fault(418),
                mutation(
                    response=[add("x-late", "%RESP(x-by)% %RESP(content-type)% %RESPONSE_CODE% %RESPONSE_FLAGS%")]
                ),
            ],
        ),
        calls=[get()],
        expect=[status(418), got({"x-late": "route text/plain 418 FI"})],
    ),
    Scenario(
        "filter_response_order",
        "responses pass the filters from the last to the first",
        rule="9 order",
        policy=boot(
            filters=[
                {**mutation(response=[add("x-by", "1")]), "name": "one"},
                {**mutation(response=[add("x-by", "2")]), "name": "two"},
            ]
        ),
        calls=[get()],
        expect=[status(200), got({"x-by": ["2", "1"]})],
    ),
    Scenario(
        "filter_431_passes_filters",
        "what is refused before there is a route passes the filters, too",
        rule="1.1 max_headers_count",
        policy=boot(filters=[mutation(response=[add("x-by", "filter")])]),
        calls=[get("/", {f"x-{n}": "1" for n in range(101)})],
        expect=[status(431), hits(a=0), got({"x-by": "filter"})],
    ),
    Scenario(
        "filter_disabled_until_a_level_enables_it",
        "disabled: true, until a level sets something for the filter, be it empty; the most specific level decides",
        rule="1.1 http_filters",
        policy=boot(
            [
                route(prefix="/empty", more=switch(FAULT, config={})),
                route(prefix="/own", more=sets(FAULT, **aborting(411))),
                route(prefix="/off", more=switch(FAULT, disabled=True)),
                route(),
            ],
            filters=[{**fault(410), "disabled": True}],
        ),
        calls=[get("/empty"), get("/own"), get("/off"), get("/")],
        expect=[status(410, 411, 200, 200)],
    ),
    Scenario(
        "filter_levels",
        "weighted cluster > route > virtual host; a virtual host's off is overruled by a route's empty config",
        rule="1.1 http_filters",
        policy=boot(
            [
                route(
                    None,
                    "/weight",
                    weighted_clusters={"clusters": [{"name": "a", "weight": 1, **sets(FAULT, **aborting(412))}]},
                    more=sets(FAULT, **aborting(411)),
                ),
                route(prefix="/on", more=switch(FAULT, config={})),
                route(),
            ],
            host=switch(FAULT, disabled=True),
            filters=[fault(410)],
        ),
        calls=[get("/weight"), get("/on"), get("/")],
        expect=[status(412, 410, 200)],
    ),
    Scenario(
        "filter_setting_of_another_name",
        "a setting counts by the filter's name; one that no filter has is taken and changes nothing",
        rule="1.1 http_filters",
        policy=boot([route(more=sets(FAULT, **aborting(411)))], filters=[{**fault(410), "name": "mine"}]),
        calls=[get()],
        expect=[status(410)],
    ),
    Scenario(
        "filter_asks_the_router",
        "x-envoy-* headers that a filter adds are honoured, whoever calls; the caller's own are not",
        rule="1.2, 9.8",
        upstreams={"a": [503, 503, 200]},
        policy=boot(filters=[mutation([add("x-envoy-retry-on", "5xx"), add("x-envoy-max-retries", "2")])]),
        calls=[get()],
        expect=[status(200), hits(a=3), sent({"x-envoy-retry-on": None, "x-envoy-max-retries": None})],
    ),
    Scenario(
        "filter_sets_the_timeout",
        "a filter may shorten the route's timeout by header",
        rule="1.2, 2",
        upstreams={"a": Reply(200, delay=1.0)},
        policy=boot(filters=[mutation([add("x-envoy-upstream-rq-timeout-ms", "150")])]),
        calls=[get()],
        expect=[status(504), flags("UT"), took(0.14, 0.8)],
    ),
    # --- fault -------------------------------------------------------------------------------------------------------
    Scenario(
        "fault_header_abort",
        "header_abort: 200 to 599, a percentage that can only lower, a gRPC status is a plain 200",
        rule="9.2 header_abort",
        policy=boot(filters=[fault(abort={"header_abort": {}, "percentage": ALWAYS})]),
        calls=[
            get("/", {"x-envoy-fault-abort-request": "429"}),
            get("/", {"x-envoy-fault-abort-request": "199"}),
            get("/", {"x-envoy-fault-abort-request": "429", "x-envoy-fault-abort-request-percentage": "0"}),
            get("/", {"x-envoy-fault-abort-grpc-request": "5"}),
        ],
        expect=[status(429, 200, 200, 200), hits(a=2), body("fault filter abort")],
    ),
    Scenario(
        "fault_grpc_abort",
        "grpc_status on a gRPC call: trailers only, with exactly this status",
        rule="9.2 abort.grpc_status",
        policy=boot(filters=[fault(abort={"grpc_status": 5, "percentage": ALWAYS})]),
        calls=[get("/", {"content-type": "application/grpc"})],
        expect=[
            status(200),
            hits(a=0),
            got({"grpc-status": "5", "grpc-message": "fault filter abort"}),
            flags("FI"),
        ],
    ),
    Scenario(
        "fault_delay_is_idle",
        "a delay that outlasts the stream's idle timeout ends with it",
        rule="2 stream_idle_timeout, 9.2",
        policy=boot(
            filters=[fault(delay={"fixed_delay": "3s", "percentage": ALWAYS})], manager={"stream_idle_timeout": "0.2s"}
        ),
        calls=[get()],
        expect=[status(504), hits(a=0), body("stream timeout"), flags("DI,SI"), took(0.19, 1.5)],
    ),
    Scenario(
        "fault_conditions",
        "upstream_cluster is the chosen one, downstream_nodes and headers must match as well",
        rule="9.2 upstream_cluster, downstream_nodes, headers",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            [route("b", "/b"), route()],
            [cluster("a"), cluster("b")],
            filters=[
                fault(
                    418,
                    upstream_cluster="b",
                    downstream_nodes=["n"],
                    headers=[{"name": "x-a", "string_match": {"exact": "1"}}],
                )
            ],
        ),
        calls=[
            get("/b", {"x-a": "1", "x-envoy-downstream-service-node": "n"}),
            get("/a", {"x-a": "1", "x-envoy-downstream-service-node": "n"}),
            get("/b", {"x-a": "2", "x-envoy-downstream-service-node": "n"}),
            get("/b", {"x-a": "1", "x-envoy-downstream-service-node": "m"}),
            get("/b", {"x-a": "1"}),
        ],
        expect=[status(418, 200, 200, 200, 200), hits(a=1, b=3)],
    ),
    Scenario(
        "fault_runtime",
        "runtime keys override percentage, duration and status",
        rule="9.2 runtime",
        policy=boot(
            filters=[fault(418, delay={"fixed_delay": "5s", "percentage": ALWAYS})],
            layered_runtime={
                "layers": [
                    {
                        "name": "l",
                        "static_layer": {
                            "fault.http.abort.http_status": 419,
                            "fault.http.delay.fixed_duration_ms": 200,
                            "fault.http.quiet.abort.abort_percent": 0,
                            "fault.http.quiet.delay.fixed_delay_percent": 0,
                        },
                    }
                ]
            },
        ),
        calls=[get(), get("/", {"x-envoy-downstream-service-cluster": "quiet"})],
        expect=[status(419, 200), flags("DI,FI", "-"), took(0.19, 2.0, 0), took(0.0, 0.18, 1)],
    ),
    Scenario(
        "fault_slow_response",
        "response_rate_limit: 20 KiB/s, outside the route's timeout",
        rule="9.2 response_rate_limit",
        upstreams={"a": Reply(200, body=b"x" * 10_240)},
        policy=boot(
            [route(timeout="0.25s")],
            filters=[fault(response_rate_limit={"fixed_limit": {"limit_kbps": 20}, "percentage": ALWAYS})],
        ),
        calls=[get()],
        expect=[
            status(200),
            took(0.38, 1.5),
            see("size", lambda run: len(run.outcomes[-1].body), 10_240),
        ],
    ),
    Scenario(
        "fault_slow_response_by_header",
        "header_limit: without the header, or with 0, nothing is slowed down",
        rule="9.2 response_rate_limit",
        upstreams={"a": Reply(200, body=b"x" * 10_240)},
        policy=boot(filters=[fault(response_rate_limit={"header_limit": {}, "percentage": ALWAYS})]),
        calls=[
            get("/", {"x-envoy-fault-throughput-response": "20"}),
            get(),
            get("/", {"x-envoy-fault-throughput-response": "0"}),
        ],
        expect=[status(200, 200, 200), took(0.38, 1.5, 0), took(0.0, 0.3, 1), took(0.0, 0.3, 2)],
    ),
    # --- local_ratelimit ---------------------------------------------------------------------------------------------
    Scenario(
        "limit_needs_its_switches",
        "filter_enabled and filter_enforced are 0 % unless set; without a bucket everything passes",
        rule="9.3 filter_enabled, filter_enforced",
        policy=boot(
            [
                route(
                    prefix="/enabled",
                    more=sets(
                        LIMIT,
                        stat_prefix="s",
                        token_bucket={"max_tokens": 1, "fill_interval": "60s"},
                        filter_enabled=ON,
                    ),
                ),
                route(
                    prefix="/nothing",
                    more=limits(1),
                ),
                route(),
            ],
            filters=[limit(None)],
        ),
        calls=[times(2, get("/enabled")), times(2, get("/nothing")), times(2, get("/"))],
        expect=[status(*[200] * 6), hits(a=6)],
    ),
    Scenario(
        "limit_headers_of_refusals",
        "response_headers_to_add come after the route's own and see nothing of the response; status below 400 is 429",
        rule="9.3 response_headers_to_add, status",
        policy=boot(
            [route(more=ADDED)],
            filters=[
                limit(
                    1,
                    status={"code": "OK"},
                    response_headers_to_add=[header("x-by", "limit%RESP(x-by)% %RESPONSE_CODE%")],
                )
            ],
        ),
        calls=[times(2, get())],
        expect=[status(200, 429), flags("-", "RL"), got({"x-by": ["route", "limit 0"]}), body("local_rate_limited")],
    ),
    Scenario(
        "limit_not_enforced_tells_the_upstream",
        "request_headers_to_add_when_not_enforced: only on what would have been refused",
        rule="9.3 request_headers_to_add_when_not_enforced",
        policy=boot(
            filters=[
                limit(
                    1,
                    filter_enforced={"default_value": {"numerator": 0}},
                    request_headers_to_add_when_not_enforced=[header("x-over", "%REQ(:path)%")],
                )
            ]
        ),
        calls=[times(2, get("/p"))],
        expect=[status(200, 200), sent_each("x-over", None, "/p")],
    ),
    Scenario(
        "limit_grpc_status",
        "a gRPC call is refused with 14, or 8 as resource exhausted",
        rule="9.3 rate_limited_as_resource_exhausted",
        policy=boot(
            [
                route(prefix="/8", more=limits(0, **SWITCHED, rate_limited_as_resource_exhausted=True)),
                route(),
            ],
            filters=[limit(0)],
        ),
        calls=[get("/8", {"content-type": "application/grpc"}), get("/", {"content-type": "application/grpc"})],
        expect=[status(200, 200), got_each("grpc-status", "8", "14"), flags("RL", "RL")],
    ),
    Scenario(
        "limit_descriptor_and_default",
        "a descriptor's bucket and the common one are both taken from; the one that refuses is told of",
        rule="9.3 descriptors",
        policy=boot(
            [route(prefix="/other"), route(rate_limits=[key("a")])],
            filters=[limit(2, descriptors=[counted(5, ("generic_key", "a"))], **TELL)],
        ),
        calls=[times(3, get()), get("/other")],
        expect=[
            status(200, 200, 429, 429),
            got_each("x-ratelimit-limit", "5", "5", "2", "2"),
            got_each("x-ratelimit-remaining", "4", "3", "0", "0"),
        ],
    ),
    Scenario(
        "limit_default_spared",
        "always_consume_default_token_bucket: false leaves the common bucket to calls without a descriptor",
        rule="9.3 always_consume_default_token_bucket",
        policy=boot(
            [route(prefix="/other"), route(rate_limits=[key("a")])],
            filters=[
                limit(1, descriptors=[counted(2, ("generic_key", "a"))], always_consume_default_token_bucket=False)
            ],
        ),
        calls=[times(3, get()), times(2, get("/other"))],
        expect=[status(200, 200, 429, 200, 429)],
    ),
    Scenario(
        "limit_slowest_first",
        "of several descriptors the bucket with the lowest rate is asked first and told of",
        rule="9.3 descriptors",
        policy=boot(
            [route(rate_limits=[key("a"), key("b")])],
            filters=[
                limit(
                    9, descriptors=[counted(5, ("generic_key", "a"), fill=5), counted(7, ("generic_key", "b"))], **TELL
                )
            ],
        ),
        calls=[get()],
        expect=[status(200), got({"x-ratelimit-limit": "7", "x-ratelimit-reset": "0"})],
    ),
    Scenario(
        "limit_of_the_virtual_host",
        "a virtual host's rate_limits count where the route has none, or includes them",
        rule="9.3 vh_rate_limits",
        policy=boot(
            [
                route(prefix="/own", rate_limits=[key("route")]),
                route(prefix="/both", rate_limits=[key("route")], include_vh_rate_limits=True),
                route(),
            ],
            host={"rate_limits": [key("host")]},
            filters=[
                limit(
                    99,
                    descriptors=[counted(9, ("generic_key", "route"), fill=9), counted(7, ("generic_key", "host"))],
                    **TELL,
                )
            ],
        ),
        calls=[get("/own"), get("/both"), get("/")],
        expect=[status(200, 200, 200), got_each("x-ratelimit-limit", "9", "7", "7")],
    ),
    Scenario(
        "limit_wildcard",
        "an entry without a value: a bucket for each value, the least recent one makes room",
        rule="9.3 max_dynamic_descriptors",
        policy=boot(
            [route(rate_limits=[{"actions": [{"request_headers": {"header_name": "x-u", "descriptor_key": "u"}}]}])],
            filters=[
                limit(99, descriptors=[counted(1, ("u", "")), counted(2, ("u", "vip"))], max_dynamic_descriptors=2)
            ],
        ),
        calls=[get("/", {"x-u": value}) for value in ["1", "1", "2", "2", "vip", "vip", "vip", "3", "3", "1"]],
        expect=[status(200, 429, 200, 429, 200, 200, 429, 200, 429, 200)],
    ),
    Scenario(
        "limit_wildcard_by_default",
        "unless set there are twenty such buckets: the twenty-first value takes the place of the least recent one",
        rule="9.3 max_dynamic_descriptors 20",
        policy=boot(
            [route(rate_limits=[{"actions": [{"request_headers": {"header_name": "x-u", "descriptor_key": "u"}}]}])],
            filters=[limit(99, descriptors=[counted(1, ("u", ""))])],
        ),
        calls=[get("/", {"x-u": str(value)}) for value in [*range(20), 0, 20, 1, 0]],
        # The second is forgotten when the last comes; the first was asked for since.
        expect=[status(*[200] * 20, 429, 200, 200, 429)],
    ),
    Scenario(
        "limit_entries_in_order",
        "entries must be exactly these, in this order; an action without a value drops the descriptor",
        rule="9.3 descriptors",
        policy=boot(
            [
                route(
                    rate_limits=[
                        {
                            "actions": [
                                {"request_headers": {"header_name": "x-u", "descriptor_key": "u"}},
                                {"remote_address": {}},
                            ]
                        }
                    ]
                )
            ],
            filters=[
                limit(
                    99,
                    descriptors=[
                        counted(1, ("remote_address", "127.0.0.1"), ("u", "1")),
                        counted(1, ("u", "2"), ("remote_address", "127.0.0.1")),
                    ],
                )
            ],
        ),
        calls=[*[get("/", {"x-u": value}) for value in "1122"], get(), get()],
        expect=[status(200, 200, 200, 429, 200, 200)],
    ),
    Scenario(
        "limit_hits_addend",
        "hits_addend counts in the filter's own rate_limits and not in a route's",
        rule="9.3 rate_limits",
        policy=boot(
            [
                route(
                    prefix="/own",
                    more=limits(9, **SWITCHED, rate_limits=[TWO], descriptors=[counted(3, ("generic_key", "a"))]),
                ),
                route(rate_limits=[TWO]),
            ],
            filters=[limit(9, descriptors=[counted(3, ("generic_key", "a"))])],
        ),
        calls=[times(2, get("/own")), times(4, get("/"))],
        expect=[status(200, 429, 200, 200, 200, 429)],
    ),
    Scenario(
        "limit_stage",
        "a filter looks at the rate_limits of its stage, and passes over those with a disable_key",
        rule="9.3 stage",
        policy=boot(
            [route(rate_limits=[key("a"), key("b", stage=1), key("c", stage=1, disable_key="k")])],
            filters=[
                limit(
                    9,
                    stage=1,
                    descriptors=[
                        counted(0, ("generic_key", "a")),
                        counted(1, ("generic_key", "b")),
                        counted(0, ("generic_key", "c")),
                    ],
                )
            ],
        ),
        calls=[times(2, get())],
        expect=[status(200, 429)],
    ),
    Scenario(
        "limit_needs_to_be_enabled",
        "filter_enforced alone limits nothing",
        rule="9.3 filter_enabled",
        policy=boot(
            filters=[
                http_filter(
                    "local_ratelimit",
                    KINDS[LIMIT],
                    stat_prefix="s",
                    token_bucket={"max_tokens": 1, "fill_interval": "60s"},
                    filter_enforced=ON,
                )
            ]
        ),
        calls=[times(3, get())],
        expect=[status(200, 200, 200)],
    ),
    Scenario(
        "limit_refill_in_parts",
        "four tokens in four seconds are one in each, not four at once; who is refused in between does not put it off",
        rule="9.3 refills continuously",
        policy=boot(filters=[limit(None, token_bucket={"max_tokens": 4, "tokens_per_fill": 4, "fill_interval": "4s"})]),
        calls=[times(4, get()), Until(get(), lambda outcome: outcome.status == 200)],
        expect=[
            status(*[200] * 5),
            see(
                "seconds until the next token",
                lambda run: round(run.outcomes[4].started - run.outcomes[0].started, 2),
                Between(0.5, 3.5),
            ),
        ],
    ),
    Scenario(
        "limit_no_more_than_the_bucket",
        "no more tokens come together than max_tokens, however long nobody asks",
        rule="9.3 up to max_tokens",
        policy=boot(filters=[limit(2, every="0.05s", enable_x_ratelimit_headers="DRAFT_VERSION_03")]),
        calls=[get(), pause(0.4), get()],
        expect=[status(200, 200), got_each("x-ratelimit-remaining", OneOf("1", "2"), OneOf("1", "2"))],
    ),
    Scenario(
        "limit_continuous_refill",
        "a token comes in bit by bit: 1 per 0.4 s",
        rule="9.3 token_bucket",
        policy=boot(filters=[limit(1, every="0.4s")]),
        calls=[times(2, get()), pause(0.5), get()],
        expect=[status(200, 429, 200)],
    ),
    # --- header_mutation ---------------------------------------------------------------------------------------------
    Scenario(
        "mutation_levels",
        "the filter's own first, then the most specific level; turned round by most_specific_header_mutations_wins",
        rule="9.8 header_mutation",
        policy=boot(
            [route(more=sets(MUTATION, **changes([add("x-by", "route")])))],
            host=sets(MUTATION, **changes([add("x-by", "host")])),
            table=sets(MUTATION, **changes([add("x-by", "table")])),
            filters=[mutation([add("x-by", "filter")])],
        ),
        calls=[get()],
        expect=[status(200), sent({"x-by": ["filter", "route", "host", "table"]})],
    ),
    Scenario(
        "mutation_levels_turned",
        "most_specific_header_mutations_wins: the most specific level comes last",
        rule="9.8 header_mutation",
        policy=boot(
            [route(more=sets(MUTATION, **changes([add("x-by", "route")])))],
            host=sets(MUTATION, **changes([add("x-by", "host")])),
            filters=[mutation([add("x-by", "filter")], most_specific_header_mutations_wins=True)],
        ),
        calls=[get()],
        expect=[status(200), sent({"x-by": ["filter", "host", "route"]})],
    ),
    Scenario(
        "mutation_actions",
        "the append actions, operators, joined headers, removal by pattern in lower case",
        rule="9.8 header_mutation",
        policy=boot(
            filters=[
                mutation(
                    [
                        add("x-a", "new", "ADD_IF_ABSENT"),
                        add("x-b", "new", "ADD_IF_ABSENT"),
                        add("x-c", "new", "OVERWRITE_IF_EXISTS"),
                        add("x-d", "new", "OVERWRITE_IF_EXISTS"),
                        add("x-e", "%REQ(x-a)%-%REQ(:path)%"),
                        add("accept", "z"),
                        {"remove_on_match": {"key_matcher": {"prefix": "x-r"}}},
                        {"remove_on_match": {"key_matcher": {"prefix": "X-S"}}},
                    ]
                )
            ]
        ),
        calls=[get("/p", {"x-a": "old", "x-c": "old", "accept": "y", "X-R1": "1", "X-S1": "1"})],
        expect=[
            status(200),
            sent(
                {
                    "x-a": "old",
                    "x-b": "new",
                    "x-c": "new",
                    "x-d": None,
                    "x-e": "old-/p",
                    "accept": "y,z",
                    "x-r1": None,
                    "x-s1": "1",
                }
            ),
        ],
    ),
    Scenario(
        "mutation_query",
        "query parameters come out decoded and sorted; values that are added are encoded",
        rule="9.8 query_parameter_mutations",
        policy=boot(
            filters=[
                mutation(
                    query=[
                        query("q", "v w&~*%%"),
                        query("a", "1", "ADD_IF_ABSENT"),
                        query("o", "9", "OVERWRITE_IF_EXISTS"),
                        {"remove": "gone"},
                    ]
                )
            ]
        ),
        calls=[get("/p"), get("/p?z&b=2&a=%41&gone=1&b=1"), get("/p?o=1&o=2&a")],
        expect=[
            status(200, 200, 200),
            lines(
                "GET /p?a=1&q=v%20w%26%7E*%25",
                "GET /p?a=A&b=2&b=1&q=v%20w%26%7E*%25&z=",
                "GET /p?a=&o=9&q=v%20w%26%7E*%25",
            ),
        ],
    ),
    Scenario(
        "mutation_before_the_rewrite",
        "the filter sees the original path; the router rewrites what it made of it",
        rule="1.7 order",
        policy=boot([route(prefix="/p", prefix_rewrite="/z")], filters=[mutation(query=[query("q", "1")])]),
        calls=[get("/p?x=1")],
        expect=[status(200), lines("GET /z?q=1&x=1"), sent({"x-envoy-original-path": "/p?q=1&x=1"})],
    ),
    # --- buffer ------------------------------------------------------------------------------------------------------
    Scenario(
        "buffer_sizes",
        "exactly the limit is fine, one byte more is 413; chunks become one body with a length",
        rule="9.8 buffer",
        policy=boot(filters=[buffer(10)]),
        calls=[
            post("/", b"x" * 10),
            post("/", b"x" * 11),
            post("/", None, chunks=[b"abc", b"def"]),
            post("/", None, chunks=[b"x" * 6, b"x" * 6]),
        ],
        expect=[
            status(200, 413, 200, 413),
            hits(a=2),
            received("x" * 10, "abcdef"),
            sent_each("content-length", "10", "6"),
            details("via_upstream", "request_payload_too_large", "via_upstream", "request_payload_too_large"),
        ],
    ),
    *(
        Scenario(
            f"buffer_and_{name}",
            "what bounds the stream bounds the taking in of the body",
            rule="2, 9.8 buffer",
            policy=boot([route(**action)], filters=[buffer(1000)], manager=bound),
            calls=[post("/", None, chunks=[b"x"] * 6, pause=0.15)],
            expect=[status(408), hits(a=0), details(why)],
        )
        for name, bound, action, why in (
            ("request_timeout", {"request_timeout": "0.4s"}, {}, "request_overall_timeout"),
            (
                "max_stream_duration",
                {},
                {"max_stream_duration": {"max_stream_duration": "0.4s"}},
                "max_duration_timeout",
            ),
            ("idle_timeout", {"stream_idle_timeout": "0.1s"}, {}, "stream_idle_timeout"),
        )
    ),
    Scenario(
        "buffer_per_route",
        "a route turns the filter off, or sets another limit",
        rule="9.8 buffer",
        policy=boot(
            [
                route(prefix="/off", more=sets(BUFFER, disabled=True)),
                route(prefix="/more", more=sets(BUFFER, buffer={"max_request_bytes": 30})),
                route(),
            ],
            filters=[buffer(10)],
        ),
        calls=[post(path, b"x" * 20) for path in ("/off", "/more", "/")] + [post("/more", b"x" * 31)],
        expect=[status(200, 200, 413, 413), hits(a=2)],
    ),
    Scenario(
        "buffer_makes_retries_possible",
        "a body beyond the connection's limit is retried where the buffer filter holds it",
        rule="3.7, 9.8 buffer",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry("5xx", 1))], filters=[buffer(3_000_000)]),
        calls=[post("/", b"x" * 2_000_000)],
        expect=[status(200), hits(a=2)],
    ),
]
