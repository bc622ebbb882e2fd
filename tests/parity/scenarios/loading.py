"""How a policy is written (semantics 0), and where its hosts come from by name (semantics 8.2)."""

from __future__ import annotations

from ..bootstrap import boot, cluster, endpoint, route
from ..look import bodies, body, flags, hits, see, sent, spread, status
from ..model import Scenario, get, times

_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def _text(routes: str, clusters: str = "", options: str = "") -> str:
    """A bootstrap as text: routes and clusters are flow sequences' contents."""
    return f"""\
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: ${{port:main}}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {_MANAGER}
          stat_prefix: main
          {options}
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{routes}]}}]}}
          http_filters:
          - {{name: envoy.filters.http.router, typed_config: {{"@type": {_ROUTER}}}}}
  clusters: [{clusters}]
"""


def _direct(fields: str) -> str:
    return "{match: {prefix: /}, direct_response: {%s}}" % fields  # noqa: UP031 - braces are YAML's here


WRITTEN = [
    Scenario(
        "written_octal_and_hex",
        "numbers may be written in C's octal and in hexadecimal",
        rule="0 int forms",
        policy=_text(
            "{match: {path: /octal}, direct_response: {status: 0311}}, "
            "{match: {path: /hex}, direct_response: {status: 0xCA}}, "
            "{match: {path: /text}, direct_response: {status: '203'}}, "
            "{match: {path: /float}, direct_response: {status: 204.0}}"
        ),
        calls=[get("/octal"), get("/hex"), get("/text"), get("/float")],
        expect=[status(201, 202, 203, 204)],
    ),
    Scenario(
        "written_booleans",
        "yes, on, y and True are booleans, and so are their words as text",
        rule="0 booleans",
        upstreams={"a": 200},
        policy=_text(
            "{match: {prefix: /x, case_sensitive: no}, direct_response: {status: 201}}, "
            "{match: {prefix: /y, case_sensitive: OFF}, direct_response: {status: 202}}, "
            "{match: {prefix: /z, case_sensitive: n}, direct_response: {status: 203}}, "
            "{match: {prefix: /t, case_sensitive: 'false'}, direct_response: {status: 204}}, "
            "{match: {prefix: /u, case_sensitive: Y}, direct_response: {status: 206}}"
        ),
        calls=[get("/X"), get("/Y"), get("/Z"), get("/T"), get("/U")],
        expect=[status(201, 202, 203, 204, 404)],
    ),
    Scenario(
        "written_last_key_wins",
        "of a key that is written twice the last counts, in either spelling",
        rule="0 duplicate map key",
        policy=_text(_direct("status: 201, status: 202, body: {inline_string: a}, body: {inlineString: b}")),
        calls=[get()],
        expect=[status(202), body("b")],
    ),
    Scenario(
        "written_camel_case",
        "fields may be written in camelCase, enums in any case or as numbers",
        rule="0 field names, enums",
        policy=_text(
            "{match: {path: /a}, directResponse: {status: 201}}, "
            "{match: {path: /b}, redirect: {pathRedirect: /new, responseCode: permanent_redirect}}, "
            "{match: {path: /c}, redirect: {path_redirect: /new, response_code: 3}}"
        ),
        calls=[get("/a"), get("/b"), get("/c")],
        expect=[status(201, 308, 307)],
    ),
    Scenario(
        "written_aliases_and_documents",
        "anchors work; only the first document of a file is read",
        rule="0 anchors, multi-document",
        policy=_text(
            "{match: {path: /a}, direct_response: &answer {status: 203}}, {match: {path: /b}, direct_response: *answer}"
        ),
        calls=[get("/a"), get("/b")],
        expect=[status(203, 203)],
    ),
    Scenario(
        "written_durations",
        "durations: decimal seconds with an s, or seconds and nanos",
        rule="0 Duration",
        upstreams={"a": 200},
        policy=boot(
            [
                route(prefix="/text", timeout="1.25s"),
                route(prefix="/parts", timeout={"seconds": 2, "nanos": 500_000_000}),
            ]
        ),
        calls=[get("/text"), get("/parts")],
        expect=[
            see(
                "expected",
                lambda run: [one.header("x-envoy-expected-rq-timeout-ms") for one in run.at("a").requests],
                ["1250", "2500"],
            )
        ],
    ),
    Scenario(
        "written_null_is_unset",
        "null leaves a field unset",
        rule="0 null",
        policy=boot([route(timeout=None, retry_policy=None)]),
        calls=[get()],
        expect=[sent({"x-envoy-expected-rq-timeout-ms": "15000"}), status(200)],
    ),
]


def _named(name: str, kind: str = "STRICT_DNS", **fields: object) -> dict[str, object]:
    return cluster("a", [endpoint("a", host=name)], kind=kind, **fields)


NAMED = [
    Scenario(
        "dns_localhost",
        "STRICT_DNS and LOGICAL_DNS resolve names; Host stays the application's",
        rule="8.1",
        upstreams={"a": 200},
        policy=boot(
            [route("logical", "/logical"), route()],
            [
                _named("localhost", dns_lookup_family="V4_ONLY"),
                {**_named("localhost", "LOGICAL_DNS", dns_lookup_family="V4_ONLY"), "name": "logical"},
            ],
        ),
        calls=[get("/", {"host": "app.test"}), get("/logical", {"host": "app.test"})],
        expect=[status(200, 200), sent({"host": "app.test"})],
    ),
    Scenario(
        "dns_address_as_name",
        "an address is as good as a name",
        rule="8.1",
        policy=boot([], [_named("127.0.0.1")]),
        calls=[get()],
        expect=[status(200)],
    ),
    Scenario(
        "dns_unknown_name",
        "a name that nobody knows: no hosts, 503 no healthy upstream",
        rule="8.2 NXDOMAIN",
        policy=boot([], [_named("no-such-host.invalid", dns_lookup_family="V4_ONLY")]),
        calls=[get()],
        expect=[status(503), body("no healthy upstream"), flags("UH"), hits(a=0)],
    ),
    Scenario(
        "dns_several_names",
        "each name of a STRICT_DNS cluster brings its hosts",
        rule="8.1 every endpoint name",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            [],
            [
                cluster(
                    "a",
                    [endpoint("a", host="localhost"), endpoint("b", host="127.0.0.1")],
                    kind="STRICT_DNS",
                    dns_lookup_family="V4_ONLY",
                )
            ],
        ),
        calls=[times(6, get())],
        expect=[hits(a=3, b=3)],
    ),
    Scenario(
        "dns_extension",
        "envoy.cluster.dns is STRICT_DNS in its new clothes",
        rule="8.1 cluster_type",
        policy=boot(
            [],
            [
                {
                    **{key: value for key, value in _named("localhost").items() if key != "type"},
                    "cluster_type": {
                        "name": "envoy.cluster.dns",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
                            "dns_lookup_family": "V4_ONLY",
                        },
                    },
                }
            ],
        ),
        calls=[get()],
        expect=[status(200)],
    ),
]

BALANCING = [
    Scenario(
        "round_robin_rotates",
        "round robin goes through the hosts in their order",
        rule="7 ROUND_ROBIN",
        upstreams=dict.fromkeys("abc", 200),
        policy=boot([], [cluster("a", ["a", "b", "c"])]),
        calls=[times(9, get())],
        expect=[
            hits(a=3, b=3, c=3),
            see(
                "rotation",
                lambda run: "".join(outcome.text for outcome in run.outcomes) in "abcabcabcabc",
                True,
            ),
        ],
    ),
    Scenario(
        "round_robin_weights",
        "weights 1:2:3 are kept exactly",
        rule="7 EDF weighted",
        upstreams=dict.fromkeys("abc", 200),
        policy=boot([], [cluster("a", [endpoint("a", weight=1), endpoint("b", weight=2), endpoint("c", weight=3)])]),
        calls=[times(60, get())],
        expect=[spread({"a": 10, "b": 20, "c": 30})],
    ),
    Scenario(
        "two_listeners",
        "each listener has its own routes",
        rule="1.1",
        upstreams={"a": 200, "b": 200},
        policy={
            **boot([], [cluster("a"), cluster("b")]),
            "static_resources": {
                "listeners": [
                    boot([route("a")])["static_resources"]["listeners"][0],
                    {
                        **boot([route("b")])["static_resources"]["listeners"][0],
                        "name": "other",
                        "address": {"socket_address": {"address": "127.0.0.1", "port_value": "${port:other}"}},
                    },
                ],
                "clusters": [cluster("a"), cluster("b")],
            },
        },
        calls=[get("/"), get("/", listener="other")],
        expect=[bodies("a", "b")],
    ),
]

SCENARIOS = [*WRITTEN, *NAMED, *BALANCING]
