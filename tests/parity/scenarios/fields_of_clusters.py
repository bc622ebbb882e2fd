"""Fields of listeners and clusters that are seldom set, each with what it does (semantics 1.1, 1.3, 8.2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, at, boot, cluster, endpoint, retry, route, typed
from ..look import connections, hits, lines, see, status
from ..model import Scenario, get, post, times
from ..upstreams.replies import Names, Reply, Upstream


def _listening(**fields: Any) -> Document:
    """The usual bootstrap with more fields of its listener."""
    document = boot([route(retry_policy=retry())])
    document["static_resources"]["listeners"][0].update(fields)
    return document


def _asked(name: str, about: str, of_cluster: Document, of_bootstrap: Document | None = None) -> Scenario:
    """A name is looked up at the resolver that is written in one of the older places."""
    fields = {"dns_refresh_rate": "5s", "dns_lookup_family": "V4_ONLY", **of_cluster}
    return Scenario(
        f"dns_resolver_{name}",
        about,
        rule="8.2 resolvers",
        upstreams={"dns": Upstream(Names(["127.0.0.1"]), kind="dns"), "a": 200},
        policy=boot(
            [route()],
            [cluster("a", [endpoint("a", host="svc.test.")], kind="STRICT_DNS", **fields)],
            **(of_bootstrap or {}),
        ),
        calls=[get()],
        expect=[status(200), hits(a=1), lines("A svc.test", upstream="dns")],
    )


RESOLVERS: Document = {
    "dns_resolution_config": {
        "resolvers": [at("dns")],
        "dns_resolver_options": {"no_default_search_domain": True},
    }
}
TYPED: Document = {
    "typed_dns_resolver_config": {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": typed("extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", resolvers=[at("dns")]),
    }
}

SCENARIOS = [
    Scenario(
        "listener_additional_address",
        "a listener is reached at its additional addresses as well",
        rule="1.1 additional_addresses",
        policy=_listening(additional_addresses=[{"address": at("second")}]),
        calls=[get("/1"), get("/2", listener="second")],
        expect=[status(200, 200), lines("GET /1", "GET /2")],
    ),
    Scenario(
        "listener_buffer_limit",
        "a body larger than the listener's per_connection_buffer_limit_bytes is not sent again",
        rule="3.8 body buffering",
        upstreams={"a": {"/4": [503, 200], "/5": [503, 200]}},
        policy=_listening(per_connection_buffer_limit_bytes=4),
        calls=[post("/4", b"1234"), post("/5", b"12345")],
        expect=[status(200, 503), hits(a=3)],
    ),
    Scenario(
        "cluster_http2_by_older_field",
        "http2_protocol_options of the cluster itself: HTTP/2 with prior knowledge",
        rule="1.3 deprecated forms",
        upstreams={"a": Upstream(kind="http2")},
        policy=boot(clusters=[cluster("a", http2_protocol_options={})]),
        calls=[times(2, get())],
        expect=[status(200, 200), hits(a=2), connections(a=1)],
    ),
    Scenario(
        "cluster_requests_per_connection_by_older_field",
        "max_requests_per_connection of the cluster itself",
        rule="1.3 deprecated forms",
        policy=boot(clusters=[cluster("a", max_requests_per_connection=2)]),
        calls=[times(4, get())],
        expect=[status(200, 200, 200, 200), connections(a=2)],
    ),
    Scenario(
        "cluster_common_options_by_older_field",
        "common_http_protocol_options of the cluster itself: max_requests_per_connection, max_headers_count",
        rule="1.3 deprecated forms",
        upstreams={"a": [200, 200, Reply(headers=[(f"x-{number}", "v") for number in range(30)])]},
        policy=boot(
            clusters=[
                cluster("a", common_http_protocol_options={"max_requests_per_connection": 1, "max_headers_count": 20})
            ]
        ),
        calls=[times(3, get())],
        expect=[status(200, 200, 502), connections(a=3)],
    ),
    Scenario(
        "cluster_http1_by_older_field",
        "http_protocol_options of the cluster itself: names in proper case",
        rule="1.3 deprecated forms",
        policy=boot(
            clusters=[
                cluster("a", http_protocol_options={"header_key_format": {"proper_case_words": {}}}),
            ]
        ),
        calls=[get("/", {"x-camel-two": "1"})],
        expect=[
            status(200),
            see("names", lambda run: "X-Camel-Two" in {name for name, _ in run.at("a").requests[0].headers}, True),
        ],
    ),
    _asked("of_cluster", "dns_resolution_config of the cluster", RESOLVERS),
    _asked("of_cluster_by_address", "dns_resolvers of the cluster", {"dns_resolvers": [at("dns")]}),
    _asked("of_bootstrap", "dns_resolution_config of the bootstrap", {}, RESOLVERS),
    _asked("of_bootstrap_typed", "typed_dns_resolver_config of the bootstrap", {}, TYPED),
]
