"""No field is passed over in silence: used, warned about, or refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import Policy, model
from ambassador_lib.policy.messages import CLASSES, classes_of
from ambassador_lib.policy.model.message import names_of
from ambassador_lib.policy.schema import envoy
from ambassador_lib.policy.support import ADAPTED, NEWER_FIELDS
from ambassador_lib.policy.support_ignored import IGNORED
from ambassador_lib.policy.support_refused import REFUSED
from ambassador_lib.policy.support_values import REFUSED_VALUES

from .documents import ROUTER, TYPE, document, protocol_options

# Fields of the model that Envoy's message of that name does not have: adapters.py fills them.
FLATTENED = {
    "envoy.config.listener.v3.Listener": {"http_connection_manager"},
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": {
        "allow_custom_methods", "headers_with_underscores_action", "max_headers_count", "max_stream_duration",
    },
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "protocol", "auto_sni", "auto_san_validation", "override_auto_sni_header", "idle_timeout",
        "max_requests_per_connection", "max_connection_duration", "max_stream_duration", "max_headers_count",
        "max_response_headers_kb", "proper_case_words", "max_concurrent_streams",
    },
    "envoy.config.bootstrap.v3.Bootstrap.DynamicResources": {"dns_resolution_config"},
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing": {
        "trace_id_128bit", "shared_span_context", "w3c_propagation",
    },
    "envoy.config.cluster.v3.Cluster": {"aggregate", "circuit_breaker", "hash_policy"},
    "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": {"selection_method"},
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig": {"force_local_zone_min_size", "locality_basis"},
}  # fmt: skip


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (document(top="dynamic_resources: {cds_config: {ads: {}}}"), "xDS over gRPC and REST is not supported yet"),
        (document(kind="type: EDS"), "an EDS cluster needs an eds_cluster_config"),
        (
            document(route="cluster: c, retry_policy: {retry_options_predicates: [{name: p}]}"),
            "Envoy itself has none",
        ),
        (document(route="cluster: c, hash_policy: [{filter_state: {key: x}}]"), "no filter here writes filter state"),
        (document(cluster="lb_policy: CLUSTER_PROVIDED"), "brings no load balancer of its own"),
        (document(route="cluster: c, upgrade_configs: [{upgrade_type: websocket}]"), "protocol upgrades"),
        (document(on_route="filter_action: {}"), "HTTP filters"),
        (
            document(hcm="stat_prefix: p, access_log: [{name: a, filter: {extension_filter: {}}}]"),
            "extensions that filter",
        ),
        (
            document(hcm="stat_prefix: p, local_reply_config: {body_format: {formatters: [{name: a}]}}"),
            "format extensions",
        ),
        (document(hcm="stat_prefix: p, proxy_status_config: {}"), "the header Proxy-Status is not supported"),
        (
            document(cluster=protocol_options("explicit_http_config: {http3_protocol_options: {}}")),
            "HTTP/3 is not supported",
        ),
        (
            document(top="layered_runtime: {layers: [{name: a, static_layer: {health_check.min_interval: 0}}]}"),
            "health_check.min_interval",
        ),
        (document(top="layered_runtime: {layers: [{name: a, rtds_layer: {}}]}"), "xDS"),
    ],
)
def test_what_would_change_calls_is_refused_by_name(text: str, words: str) -> None:
    """A field that the application would notice is refused, and the message names what is missing."""
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (document(top="admin: {}"), "admin", "no admin interface"),
        (document(top="stats_flush_interval: 5s"), "stats_flush_interval", "no stats sink"),
        (document(hcm="stat_prefix: p, codec_type: HTTP1"), "codec_type", "no connection between the application"),
        (document(hcm="stat_prefix: p, access_log_options: {}"), "access_log_options", "logged once"),
        (
            document(cluster="upstream_connection_options: {happy_eyeballs_config: {}}"),
            "upstream_connection_options.happy_eyeballs_config",
            "which of several addresses",
        ),
        (
            document(cluster="upstream_connection_options: {set_local_interface_name_on_upstream_connections: true}"),
            "upstream_connection_options.set_local_interface_name_on_upstream_connections",
            "the interface",
        ),
        (document(hcm="stat_prefix: p, common_http_protocol_options: {idle_timeout: 5s}"), "idle_timeout", "no effect"),
        (document(cluster="least_request_lb_config: {choice_count: 3}"), "least_request_lb_config", "ROUND_ROBIN"),
        (document(filters=""), "http_filters", "nothing sends requests on"),
        (
            document(top="layered_runtime: {layers: [{name: a, static_layer: {mine: 1}}]}"),
            "mine",
            "nothing in this policy",
        ),
        (
            document(
                hcm="stat_prefix: p, tracing: {provider: {name: o, typed_config: "
                f'{{"@type": {TYPE}envoy.config.trace.v3.OpenTelemetryConfig}}}}}}'
            ),
            "tracing.provider.typed_config",
            "OpenTelemetry SDK",
        ),
    ],
)
def test_what_changes_nothing_for_calls_is_a_warning(text: str, path: str, words: str) -> None:
    """A field that only concerns the proxy itself is ignored with a warning at its place."""
    (warning,) = Policy.parse(text).warnings
    assert warning.path.endswith(path)
    assert words in warning.message
    assert str(warning) == f"{warning.location}: {warning.path}: {warning.message}"


def test_a_field_set_to_its_default_is_as_if_unset() -> None:
    """What protobuf cannot tell from unset is neither warned about nor refused."""
    hcm = "stat_prefix: p, codec_type: AUTO, xff_num_trusted_hops: 0, access_log: [], proxy_100_continue: false"
    assert Policy.parse(document(hcm=hcm)).warnings == ()


def test_what_is_ignored_must_be_valid_all_the_same() -> None:
    """Inside a field without effect, unknown fields and wrong types are still errors."""
    assert "no field 'adress'" in refusal(document(top="admin: {adress: {}}"))
    assert "unknown type" in refusal(
        document(hcm='stat_prefix: p, access_log: [{name: a, typed_config: {"@type": a/b.C}}]')
    )


def test_known_types_of_every_kind_are_recognised() -> None:
    """Envoy's extensions are told apart by kind, and each refusal names the kind."""
    for kind, words in {
        "envoy.extensions.filters.http.cors.v3.Cors": "HTTP filter envoy.filters.http.cors",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": "network filter envoy.filters.network.tcp_proxy",
        "envoy.extensions.transport_sockets.alts.v3.Alts": "transport socket Alts",
        "envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport": "HTTP/3",
        "envoy.extensions.transport_sockets.starttls.v3.UpstreamStartTlsConfig": "upgrades a connection in the middle",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": "another proxy",
        "envoy.extensions.clusters.redis.v3.RedisClusterConfig": "clusters of type redis",
        "envoy.config.trace.v3.DatadogConfig": "the tracer DatadogConfig",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": "known to Envoy but not supported",
    }.items():
        assert words in refusal(document(filters=f'{{name: x, typed_config: {{"@type": {TYPE}{kind}}}}}, {ROUTER}'))


def test_the_tables_name_what_exists() -> None:
    """Every field in the tables is a field of Envoy's schema, and in one table only."""
    schema = envoy()
    for name in (*IGNORED, *REFUSED, *REFUSED_VALUES):
        message, _, field = name.rpartition(".")
        descriptor = schema.find(message)
        assert descriptor is not None, message
        assert field in descriptor.by_either_name, name
    for message, fields in ADAPTED.items():
        descriptor = schema.find(message)
        assert descriptor is not None, message
        assert fields <= set(descriptor.by_either_name), message
        assert not {f"{message}.{field}" for field in fields} & (IGNORED.keys() | REFUSED.keys())
    assert not IGNORED.keys() & REFUSED.keys()
    for name in NEWER_FIELDS:
        descriptor = schema.find(name.rpartition(".")[0])
        assert descriptor is not None
        assert name.rpartition(".")[2] not in descriptor.by_either_name, f"{name} is in the schema now"


def test_the_model_mirrors_envoy() -> None:
    """Every field of the model is a field of Envoy's message of that name, but for the flattened ones."""
    schema = envoy()
    for message, cls in CLASSES.items():
        fields = names_of(cls)
        descriptor = schema.find(message)
        assert descriptor is not None, message
        newer = {field for field in fields if f"{message}.{field}" in NEWER_FIELDS}
        assert set(fields) - FLATTENED.get(message, set()) - newer <= set(descriptor.by_either_name), message
        assert not {f"{message}.{field}" for field in fields} & (IGNORED.keys() | REFUSED.keys())


_WEIGHTED = "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"


@pytest.mark.parametrize(
    ("kind", "more", "refused"),
    [("STATIC", "", False), ("STATIC", "127.0.0.2", True), ("STRICT_DNS", "", True)],
)
def test_weights_by_load_reports_are_refused_where_they_would_matter(kind: str, more: str, refused: bool) -> None:
    """Of one endpoint no report can move traffic; of several, or of a name with several addresses, it can."""
    config = {"@type": f"type.googleapis.com/{_WEIGHTED}"}
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 80}}}}
        for address in ("127.0.0.1", more)
        if address
    ]
    cluster = {
        "name": "c", "type": kind, "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": endpoints}]},
        "load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "x", "typed_config": config}}]},
    }  # fmt: skip
    try:
        Policy.parse({"static_resources": {"clusters": [cluster]}})
    except PolicyError as error:
        assert refused and "several endpoints to weigh" in str(error)
    else:
        assert not refused


def test_every_class_of_the_model_is_found() -> None:
    """The table of messages names every class that a module of the model has, and none that it has not."""
    package = Path(model.__path__[0])
    modules = [
        ".".join(file.relative_to(package).with_suffix("").parts)
        for file in package.rglob("*.py")
        if file.name != "__init__.py"
    ]
    found = {
        name: one
        for module in modules
        for name, one in classes_of(module).items()
        if one.__module__ == f"{model.__name__}.{module}"
    }
    assert {name: CLASSES[name] for name in CLASSES} == found


def test_a_simple_policy_loads_few_messages() -> None:
    """What a policy does not name is not imported: filters, access logs, TLS, rate limits."""
    document = """
import sys
from ambassador_lib.policy import Policy
Policy.parse({"static_resources": {"clusters": [{"name": "c", "type": "EDS", "eds_cluster_config": {"eds_config": {
    "path_config_source": {"path": "/dev/null"}}}}]}})
rare = ("access_log", "filters.fault", "rate_limit", "tls", "hashing", "matching", "dynamic")
print([name for name in rare if f"ambassador_lib.policy.model.{name}" in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", document], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
