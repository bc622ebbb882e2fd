"""Fields of routes, virtual hosts and tables that are seldom set, each with what it does (semantics 1.5, 1.6, 9.3)."""

from __future__ import annotations

import base64
from typing import Any

from ..bootstrap import INTERNAL, Document, boot, cluster, direct, header, retry, route
from ..expect import Re
from ..look import bodies, body, flags, got, hits, sent, sent_each, status
from ..model import Scenario, get, post
from ..upstreams.replies import Reply
from .filters import counted, limit
from .tracing import NONE, OTEL, identity

REFUSED_ONCE = [503, 200]


def _conditions(**conditions: Document) -> list[Document]:
    """Routes by a condition on the header `x-v`; each answers with its name."""
    return [
        {
            "match": {"prefix": "/", "headers": [{"name": "x-v", **condition}]},
            "direct_response": {"status": 200, "body": {"inline_string": name}},
        }
        for name, condition in conditions.items()
    ]


def _descriptor(name: str, about: str, action: Document, entry: tuple[str, str], *calls: Any, expect: Any) -> Scenario:
    """A request that makes the descriptor is refused, another is not."""
    return Scenario(
        f"limit_by_{name}",
        about,
        rule="9.3 actions",
        policy=boot(
            [route(rate_limits=[{"actions": [action]}])],
            filters=[limit(99, descriptors=[counted(0, entry)])],
            manager=INTERNAL,
        ),
        calls=list(calls),
        expect=[status(*expect)],
    )


def _no_repeat(name: str, place: str, expected: list[int], **policy: Any) -> Scenario:
    return Scenario(
        f"body_too_large_for_{name}",
        f"a body larger than the {place}'s limit is not sent again",
        rule="3.8 body buffering",
        upstreams={"a": {"/4": REFUSED_ONCE, "/5": REFUSED_ONCE}},
        policy=boot([route(retry_policy=retry(), more=policy.pop("more", None))], **policy),
        calls=[post("/4", b"1234"), post("/5", b"12345")],
        expect=[status(*expected), hits(a=3)],
    )


LIMITS = [
    _no_repeat("per_request_limit_of_route", "route", [200, 503], more={"per_request_buffer_limit_bytes": 4}),
    _no_repeat("per_request_limit_of_host", "virtual host", [200, 503], host={"per_request_buffer_limit_bytes": 4}),
    _no_repeat("limit_of_host", "virtual host", [200, 503], host={"request_body_buffer_limit": 4}),
]

ACTIONS = [
    _descriptor(
        "source_cluster",
        "source_cluster is the cluster of the node",
        {"source_cluster": {}},
        ("source_cluster", "parity"),
        get(),
        expect=[429],
    ),
    _descriptor(
        "destination_cluster",
        "destination_cluster is the cluster of the route",
        {"destination_cluster": {}},
        ("destination_cluster", "a"),
        get(),
        expect=[429],
    ),
    _descriptor(
        "query_parameter",
        "query_parameters: the value of one, by the name that is wanted",
        {"query_parameters": {"query_parameter_name": "q", "descriptor_key": "k"}},
        ("k", "1"),
        get("/?q=1"),
        get("/?q=2"),
        get("/"),
        expect=[429, 200, 200],
    ),
    _descriptor(
        "header_value",
        "header_value_match with expect_match false: an entry where the header does not match",
        {
            "header_value_match": {
                "descriptor_key": "k",
                "descriptor_value": "v",
                "expect_match": False,
                "headers": [{"name": "x-u", "string_match": {"exact": "1"}}],
            }
        },
        ("k", "v"),
        get("/", {"x-u": "1"}),
        get("/", {"x-u": "2"}),
        expect=[200, 429],
    ),
    _descriptor(
        "query_parameter_value",
        "query_parameter_value_match with expect_match false: an entry where the parameter does not match",
        {
            "query_parameter_value_match": {
                "descriptor_key": "k",
                "descriptor_value": "v",
                "expect_match": False,
                "query_parameters": [{"name": "q", "string_match": {"exact": "1"}}],
            }
        },
        ("k", "v"),
        get("/?q=1"),
        get("/?q=2"),
        expect=[200, 429],
    ),
    _descriptor(
        "masked_address",
        "masked_remote_address: the range that the caller is in",
        {"masked_remote_address": {"v4_prefix_mask_len": 8}},
        ("masked_remote_address", "127.0.0.0/8"),
        get(),
        expect=[429],
    ),
    _descriptor(
        "generic_key_of_other_name",
        "generic_key under a name of its own",
        {"generic_key": {"descriptor_key": "k", "descriptor_value": "v"}},
        ("k", "v"),
        get(),
        expect=[429],
    ),
    Scenario(
        "limit_by_masked_address_six",
        "masked_remote_address: the range of an IPv6 caller, as x-forwarded-for tells it",
        rule="9.3 actions",
        policy=boot(
            [route(rate_limits=[{"actions": [{"masked_remote_address": {"v6_prefix_mask_len": 32}}]}])],
            filters=[limit(99, descriptors=[counted(0, ("masked_remote_address", "2001:db8::/32"))])],
            manager={"use_remote_address": False},
        ),
        calls=[get("/", {"x-forwarded-for": "2001:db8:1::1"}), get("/", {"x-forwarded-for": "2001:db9::1"})],
        expect=[status(429, 200)],
    ),
    Scenario(
        "limit_skip_if_absent",
        "skip_if_absent: what is not there is left out of the descriptor, which counts all the same",
        rule="9.3 actions",
        policy=boot(
            [
                route(
                    rate_limits=[
                        {
                            "actions": [
                                {"generic_key": {"descriptor_value": "g"}},
                                {
                                    "request_headers": {
                                        "header_name": "x-u",
                                        "descriptor_key": "u",
                                        "skip_if_absent": True,
                                    }
                                },
                                {
                                    "query_parameters": {
                                        "query_parameter_name": "q",
                                        "descriptor_key": "q",
                                        "skip_if_absent": True,
                                    }
                                },
                            ]
                        }
                    ]
                )
            ],
            filters=[limit(99, descriptors=[counted(0, ("generic_key", "g"))])],
        ),
        calls=[get(), get("/?q=1"), get("/", {"x-u": "1"})],
        expect=[status(429, 200, 200)],
    ),
]

SCENARIOS = [
    Scenario(
        "match_header_by_older_fields",
        "exact_match, prefix_match, suffix_match, contains_match and safe_regex_match of a header's condition",
        rule="1.5 headers, deprecated forms",
        policy=boot(
            [
                *_conditions(
                    exact={"exact_match": "one"},
                    prefix={"prefix_match": "pre"},
                    suffix={"suffix_match": "end"},
                    contains={"contains_match": "mid"},
                    regex={"safe_regex_match": {"regex": "[0-9]+"}},
                ),
                direct(200, "none"),
            ]
        ),
        calls=[get("/", {"x-v": value}) for value in ("one", "ones", "prefix", "the end", "a mid b", "42", "42a")],
        expect=[bodies("exact", "none", "prefix", "suffix", "contains", "regex", "none")],
    ),
    Scenario(
        "headers_removed_on_every_level",
        "request_headers_to_remove and response_headers_to_remove of the table, the virtual host and the weight",
        rule="1.6 header mutation",
        upstreams={"a": Reply(headers={f"x-{name}": "1" for name in ("table", "host", "weight", "stays")})},
        policy=boot(
            [
                route(
                    None,
                    weighted_clusters={
                        "clusters": [
                            {
                                "name": "a",
                                "weight": 1,
                                "request_headers_to_remove": ["x-weight"],
                                "response_headers_to_remove": ["x-weight"],
                            }
                        ]
                    },
                )
            ],
            table={"request_headers_to_remove": ["x-table"], "response_headers_to_remove": ["x-table"]},
            host={"request_headers_to_remove": ["x-host"], "response_headers_to_remove": ["x-host"]},
        ),
        calls=[get("/", {f"x-{name}": "1" for name in ("table", "host", "weight", "stays")})],
        expect=[
            sent({"x-table": None, "x-host": None, "x-weight": None, "x-stays": "1"}),
            got({"x-table": None, "x-host": None, "x-weight": None, "x-stays": "1"}),
        ],
    ),
    Scenario(
        "header_appended_by_older_field",
        "append false replaces the header, true adds a line",
        rule="1.6 append",
        upstreams={"a": Reply(headers={"x-new": "theirs", "x-more": "theirs"})},
        policy=boot(
            [
                route(
                    more={
                        "response_headers_to_add": [
                            header("x-new", "ours", append=False),
                            header("x-more", "ours", append=True),
                        ]
                    }
                )
            ]
        ),
        calls=[get()],
        expect=[got({"x-new": "ours", "x-more": ["theirs", "ours"]})],
    ),
    Scenario(
        "weight_by_cluster_header",
        "a weight's cluster may be named by a header; without it there is none",
        rule="1.7 cluster_header of a weight",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            [route(None, weighted_clusters={"clusters": [{"cluster_header": "x-to", "weight": 1}]})],
            [cluster("a"), cluster("b")],
        ),
        calls=[get("/", {"x-to": "b"}), get("/", {"x-to": "a"}), get("/", {"x-to": "b"}), get("/", {"x-to": "none"})],
        expect=[status(200, 200, 200, 503), hits(a=1, b=2), flags("-", "-", "-", "NC")],
    ),
    Scenario(
        "route_that_does_not_forward",
        "non_forwarding_action under a plain router: nothing is sent anywhere",
        rule="1.5 non_forwarding_action",
        policy=boot([{"match": {"prefix": "/x"}, "non_forwarding_action": {}}, route()]),
        calls=[get("/x"), get("/")],
        expect=[status(503, 200), hits(a=1), flags("NC", "-")],
    ),
    Scenario(
        "direct_response_of_5000_bytes",
        "max_direct_response_body_size_bytes above the 4096 of the default",
        rule="1.8 direct response",
        policy=boot([direct(200, "x" * 5000)], table={"max_direct_response_body_size_bytes": 6000}),
        calls=[get()],
        expect=[status(200), body("x" * 5000)],
    ),
    Scenario(
        "direct_response_of_bytes",
        "a body may be written as inline_bytes",
        rule="1.8 direct response",
        policy=boot(
            [
                {
                    "match": {"prefix": "/"},
                    "direct_response": {
                        "status": 200,
                        "body": {"inline_bytes": base64.b64encode(b"\x00\xff bytes").decode()},
                    },
                }
            ]
        ),
        calls=[get()],
        expect=[status(200), body("\x00\xff bytes")],
    ),
    Scenario(
        "direct_response_of_the_environment",
        "a body may come from a variable of the environment",
        rule="1.8 direct response",
        policy=boot(
            [
                {
                    "match": {"prefix": "/"},
                    "direct_response": {"status": 200, "body": {"environment_variable": "PATH"}},
                }
            ]
        ),
        calls=[get()],
        expect=[status(200), body(Re(".+"))],
    ),
    Scenario(
        "match_runtime_fraction_by_key",
        "runtime_fraction: the runtime's value for runtime_key stands in place of the default",
        rule="1.5 runtime_fraction",
        policy=boot(
            [
                {
                    "match": {
                        "prefix": "/",
                        "runtime_fraction": {"default_value": {"numerator": 100}, "runtime_key": "share"},
                    },
                    "direct_response": {"status": 201},
                },
                direct(200),
            ],
            layered_runtime={"layers": [{"name": "static", "static_layer": {"share": 0}}]},
        ),
        calls=[get(), get(), get()],
        expect=[status(200, 200, 200)],
    ),
    Scenario(
        "tracing_sampled_shares_of_a_route",
        "client_sampling 0 passes over the client's wish; overall_sampling 0 switches all off",
        rule="11.2",
        policy=boot(
            [
                route(
                    prefix="/client",
                    more={"tracing": {"client_sampling": {"numerator": 0}, "random_sampling": {"numerator": 0}}},
                ),
                route(prefix="/none", more={"tracing": {"overall_sampling": {"numerator": 0}}}),
                route(),
            ],
            [cluster("a"), cluster("collector", endpoints=[])],
            manager={"tracing": {"provider": OTEL, **NONE}, **INTERNAL},
        ),
        calls=[get(path, {"x-client-trace-id": "x"}) for path in ("/client", "/none", "/")],
        expect=[sent_each("x-request-id", identity("4"), identity("4"), identity("b"))],
    ),
    *LIMITS,
    *ACTIONS,
]
