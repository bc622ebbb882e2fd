"""What is lost in silence elsewhere is a warning here, in the policy and in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import Policy

from .documents import ROUTER, ROUTER_TYPE, TYPE, document, protocol_options, tls

LISTENER = f"{TYPE}envoy.extensions.filters.listener."
GRPC_STATS = f'{{name: x, typed_config: {{"@type": {TYPE}envoy.extensions.filters.http.grpc_stats.v3.FilterConfig}}}}'
CODEC = f"{TYPE}envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"


def listening(type_name: str) -> str:
    filters = f'    listener_filters: [{{name: x, typed_config: {{"@type": {TYPE}{type_name}}}}}]\n'
    return document().replace("    filter_chains:", f"{filters}    filter_chains:")


def retrying(policy: str) -> str:
    return document(route=f"cluster: c, retry_policy: {{{policy}}}")


def runtime(key: str) -> str:
    return document(top=f"layered_runtime: {{layers: [{{name: a, static_layer: {{{key}: 1}}}}]}}")


def upstream(options: str) -> str:
    return document(cluster=protocol_options(options))


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (
            retrying('retry_on: "5xx,gatway-error"'),
            "retry_policy.retry_on",
            "'gatway-error' is no condition; did you mean",
        ),
        (retrying("retry_on: whatever-else"), "retry_policy.retry_on", "the conditions are 5xx"),
        (retrying("retry_on: retriable-status-codes"), "retry_on", "there are no retriable_status_codes"),
        (retrying("num_retries: 3"), "num_retries", "there is no retry_on"),
        (document() + "---\na: 1\n", "", "a second document, which is not read"),
        (document() + "---\na: [\n", "", "a second document"),
        (document(cluster="connect_timeout: 1s, connect_timeout: 2s"), "", "the key 'connect_timeout' stands twice"),
        (document(cluster="connectTimeout: 1s, connect_timeout: 2s"), "connect_timeout", "set in both spellings"),
        (
            document(cluster="metadata: {filter_metadata: {ambasador_lib: {}}}"),
            "filter_metadata",
            "mean ambassador_lib?",
        ),
        (
            document(cluster="metadata: {filter_metadata: {ambassador-lib: {}}}"),
            "filter_metadata",
            "mean ambassador_lib?",
        ),
        (
            document(on_route="metadata: {filter_metadata: {ambassador_lib: {circuit_breaker: {}}}}"),
            "routes[0].metadata.filter_metadata",
            "ambassador_lib is read from clusters alone",
        ),
        (
            document(hcm="stat_prefix: p, internal_address_config: {unix_sockets: true}"),
            "internal_address_config.unix_sockets",
            "no effect",
        ),
        (document(more_clusters="- {name: d, type: STATIC}"), "clusters[1].load_assignment", "d has no endpoints"),
        (document(filters=ROUTER.removesuffix("}") + ", is_optional: true}"), "is_optional", "no effect"),
        (document(filters=f"{{name: x, is_optional: true}}, {ROUTER}"), "http_filters[0]", "it is optional"),
        (
            document(filters=f"{GRPC_STATS}, {ROUTER}"),
            "http_filters[0].typed_config",
            "only concerns Envoy's stats",
        ),
        # what concerns the proxy alone
        (runtime("overload.global_downstream_max_connections"), "max_connections", "no effect"),
        (runtime("envoy.reloadable_features.x"), "envoy.reloadable_features.x", "no effect"),
        (runtime("re2.max_program_size.warn_level"), "warn_level", "no effect"),
        (document(hcm="stat_prefix: p, request_headers_timeout: 5s"), "request_headers_timeout", "no effect"),
        (
            listening("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"),
            "listener_filters[0]",
            "no effect",
        ),
        (
            listening("envoy.extensions.filters.listener.original_dst.v3.OriginalDst"),
            "listener_filters[0]",
            "no effect",
        ),
        (listening("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"), "filters[0]", "no effect"),
        (
            upstream("explicit_http_config: {http2_protocol_options: {hpack_table_size: 100}}"),
            "hpack_table_size",
            "no effect",
        ),
    ],
)
def test_what_is_lost_is_a_warning(text: str, path: str, words: str) -> None:
    """Envoy takes each of these, and so do we, but not in silence."""
    (warning,) = Policy.parse(text).warnings
    assert warning.path.endswith(path)
    assert words in warning.message


@pytest.mark.parametrize(
    "text",
    [
        retrying('retry_on: "5xx, reset,,unavailable", num_retries: 2'),
        retrying("retry_on: retriable-status-codes, retriable_status_codes: [503]"),
        retrying("num_retries: 0"),
        document() + "---\n",
        document() + "...\n",
        document(cluster="metadata: {filter_metadata: {ambassador_lib: {circuit_breaker: {}}}}"),
        document(cluster="metadata: {filter_metadata: {envoy.lb: {}}}"),
        document(hcm="stat_prefix: p, xff_num_trusted_hops: 0"),
    ],
)
def test_what_is_not_lost_is_none(text: str) -> None:
    """A warning that is not one would teach people to look away."""
    assert Policy.parse(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (runtime("overload.premature_reset_total_stream_count"), "is not supported yet"),
        (listening("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"), "proxy_protocol"),
        (listening("envoy.config.trace.v3.ZipkinConfig"), "listener filters are not supported"),
        (
            upstream(
                "explicit_http_config: {http_protocol_options: {}}, "
                f'http_filters: [{{name: c, typed_config: {{"@type": {ROUTER_TYPE}}}}}]'
            ),
            "upstream_codec must be the last of these filters",
        ),
        (document(filters=f'{{name: c, typed_config: {{"@type": {CODEC}}}}}, {ROUTER}'), "cannot stand here"),
        (
            document(endpoint="address: {socket_address: {address: 127.0.0.1, port_value: 1, protocol: UDP}}"),
            "endpoint.address.socket_address.protocol: UDP is not supported",
        ),
        (
            document(listener_address="address: 127.0.0.1, port_value: 1, protocol: UDP"),
            "listeners[0].address.socket_address.protocol: UDP is not supported",
        ),
        (
            document(cluster="transport_socket: {name: x, typed_config: "
                     f'{{"@type": {TYPE}envoy.config.trace.v3.ZipkinConfig}}}}'),
            "cannot stand here",
        ),
        (
            document(
                hcm='stat_prefix: p, tracing: {provider: {name: x, typed_config: {"@type": '
                f"{LISTENER}tls_inspector.v3.TlsInspector}}}}}}"
            ),
            "is not a tracer",
        ),
    ],
)  # fmt: skip
def test_what_is_beside_the_harmless_is_refused(text: str, words: str) -> None:
    """What is let through is let through in its place only."""
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    (fault,) = caught.value.faults
    assert words in str(fault)


def test_a_table_from_xds_is_one_fault() -> None:
    """With `rds` the route table is not missing: only the server that it would come from is."""
    text = document().replace("route_config:", "rds: {route_config_name: r, config_source: {ads: {}}}, x:")
    text = text[: text.index("x: {")] + "}\n"
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    (fault,) = caught.value.faults
    assert fault.message == "xDS over gRPC and REST is not supported yet: only files (path_config_source)"


def test_each_warning_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has to look at `policy.warnings` to learn that certificates are not verified."""
    file = tmp_path / "envoy.yaml"
    file.write_text(tls())
    with caplog.at_level(logging.WARNING, "ambassador_lib.policy"):
        policy = Policy.load(file)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("ambassador_lib.policy", logging.WARNING)
    assert record.getMessage() == str(policy.warnings[0])
    caplog.clear()
    Policy.parse({"admin": {}})
    (record,) = caplog.records
    assert "no admin interface" in record.getMessage()


@pytest.mark.parametrize("text", ["static_resources: {}", "a:\n  b: 1\n", '{"static_resources": {}}'])
def test_a_text_in_place_of_a_path_is_pointed_out(text: str) -> None:
    """Who gives the policy itself where its path belongs is told how."""
    with pytest.raises(PolicyError, match=r"use Policy\.parse"):
        Policy.load(text)


def test_the_working_directory_is_named_where_it_matters(tmp_path: Path) -> None:
    """A relative path that is not there was looked for somewhere; an absolute one, or a folder, was not."""
    with pytest.raises(PolicyError, match="looked in"):
        Policy.load("absent.yaml")
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(PolicyError) as caught:
            Policy.load(path)
        assert caught.value.faults[0].help == ""
