"""Fields of filters, of the connection manager and of clusters that no other scenario sets (semantics 2, 8 to 11)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, Document, boot, cluster, protocol_options, route, tls, typed
from ..expect import Between, OneOf
from ..look import got, got_each, hits, see, sent, sent_each, status, took
from ..model import Run, Scenario, Until, get, script, together, wait_for
from ..upstreams.replies import NXDOMAIN, SERVFAIL, Names, Reply, Tls, Upstream
from .compression import ACCEPT, PLAIN, compressor, library
from .dns import HERE, asked, named
from .filters import ALWAYS, FAULT, aborting, fault, sets
from .tracing import OTEL, identity

RUNTIME = {
    "layered_runtime": {
        "layers": [
            {
                "name": "s",
                "static_layer": {
                    "abort.percent": 0,
                    "abort.status": 419,
                    "abort.grpc": 7,
                    "delay.percent": 0,
                    "delay.duration": 1,
                    "slow.percent": 0,
                    "active": 0,
                },
            }
        ]
    }
}
LONG = {"delay": {"fixed_delay": "0.6s", "percentage": ALWAYS}}
SLOW = {"response_rate_limit": {"fixed_limit": {"limit_kbps": 10}, "percentage": ALWAYS}}


def _with_fault(prefix: str, **fields: Any) -> Document:
    return route("a", prefix, more=sets(FAULT, **fields))


FAULTS = [
    Scenario(
        "fault_runtime_keys_of_aborts",
        "abort_percent_runtime, abort_http_status_runtime, abort_grpc_status_runtime, max_active_faults_runtime",
        rule="9.2 runtime",
        policy=boot(
            [
                _with_fault("/percent", **aborting(418), abort_percent_runtime="abort.percent"),
                _with_fault("/status", **aborting(418), abort_http_status_runtime="abort.status"),
                _with_fault(
                    "/grpc",
                    abort={"grpc_status": 5, "percentage": ALWAYS},
                    abort_grpc_status_runtime="abort.grpc",
                ),
                _with_fault("/active", **aborting(418), max_active_faults_runtime="active"),
            ],
            filters=[fault()],
            **RUNTIME,
        ),
        calls=[get("/percent"), get("/status"), get("/grpc", {"content-type": "application/grpc"}), get("/active")],
        expect=[status(200, 419, 200, 200), got_each("grpc-status", None, None, "7", None), hits(a=2)],
    ),
    Scenario(
        "fault_runtime_keys_of_delays",
        "delay_percent_runtime, delay_duration_runtime, response_rate_limit_percent_runtime",
        rule="9.2 runtime",
        upstreams={"a": Reply(body="x" * 6000)},
        policy=boot(
            [
                _with_fault("/percent", **LONG, delay_percent_runtime="delay.percent"),
                _with_fault("/duration", **LONG, delay_duration_runtime="delay.duration"),
                _with_fault("/slow", **SLOW, response_rate_limit_percent_runtime="slow.percent"),
            ],
            filters=[fault()],
            **RUNTIME,
        ),
        calls=[get("/percent"), get("/duration"), get("/slow")],
        expect=[status(200, 200, 200), *(took(0, 0.45, call) for call in range(3))],
    ),
    Scenario(
        "fault_max_active",
        "max_active_faults: who comes while one is delayed is not",
        rule="9.2 max_active_faults",
        policy=boot(filters=[fault(**LONG, max_active_faults=1)]),
        calls=[together(get(), count=4, stagger=0.02)],
        expect=[see("delayed", lambda run: sum(one.elapsed >= 0.58 for one in run.outcomes), 1)],
    ),
    Scenario(
        "fault_header_delay",
        "header_delay: as long as the request's header says",
        rule="9.2 header_delay",
        policy=boot(filters=[fault(delay={"header_delay": {}, "percentage": ALWAYS})]),
        calls=[get("/", {"x-envoy-fault-delay-request": "300"}), get()],
        expect=[took(0.29, 2, 0), took(0, 0.28, 1)],
    ),
]

MANAGER = [
    Scenario(
        "manager_via",
        "via: added to what goes either way",
        rule="11 via",
        policy=boot(manager={"via": "1.1 us"}),
        calls=[get("/", {"via": "1.0 x"})],
        expect=[sent({"via": "1.0 x, 1.1 us"}), got({"via": "1.1 us"})],
    ),
    Scenario(
        "manager_skip_xff_append",
        "skip_xff_append: the caller's address is not added",
        rule="11 x-forwarded-for",
        policy=boot(manager={**INTERNAL, "skip_xff_append": True}),
        calls=[get(), get("/", {"x-forwarded-for": "10.0.0.1"})],
        expect=[sent_each("x-forwarded-for", None, "10.0.0.1")],
    ),
    *(
        Scenario(
            f"tracing_{name}",
            about,
            rule="11.2",
            policy=boot(
                clusters=[cluster("a"), cluster("collector", endpoints=[])],
                manager={"tracing": {"provider": OTEL, **fields}, **INTERNAL},
            ),
            calls=[get("/", {"x-client-trace-id": "x"})],
            expect=[sent_each("x-request-id", identity(reason))],
        )
        for name, about, reason, fields in (
            ("client_sampling", "client_sampling 0: a client's wish is not heard, chance decides", "9",
             {"client_sampling": {"value": 0}}),
            ("overall_sampling", "overall_sampling 0: whoever wants it, nothing is sampled", "4",
             {"overall_sampling": {"value": 0}}),
        )
    ),
]  # fmt: skip

# What a better search finds, and a fast one does not.
WORDS = "".join(f"{number * number % 997:x} {number % 89:o} " for number in range(6000))


def _packed(name: str, low: int, high: int, **fields: Any) -> Scenario:
    return Scenario(
        f"gzip_{name}",
        f"gzip: {name} is kept to, seen by the length",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=WORDS)},
        policy=boot(filters=[compressor(compressor_library=library(**fields))]),
        calls=[get(headers=ACCEPT)],
        expect=[status(200), see("length", lambda run: len(run.outcomes[0].body), Between(low, high))],
    )


# By default: 18.2 kB, and always the same.
GZIP = [
    _packed("best_speed", 19_000, 32_000, compression_level="BEST_SPEED"),
    _packed("memory_level", 19_500, 21_500, memory_level=1),
    _packed("compression_strategy", 18_400, 18_650, compression_strategy="HUFFMAN_ONLY"),
]


def _dns(**fields: Any) -> Document:
    """The cluster of `named`, as a DnsCluster."""
    policy = named()
    [made] = policy["static_resources"]["clusters"]
    resolver = made.pop("typed_dns_resolver_config")
    made.pop("type")
    made.pop("dns_refresh_rate")
    config = typed("extensions.clusters.dns.v3.DnsCluster", typed_dns_resolver_config=resolver, **fields)
    made["cluster_type"] = {"name": "envoy.cluster.dns", "typed_config": config}
    return policy


def _named(name: str, about: str, first: Names, calls: Any, expect: Any, **fields: Any) -> Scenario:
    return Scenario(
        f"dns_cluster_{name}",
        about,
        rule="8.2 DnsCluster",
        upstreams={"dns": Upstream(first, kind="dns"), "a": 200},
        policy=_dns(**fields),
        calls=calls,
        expect=expect,
    )


def _of_six_questions(run: Run) -> float:
    first, *_, last = run.at("dns").requests[:6]
    return float(last.arrived - first.arrived)


AGAIN = Until(get(), lambda outcome: outcome.status == 200, within=3.0)
DNS = [
    _named("refresh_rate", "dns_refresh_rate: asked for again and again", HERE,
           [get(), script("dns", NXDOMAIN), Until(get(), lambda outcome: outcome.status == 503, within=3.0)],
           [status(200, 503)], dns_refresh_rate="0.2s"),
    _named("failure_refresh_rate", "dns_failure_refresh_rate: sooner where there was no answer", SERVFAIL,
           [get(), script("dns", HERE), AGAIN],
           [status(503, 200)], dns_refresh_rate="60s",
           dns_failure_refresh_rate={"base_interval": "0.2s", "max_interval": "0.3s"}),
    _named("respect_ttl", "respect_dns_ttl: asked for again when the answer is too old", Names(["127.0.0.1"], ttl=1),
           [get(), asked(1), get()], [status(200, 200)], dns_refresh_rate="60s", respect_dns_ttl=True),
    _named("single_endpoint", "all_addresses_in_single_endpoint: two addresses are one host, the first is taken",
           Names(["127.0.0.1", "127.0.0.7"]), [get(), get(), get(), get()], [status(*[200] * 4)],
           all_addresses_in_single_endpoint=True),
    _named("jitter", "dns_jitter: random time on top of each dns_refresh_rate", HERE, [get(), asked(5)],
           # 0.25 s of rate; of five times up to 0.3 s on top, less than 0.15 s once in 3800 runs.
           [see("lasting", _of_six_questions, Between(0.4, 10))],
           dns_refresh_rate="0.05s", dns_jitter="0.3s", dns_lookup_family="V4_ONLY"),
    _named("failure_intervals", "base_interval and max_interval: questions that fail come within them", NXDOMAIN,
           [wait_for(lambda run: len(run.at("dns").requests) > 8, within=20)],
           [see("asked", lambda run: run.at("dns").requests[8].arrived - run.at("dns").requests[0].arrived,
                Between(0.35, 3.0))],
           dns_refresh_rate="60s", dns_lookup_family="V4_ONLY", all_addresses_in_single_endpoint=True,
           dns_failure_refresh_rate={"base_interval": "0.3s", "max_interval": "0.3s"}),
]  # fmt: skip

CIPHERS = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]
PARAMS = {"cipher_suites": CIPHERS, "tls_maximum_protocol_version": "TLSv1_2"}
SECURE = [
    Scenario(
        "tls_cipher_suites",
        "cipher_suites: only these are offered; the upstream would prefer others",
        rule="10 cipher_suites",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[cluster("a", **tls(common={"tls_params": PARAMS}))]),
        calls=[get()],
        expect=[status(200), see("cipher", lambda run: run.at("a").requests[0].tls["cipher"], OneOf(*CIPHERS))],
    ),
    Scenario(
        "auto_config_http1_options",
        "auto_config's http_protocol_options are those of HTTP/1 where that is negotiated",
        rule="10 auto_config",
        upstreams={"a": Upstream(tls=Tls(alpn=["http/1.1"]))},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    **tls(),
                    **protocol_options(
                        auto_config={
                            "http_protocol_options": {"header_key_format": {"proper_case_words": {}}},
                            "http2_protocol_options": {},
                        }
                    ),
                )
            ]
        ),
        calls=[get("/", {"x-some-name": "1"})],
        expect=[
            status(200),
            see("cased", lambda run: "X-Some-Name" in [name for name, _ in run.at("a").requests[0].headers], True),
        ],
    ),
]

SCENARIOS = [*FAULTS, *MANAGER, *GZIP, *DNS, *SECURE]
