"""What the library does with each part of Envoy's schema: acts on it, warns that it has no effect, or refuses it.

One rule: a field whose absence the application (or an upstream) would notice is refused; one that only concerns the
proxy's own process, its sockets, stats or logs is ignored with a warning. A field that stands in no table here and in
no class of the model is refused. The tables of refusals give a better message than that default where there is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .messages import CLASSES
from .model.message import names_of
from .support_values import REFUSED_VALUES

__all__ = [
    "CHOICES", "HARMLESS_FILTERS", "IGNORED_INSIDE", "NEWER_BOOLEANS", "NEWER_FIELDS", "REFUSED_VALUES",
    "STATS_FILTERS", "TRACERS", "Verdict", "field_support", "flattened_from", "is_opaque_type",
    "is_refused_extension", "is_supported_type", "newer_fields", "supported_types", "type_refusal",
]  # fmt: skip

_CORE = "envoy.config.core.v3."
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3."
_HPO = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_LB = "envoy.extensions.load_balancing_policies"
_CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
_SYSTEM_RESOLVERS = (
    "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
    "envoy.extensions.network.dns_resolver.apple.v3.AppleDnsResolverConfig",
)
_DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster"

# Fields that adapters.py reads because the model flattens Envoy's shape. Classes of the model add their own fields.
ADAPTED: dict[str, frozenset[str]] = {
    message: frozenset(fields.split())
    for message, fields in {
        "envoy.config.bootstrap.v3.Bootstrap": "static_resources dynamic_resources layered_runtime node "
        "typed_dns_resolver_config dns_resolution_config use_tcp_for_dns_lookups cluster_manager",
        "envoy.config.bootstrap.v3.Bootstrap.StaticResources": "listeners clusters secrets",
        "envoy.config.bootstrap.v3.LayeredRuntime": "layers",
        "envoy.config.bootstrap.v3.RuntimeLayer": "name static_layer",
        "envoy.config.listener.v3.Listener": "filter_chains listener_filters",
        "envoy.config.listener.v3.ListenerFilter": "name typed_config",
        "envoy.config.listener.v3.FilterChain": "filters name",
        "envoy.config.listener.v3.Filter": "name typed_config",
        f"{_HCM}HttpConnectionManager": "common_http_protocol_options",
        "envoy.config.trace.v3.Tracing.Http": "name typed_config",
        "envoy.config.cluster.v3.Cluster": "typed_extension_protocol_options cluster_type "
        "http_protocol_options http2_protocol_options "
        "common_http_protocol_options upstream_http_protocol_options max_requests_per_connection dns_resolvers "
        "use_tcp_for_dns_lookups typed_dns_resolver_config load_balancing_policy",
        "envoy.config.cluster.v3.LoadBalancingPolicy": "policies",
        "envoy.config.cluster.v3.LoadBalancingPolicy.Policy": "typed_extension_config",
        f"{_LB}.round_robin.v3.RoundRobin": "slow_start_config locality_lb_config",
        f"{_LB}.random.v3.Random": "locality_lb_config",
        f"{_LB}.least_request.v3.LeastRequest": "choice_count active_request_bias slow_start_config "
        "locality_lb_config enable_full_scan selection_method",
        f"{_LB}.ring_hash.v3.RingHash": "hash_function minimum_ring_size maximum_ring_size use_hostname_for_hashing "
        "hash_balance_factor consistent_hashing_lb_config locality_weighted_lb_config",
        f"{_LB}.maglev.v3.Maglev": "table_size consistent_hashing_lb_config locality_weighted_lb_config",
        f"{_LB}.subset.v3.Subset": "fallback_policy default_subset subset_selectors locality_weight_aware "
        "scale_locality_weight panic_mode_any list_as_any metadata_fallback_policy subset_lb_policy",
        f"{_LB}.subset.v3.Subset.LbSubsetSelector": "keys single_host_per_subset fallback_policy fallback_keys_subset",
        f"{_LB}.wrr_locality.v3.WrrLocality": "endpoint_picking_policy",
        f"{_LB}.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin": "slow_start_config",
        f"{_LB}.common.v3.LocalityLbConfig": "zone_aware_lb_config locality_weighted_lb_config",
        f"{_LB}.common.v3.LocalityLbConfig.LocalityWeightedLbConfig": "",
        f"{_LB}.common.v3.LocalityLbConfig.ZoneAwareLbConfig": "routing_enabled min_cluster_size fail_traffic_on_panic "
        "force_locality_direct_routing force_local_zone locality_basis",
        f"{_LB}.common.v3.LocalityLbConfig.ZoneAwareLbConfig.ForceLocalZone": "min_size",
        f"{_LB}.common.v3.SlowStartConfig": "slow_start_window aggression min_weight_percent",
        f"{_LB}.common.v3.ConsistentHashingLbConfig": "use_hostname_for_hashing hash_balance_factor hash_policy",
        "envoy.config.cluster.v3.Cluster.CustomClusterType": "name typed_config",
        _HPO: "common_http_protocol_options upstream_http_protocol_options explicit_http_config auto_config",
        f"{_CORE}Http2ProtocolOptions": "max_concurrent_streams",
        f"{_HPO}.ExplicitHttpConfig": "http_protocol_options http2_protocol_options",
        f"{_HPO}.AutoHttpConfig": "http_protocol_options http2_protocol_options",
        f"{_CORE}HttpProtocolOptions": "idle_timeout max_requests_per_connection headers_with_underscores_action "
        "max_headers_count max_response_headers_kb max_connection_duration max_stream_duration",
        f"{_CORE}Http1ProtocolOptions": "header_key_format",
        f"{_CORE}Http1ProtocolOptions.HeaderKeyFormat": "proper_case_words",
        f"{_CORE}Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords": "",
        f"{_CORE}UpstreamHttpProtocolOptions": "auto_sni auto_san_validation override_auto_sni_header",
        f"{_CORE}ConfigSource": "path",
        f"{_CORE}DnsResolutionConfig": "resolvers dns_resolver_options",
        f"{_CORE}DnsResolverOptions": "use_tcp_for_dns_lookups no_default_search_domain",
        _CARES: "resolvers dns_resolver_options",
        _DNS_CLUSTER: "dns_refresh_rate dns_failure_refresh_rate respect_dns_ttl dns_jitter dns_lookup_family "
        "typed_dns_resolver_config all_addresses_in_single_endpoint",
        f"{_DNS_CLUSTER}.RefreshRate": "base_interval max_interval",
    }.items()
}

# Types that may stand in an `Any` and whose content does not matter here: valid is enough.
HARMLESS_FILTERS = frozenset(
    f"envoy.extensions.filters.listener.{name}"
    for name in ("tls_inspector.v3.TlsInspector", "original_dst.v3.OriginalDst", "http_inspector.v3.HttpInspector")
)
STATS_FILTERS = frozenset({"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"})
TRACERS = ("envoy.config.trace.v3.OpenTelemetryConfig", "envoy.config.trace.v3.ZipkinConfig")
LOGGERS = (
    "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
    "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
    "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
    "envoy.extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig",
    "envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
    "envoy.extensions.access_loggers.stats.v3.Config",
    "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
)
"""Access logs that go elsewhere than to a file or a standard stream."""
_OPAQUE_TYPES = frozenset(
    {
        *_SYSTEM_RESOLVERS,
        *HARMLESS_FILTERS,
        *STATS_FILTERS,
        *TRACERS,
        *LOGGERS,
        # Where one of these is the first of its list, lb_adapter.py refuses it.
        f"{_LB}.override_host.v3.OverrideHost",
        f"{_LB}.cluster_provided.v3.ClusterProvided",
    }
)

# Fields of Envoy 1.40 that the published protos of our schema's date do not have yet.
NEWER_FIELDS = {
    "envoy.config.cluster.v3.OutlierDetection.detect_degraded_hosts": "",
    "envoy.config.core.v3.WatchedDirectory.watch_modify": "",
    "envoy.config.route.v3.RedirectAction.path_rewrite": "a format for a redirect's path is not supported: use "
    "path_redirect, prefix_rewrite or regex_rewrite",
    "envoy.config.core.v3.HealthCheck.name": "",
    "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig.weaken_etag_on_compress": "",
    "envoy.extensions.http.injected_credentials.generic.v3.Generic.header_value_prefix": "",
}
"""With the reason why a field is refused; empty: it is taken."""

NEWER_BOOLEANS = frozenset(
    {
        "envoy.config.cluster.v3.OutlierDetection.detect_degraded_hosts",
        "envoy.config.core.v3.WatchedDirectory.watch_modify",
        "envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig.weaken_etag_on_compress",
    }
)
"""Those that are booleans; the others are strings."""

# Where the model has fields that Envoy keeps in another message.
_FLATTENED = {
    f"{_HCM}HttpConnectionManager.headers_with_underscores_action": f"{_CORE}HttpProtocolOptions",
    f"{_HCM}HttpConnectionManager.max_stream_duration": f"{_CORE}HttpProtocolOptions",
    f"{_HCM}HttpConnectionManager.max_headers_count": f"{_CORE}HttpProtocolOptions",
    f"{_HCM}HttpConnectionManager.allow_custom_methods": f"{_CORE}Http1ProtocolOptions",
    f"{_HPO}.idle_timeout": f"{_CORE}HttpProtocolOptions",
    f"{_HPO}.max_connection_duration": f"{_CORE}HttpProtocolOptions",
    f"{_HPO}.max_stream_duration": f"{_CORE}HttpProtocolOptions",
    f"{_HPO}.max_requests_per_connection": f"{_CORE}HttpProtocolOptions",
    f"{_HPO}.max_headers_count": f"{_CORE}HttpProtocolOptions",
    f"{_HPO}.max_response_headers_kb": f"{_CORE}HttpProtocolOptions",
    f"{_HPO}.max_concurrent_streams": f"{_CORE}Http2ProtocolOptions",
    f"{_HPO}.auto_sni": f"{_CORE}UpstreamHttpProtocolOptions",
    f"{_HPO}.auto_san_validation": f"{_CORE}UpstreamHttpProtocolOptions",
    f"{_HPO}.override_auto_sni_header": f"{_CORE}UpstreamHttpProtocolOptions",
}

# Fields that the model has in place of a message of Envoy's, and the words that they may hold.
CHOICES = {
    f"{_HPO}.protocol": ("http1", "http2", "auto"),
    "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig.selection_method": ("N_CHOICES", "FULL_SCAN"),
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig.locality_basis": (
        "HEALTHY_HOSTS_NUM",
        "HEALTHY_HOSTS_WEIGHT",
    ),
    f"{_HCM}HttpConnectionManager.Tracing.provider": ("opentelemetry", "zipkin"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refused` with the reason in `text`; else `text` is a warning, if any, and `acts` whether the field is used."""

    refused: bool = False
    acts: bool = True
    text: str = ""


_USED = Verdict()
IGNORED_INSIDE = Verdict(acts=False)


def field_support(message: str, field: str) -> Verdict:
    """Tell what happens to a field that a document sets."""
    if field in ADAPTED.get(message, ()):
        return _USED
    if message in CLASSES and field in names_of(CLASSES[message]):
        return _USED
    from .support_ignored import IGNORED  # the tables of what is not used are 0.1 MB

    name = f"{message}.{field}"
    if (reason := IGNORED.get(name)) is not None:
        return Verdict(acts=False, text=f"no effect: {reason}")
    from .support_refused import REFUSED

    if (reason := REFUSED.get(name)) is not None:
        return Verdict(refused=True, text=reason)
    return Verdict(refused=True, text=f"{field} is known to Envoy but not supported by ambassador_lib")


def flattened_from(name: str) -> str:
    """Return the full name that Envoy has for a field of the model."""
    message = _FLATTENED.get(name)
    return name if message is None else f"{message}.{name.rpartition('.')[2]}"


def is_supported_type(name: str) -> bool:
    """Tell whether a message of that type may stand in an `Any` that we act on."""
    return name in CLASSES or name in ADAPTED or name in _OPAQUE_TYPES


def is_opaque_type(name: str) -> bool:
    """Tell whether nothing inside the type has an effect."""
    return name in _OPAQUE_TYPES


def type_refusal(name: str) -> str:
    """Say why a known type cannot stand in an `Any`."""
    from .support_types import TYPE_REFUSALS

    for pattern, message in TYPE_REFUSALS:
        if found := re.match(pattern, name):
            return found.expand(message)
    return f"{name} is known to Envoy but not supported by ambassador_lib"


def supported_types() -> frozenset[str]:
    """Return the messages that we act on, wherever they stand."""
    return frozenset((*CLASSES, *ADAPTED, *_OPAQUE_TYPES))


def newer_fields(message: str) -> list[str]:
    """Return the fields of a message that Envoy has and our schema has not."""
    return [name.rpartition(".")[2] for name in NEWER_FIELDS if name.rpartition(".")[0] == message]


def is_refused_extension(name: str) -> bool:
    """Tell whether a type is refused with a reason of its own, rather than for being unknown to us."""
    from .support_types import TYPE_REFUSALS

    return not is_supported_type(name) and any(re.match(pattern, name) for pattern, _ in TYPE_REFUSALS)
