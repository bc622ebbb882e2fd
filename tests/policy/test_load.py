"""What loading gives: the model with Envoy's names, its values, and warnings."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
import yaml

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import (
    CircuitBreakers,
    Cluster,
    FractionalPercent,
    Policy,
    PreviousHostsPredicate,
    Router,
    UpstreamTlsContext,
)

from .documents import TYPE, document, health_check, protocol_options

DATA = Path(__file__).with_name("data")


def cluster(text: str) -> Cluster:
    return Policy.parse(text).clusters[0]


def test_the_sidecars_file_loads(tmp_path: Path) -> None:
    """`billing.yaml` loads as it is, once its certificate files are there."""
    issued = trustme.CA().issue_cert("billing.internal")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    path = tmp_path / "billing.yaml"
    path.write_text((DATA / "billing.yaml").read_text().replace("/etc/certs", str(tmp_path)))
    policy = Policy.load(path)
    listener, billing = policy.listeners[0], policy.clusters[0]
    assert listener.address.socket_address is not None
    assert listener.address.socket_address.port_value == 15001
    table = listener.http_connection_manager.route_config
    assert table is not None
    action = table.virtual_hosts[0].routes[0].route
    assert action is not None
    assert action.retry_policy is not None
    assert action.retry_policy.per_try_timeout == 1.5
    assert (billing.type, billing.connect_timeout) == ("STRICT_DNS", 0.25)
    thresholds = CircuitBreakers.Thresholds(max_connections=200, max_pending_requests=100, max_retries=50)
    assert billing.circuit_breakers == CircuitBreakers(thresholds=(thresholds,))
    assert billing.transport_socket is not None
    assert isinstance(billing.transport_socket.typed_config, UpstreamTlsContext)
    assert isinstance(listener.http_connection_manager.http_filters[0].typed_config, Router)
    router, verification = policy.warnings
    assert router.location == f"{path}:28:27"
    assert f'add typed_config: {{"@type": {TYPE}envoy.extensions.filters.http.router.v3.Router}}' in router.message
    assert verification.location == f"{path}:43:13"
    assert "NOT verified" in str(verification)


def test_missing_certificate_files_are_shown_at_their_fields() -> None:
    """The untouched file fails for its certificates alone, at the fields that name them."""
    with pytest.raises(PolicyError) as caught:
        Policy.load(DATA / "billing.yaml")
    certificate = "static_resources.clusters[0].transport_socket.typed_config.common_tls_context.tls_certificates[0]"
    assert [(fault.location, fault.path) for fault in caught.value.faults] == [
        (f"{DATA / 'billing.yaml'}:44:48", f"{certificate}.certificate_chain.filename"),
        (f"{DATA / 'billing.yaml'}:45:42", f"{certificate}.private_key.filename"),
    ]


def test_the_plain_file_loads() -> None:
    """`user-service.yaml` loads with the one warning about its bare router."""
    policy = Policy.load(str(DATA / "user-service.yaml"))
    assert [listener.name for listener in policy.listeners] == ["listener_0"]
    assert len(policy.warnings) == 1


def test_the_other_dialect_is_refused() -> None:
    """`user-service-mapping.yaml` is told to be another dialect."""
    with pytest.raises(PolicyError, match=r"user-service-mapping.yaml:1:1: apiVersion: .*another dialect"):
        Policy.load(DATA / "user-service-mapping.yaml")


def test_text_parsed_document_and_json_are_the_same_policy(tmp_path: Path) -> None:
    """A document means the same as YAML, as a parsed mapping, and as a JSON file."""
    text = document(cluster="connect_timeout: 0.25s, common_lb_config: {healthy_panic_threshold: {value: 12.5}}")
    parsed = yaml.safe_load(text)
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(parsed, indent="\t"))
    assert Policy.parse(text) == Policy.parse(parsed) == Policy.load(path)
    path.write_text("{a: 1}")
    with pytest.raises(PolicyError, match=r"envoy.json:1:2: not JSON"):
        Policy.load(path)


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    """A file that begins with a byte order mark loads."""
    (tmp_path / "e.yaml").write_bytes(b"\xef\xbb\xbf" + document().encode())
    assert Policy.load(tmp_path / "e.yaml") == Policy.parse(document())


def test_a_policy_is_a_frozen_value() -> None:
    """Policies compare by value without their warnings, hash, pickle, and cannot be changed."""
    text = document(cluster="metadata: {filter_metadata: {x: {a: [1, {b: c}]}}}")
    policy, other = (
        Policy.parse(text),
        Policy.parse(text.replace("stat_prefix: p", "stat_prefix: p, codec_type: HTTP1")),
    )
    assert policy == other
    assert hash(policy) == hash(other)
    assert (len(policy.warnings), len(other.warnings)) == (0, 1)
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.clusters = ()  # type: ignore[misc]
    assert Policy.parse(document(cluster="connect_timeout: 2s")) != policy
    assert dataclasses.replace(policy, clusters=policy.clusters) == policy


def test_values_mean_what_envoy_reads() -> None:
    """Octal, hexadecimal and string numbers, seconds, and enum names arrive as Envoy reads them."""
    read = cluster(
        document(
            cluster="connectTimeout: {seconds: 1, nanos: 500000000}, lb_policy: least_request, respect_dns_ttl: on, "
            "per_connection_buffer_limit_bytes: 0x10, "
            'circuit_breakers: {thresholds: [{max_requests: 017, max_retries: "8e1"}]}'
        )
    )
    assert (read.connect_timeout, read.lb_policy, read.respect_dns_ttl) == (1.5, "LEAST_REQUEST", True)
    assert read.per_connection_buffer_limit_bytes == 16
    assert read.circuit_breakers is not None
    assert (read.circuit_breakers.thresholds[0].max_requests, read.circuit_breakers.thresholds[0].max_retries) == (
        15,
        80,
    )


def test_unset_and_zero_are_told_apart() -> None:
    """A wrapper that is unset is `None`, one that is zero is 0, and the last of two spellings wins."""
    assert cluster(document()).connect_timeout is None
    assert not cluster(document(cluster="respectDnsTtl: true, respect_dns_ttl: false")).respect_dns_ttl
    route = "cluster: c, timeout: 0s, retry_policy: {num_retries: 0, numRetries: 4}"
    table = Policy.parse(document(route=route)).listeners[0].http_connection_manager.route_config
    assert table is not None
    action = table.virtual_hosts[0].routes[0].route
    assert action is not None
    assert action.timeout == 0.0
    assert action.retry_policy is not None
    assert action.retry_policy.num_retries == 4


def test_floats_stay_strings_in_metadata() -> None:
    """Free-form data keeps integers and booleans, and has floats as strings, as in Envoy."""
    metadata = cluster(document(cluster="metadata: {filter_metadata: {x: {a: 1.5, b: 2, c: yes, d: null}}}")).metadata
    assert metadata is not None
    assert dict(metadata.filter_metadata["x"]) == {"a": "1.5", "b": 2, "c": True, "d": None}


def test_protocol_options_are_flattened() -> None:
    """`HttpProtocolOptions` is found under its key, and says protocol, SNI and limits."""
    options = cluster(
        document(
            cluster=protocol_options(
                "explicit_http_config: {http2_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true}, "
                "common_http_protocol_options: {idle_timeout: 5s, max_requests_per_connection: 3}"
            )
        )
    ).http_protocol_options
    assert options is not None
    assert (options.protocol, options.auto_sni, options.auto_san_validation) == ("http2", True, False)
    assert (options.idle_timeout, options.max_requests_per_connection) == (5.0, 3)


def test_deprecated_protocol_options_of_a_cluster_count() -> None:
    """The fields that `HttpProtocolOptions` replaced are read into it."""
    options = cluster(
        document(cluster="http2_protocol_options: {}, max_requests_per_connection: 7")
    ).http_protocol_options
    assert options is not None
    assert (options.protocol, options.max_requests_per_connection) == ("http2", 7)
    assert cluster(document()).http_protocol_options is None


RESOLVER = "resolvers: [{socket_address: {address: 192.0.2.1, port_value: 53}}]"
OVER_TCP = "dns_resolver_options: {use_tcp_for_dns_lookups: true}"
CARES = f"{TYPE}envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


@pytest.mark.parametrize(
    "settings",
    [
        f"dns_{RESOLVER}, use_tcp_for_dns_lookups: true",
        f"dns_resolution_config: {{{RESOLVER}, {OVER_TCP}}}",
        f'typed_dns_resolver_config: {{name: r, typed_config: {{"@type": {CARES}, {RESOLVER}, {OVER_TCP}}}}}',
    ],
)
def test_three_ways_to_name_resolvers(settings: str) -> None:
    """All generations of DNS settings come down to one, on the cluster or for all clusters."""
    config = cluster(document(kind="type: STRICT_DNS", cluster=settings)).dns_resolution_config
    assert config is not None
    assert config.use_tcp_for_dns_lookups
    assert [item.socket_address.address for item in config.resolvers if item.socket_address] == ["192.0.2.1"]
    if not settings.startswith("dns_resolvers"):
        assert cluster(document(top=settings)).dns_resolution_config == config


def test_the_system_resolver_is_none() -> None:
    """getaddrinfo is what is used anyway."""
    kind = f'"@type": {TYPE}envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig'
    settings = f"typed_dns_resolver_config: {{name: r, typed_config: {{{kind}}}}}"
    assert cluster(document(kind="type: STRICT_DNS", cluster=settings)).dns_resolution_config is None


def test_the_dns_cluster_extension_is_the_old_types() -> None:
    """`envoy.cluster.dns` says the same as STRICT_DNS and LOGICAL_DNS."""
    kind = (
        "cluster_type: {name: envoy.cluster.dns, typed_config: {"
        f'"@type": {TYPE}envoy.extensions.clusters.dns.v3.DnsCluster, '
        "dns_lookup_family: V4_ONLY, dns_refresh_rate: 3s, dns_failure_refresh_rate: {base_interval: 2s}%s}}"
    )
    read = cluster(document(kind=kind % ""))
    assert (read.type, read.dns_lookup_family, read.dns_refresh_rate) == ("STRICT_DNS", "V4_ONLY", 3.0)
    assert read.dns_failure_refresh_rate is not None
    assert read.dns_failure_refresh_rate.base_interval == 2.0
    assert cluster(document(kind=kind % ", all_addresses_in_single_endpoint: true")).type == "LOGICAL_DNS"
    assert cluster(document(kind="cluster_type: {name: envoy.cluster.strict_dns}")).type == "STRICT_DNS"


def test_health_check_payloads_and_ranges() -> None:
    """Nested messages of a health check arrive whole."""
    checks = cluster(
        health_check("http_health_check: {path: /up, expected_statuses: [{start: 200, end: 300}]}")
    ).health_checks
    assert checks[0].http_health_check is not None
    assert [(item.start, item.end) for item in checks[0].http_health_check.expected_statuses] == [(200, 300)]
    binary = cluster(health_check('tcp_health_check: {send: {binary: "-_8="}}')).health_checks[0].tcp_health_check
    assert binary is not None
    assert binary.send is not None
    assert binary.send.binary == b"\xfb\xff"


def test_bare_extensions_load_with_a_warning() -> None:
    """Extensions that old files name without `typed_config` get theirs, and a warning says what to add."""
    route = "cluster: c, retry_policy: {retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}]}"
    policy = Policy.parse(document(route=route))
    table = policy.listeners[0].http_connection_manager.route_config
    assert table is not None
    action = table.virtual_hosts[0].routes[0].route
    assert action is not None
    assert action.retry_policy is not None
    assert isinstance(action.retry_policy.retry_host_predicate[0].typed_config, PreviousHostsPredicate)
    assert "previous_hosts.v3.PreviousHostsPredicate" in policy.warnings[0].message


def test_runtime_layers_are_flat_and_later_ones_win() -> None:
    """Static layers come down to one mapping with dotted keys."""
    layers = (
        "layered_runtime: {layers: [{name: a, static_layer: {x: {y: 1, z: yes}}}, "
        "{name: b, static_layer: {x.y: 2, f: {numerator: 5, denominator: ten_thousand}}}]}"
    )
    runtime = Policy.parse(document(top=layers)).runtime
    assert dict(runtime) == {"x.y": 2, "x.z": True, "f": FractionalPercent(numerator=5, denominator="TEN_THOUSAND")}


def test_the_node_is_kept() -> None:
    """Who runs the policy is known to tracing."""
    node = Policy.parse(document(top="node: {id: i, cluster: billing, locality: {zone: z}}")).node
    assert node is not None
    assert node.cluster == "billing"
    assert node.locality is not None
    assert node.locality.zone == "z"


def test_importing_the_policy_loads_no_yaml() -> None:
    """YAML and RE2 are imported when a policy that needs them is read; protobuf's own runtime never is."""
    code = (
        "import sys, ambassador_lib.policy as p; cluster = p.Cluster(name='c');"
        "print([m for m in ('google.protobuf', 'yaml', 're2', 'opentelemetry') if m in sys.modules]);"
        "p.Policy(clusters=[cluster]);"
        "print([m for m in ('google.protobuf', 'yaml', 're2', 'opentelemetry') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.split("\n")[:2] == ["[]", "[]"]


@pytest.mark.parametrize(
    ("extension", "name"),
    [
        ("round_robin.v3.RoundRobin", "ROUND_ROBIN"),
        ("random.v3.Random", "RANDOM"),
        ("least_request.v3.LeastRequest", "LEAST_REQUEST"),
    ],
)
def test_load_balancing_extensions_are_the_old_policies(extension: str, name: str) -> None:
    """The extensions that `lb_policy` can name as well come down to it."""
    config = f'{{name: x, typed_config: {{"@type": {TYPE}envoy.extensions.load_balancing_policies.{extension}}}}}'
    text = document(cluster=f"load_balancing_policy: {{policies: [{{typed_extension_config: {config}}}]}}")
    assert cluster(text).lb_policy == name
    counted = cluster(text.replace("LeastRequest}", "LeastRequest, choice_count: 3}")).least_request_lb_config
    assert (counted is not None) == (name == "LEAST_REQUEST")
