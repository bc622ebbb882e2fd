"""Types of Envoy's that may stand in an `Any` and are refused, with messages that name what is missing."""

from __future__ import annotations

# By name: why an HTTP filter cannot be in force here. Without it calls would be let through, changed or answered
# otherwise, so none of them is passed over with a warning.
_HTTP_FILTERS = {
    "lua wasm golang ext_proc dynamic_modules": "is not supported: it runs code of the policy's own in the proxy",
    "ext_authz": "is not supported: another service decides on each call",
    "ratelimit rate_limit_quota": "is not supported: another service counts the calls; local_ratelimit counts its own",
    "jwt_authn oauth2 basic_auth api_key_auth rbac csrf cors geoip ip_tagging": "is not supported: it is about who "
    "calls, and here the caller is the application itself",
    "dynamic_forward_proxy": "is not supported: it finds hosts by the name that is called; name them in clusters",
    "original_src set_filter_state": "is not supported: there is no connection between the application and the policy",
    "grpc_web grpc_http1_bridge grpc_http1_reverse_bridge grpc_json_transcoder grpc_json_reverse_transcoder "
    "grpc_field_extraction connect_grpc_bridge proto_message_extraction proto_api_scrubber thrift_to_metadata": "is "
    "not supported: it translates between gRPC and other forms",
    "set_metadata header_to_metadata json_to_metadata": "is not supported: no metadata travels with a call here",
    "on_demand": "is not supported: nothing is discovered while a call waits",
    "composite match_delegate": "is not supported: filters are chosen by the levels of the route table alone",
    "stateful_session": "is not supported: it overrides the load balancer by a cookie or header",
    "bandwidth_limit": "is not supported yet: the fault filter's response_rate_limit slows single responses down",
    "cache cache_v2 file_system_buffer": "is not supported: nothing is kept of what passes through",
    "aws_lambda aws_request_signing gcp_authn": "is not supported: give the client an httpx.Auth that signs",
    "alternate_protocols_cache": "is for HTTP/3, which is not supported",
    "tap kill_request squash": "is not supported: it is for looking into the proxy itself",
    "health_check": "is not supported: nobody asks an application whether its own policy is well",
    "sxg checksum cdn_loop custom_response": "is not supported: it checks or changes responses in a way of its own",
}

# Patterns of full type names, and what to say of the types.
TYPE_REFUSALS: tuple[tuple[str, str], ...] = (
    *(
        (rf"envoy\.extensions\.filters\.http\.({name})\.", rf"HTTP filter envoy.filters.http.\1 {reason}")
        for names, reason in _HTTP_FILTERS.items()
        for name in names.split()
    ),
    (
        r"envoy\.extensions\.filters\.http\.(\w+)\.",
        r"HTTP filter envoy.filters.http.\1 is known to Envoy but not supported by ambassador_lib",
    ),
    (
        r"envoy\.extensions\.http\.injected_credentials\.(\w+)\.",
        r"credentials of the kind \1 are not supported: only generic",
    ),
    (
        r"envoy\.extensions\.compression\.(\w+)\.",
        r"encoding and decoding of \1 is not supported: only of gzip",
    ),
    (
        r"envoy\.extensions\.common\.matching\.v3\.(\w+)",
        "matcher trees are not supported: give each level of the route table its filters' settings",
    ),
    (
        r"envoy\.extensions\.filters\.(listener|udp)\.(\w+)\.",
        r"\1 filter \2 is not supported: no socket is listened on, a call's URL names the listener",
    ),
    (
        r"envoy\.extensions\.filters\.network\.(\w+)\.",
        r"network filter envoy.filters.network.\1 is not supported: only the HTTP connection manager",
    ),
    (r"envoy\.extensions\.transport_sockets\.quic\.", "HTTP/3 is not supported"),
    (
        r"envoy\.extensions\.transport_sockets\.(?:proxy_protocol|http_11_proxy|internal_upstream)\.v3\.(\w+)",
        r"\1 is for connections through another proxy, which are not supported",
    ),
    (
        r"envoy\.extensions\.transport_sockets\.starttls\.v3\.(\w+)",
        r"\1 upgrades a connection in the middle, which HTTP never asks for",
    ),
    (
        r"envoy\.extensions\.transport_sockets\.(\w+)\.v3\.(\w+)",
        r"transport socket \2 (\1) is not supported: only UpstreamTlsContext and RawBuffer",
    ),
    (
        r"envoy\.extensions\.retry\.host\.(\w+)\.",
        r"retry host predicate \1 is not supported: only previous_hosts, omit_canary_hosts and omit_host_metadata",
    ),
    (
        r"envoy\.extensions\.load_balancing_policies\.(\w+)\.",
        r"load balancing policy \1 is not supported: use one that lb_policy can name",
    ),
    (r"envoy\.extensions\.retry\.priority\.(\w+)\.", r"retry priority \1 is not supported: only previous_priorities"),
    (r"envoy\.extensions\.clusters\.(\w+)\.", r"clusters of type \1 are not supported yet"),
    (r"envoy\.extensions\.network\.dns_resolver\.(\w+)\.", r"the DNS resolver \1 is not supported"),
    (
        r"envoy\.(?:config\.trace\.v3|extensions\.tracers\.\w+\.v\w+)\.(\w+)",
        r"the tracer \1 is not supported: only OpenTelemetryConfig (W3C) and ZipkinConfig (B3)",
    ),
)

_TYPED_STRUCT = "free-form settings are not supported: name the type of the extension itself"
TYPES_ELSEWHERE = {"xds.type.v3.TypedStruct": _TYPED_STRUCT, "udpa.type.v1.TypedStruct": _TYPED_STRUCT}
"""Types that Envoy takes from other schemas than its own."""
