"""Fields and values of Envoy that are refused, with messages that name what is missing.

What stands neither here nor in the model is refused too, with a message that only says so.
"""

from __future__ import annotations

from .support_values import ORIGINAL

_BIND = "connections with upstreams are not bound to an address of their own"
_CHAIN = "one filter chain without conditions is supported: a call's URL names the listener"
_NAMED = "endpoints are named where they stand, in lb_endpoints"
_INTERNAL = "internal listeners, which join parts of the proxy, are not supported"
_SERVER = "xDS over gRPC and REST is not supported yet: only files (path_config_source)"
_XDS = "xDS finds listeners, route tables, clusters and endpoints, from files; this is not supported yet"
_FILTERS = "settings of HTTP filters are not supported yet: the router is the only filter"
_OVERRIDE = "no filter here overrides the host"
_PLUGIN = "cluster specifier plugins are not supported: use cluster, cluster_header or weighted_clusters"
_RETRY = "retry policies that are extensions are not supported: use retry_policy"

_BY_MESSAGE: dict[str, dict[str, str]] = {
    "envoy.config.bootstrap.v3.Bootstrap": {
        "config_sources default_config_source xds_delegate_extension xds_config_tracker_extension": _SERVER,
        "hds_config": "health discovery is not supported",
        "tracing": "set tracing on the connection manager instead",
        "header_prefix": "Envoy's own headers begin with x-envoy-, always",
        "default_regex_engine": "regular expressions are RE2's, always",
    },
    "envoy.config.bootstrap.v3.ClusterManager": {
        "upstream_bind_config": _BIND,
        "load_stats_config": "reporting load to a management server is not supported",
    },
    "envoy.config.bootstrap.v3.Bootstrap.DynamicResources": {
        "ads_config lds_resources_locator cds_resources_locator": _SERVER,
    },
    "envoy.config.core.v3.ConfigSource": {"api_config_source ads self authorities": _SERVER},
    "envoy.config.bootstrap.v3.RuntimeLayer": {
        "rtds_layer": _XDS,
        "disk_layer": "runtime layers on disk are not supported yet",
    },
    "envoy.config.listener.v3.Listener": {
        "fcds_config api_listener": _XDS,
        "default_filter_chain filter_chain_matcher": _CHAIN,
        "deprecated_v1": "use bind_to_port",
        "udp_listener_config": "HTTP/3 and UDP are not supported",
        "internal_listener": _INTERNAL,
        "use_original_dst": "listener filters are not supported: the call's URL names the listener",
    },
    "envoy.config.listener.v3.ListenerFilter": {"config_discovery": _SERVER},
    "envoy.config.core.v3.Address": {"envoy_internal_address": _INTERNAL},
    "envoy.config.core.v3.SocketAddress": {
        "named_port": "services' names are not looked up: write the number as port_value",
        "resolver_name": "resolvers of addresses are not supported: clusters of type STRICT_DNS resolve names",
        "network_namespace_filepath": "network namespaces are not entered",
    },
    "envoy.config.endpoint.v3.LbEndpoint": {"endpoint_name": _NAMED},
    "envoy.config.cluster.v3.OutlierDetection": {"monitors": "monitors that are extensions are not supported"},
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor": {
        "limit hits_addend": "limits of single descriptors are for the global rate limit, which is not supported",
    },
    "envoy.config.common.matcher.v3.MatchPredicate": {
        "http_request_headers_match http_request_trailers_match http_response_trailers_match "
        "http_request_generic_body_match http_response_generic_body_match": "a response is judged by its headers: "
        "use http_response_headers_match",
    },
    "envoy.config.listener.v3.FilterChain": {
        "filter_chain_match": _CHAIN,
        "use_proxy_proto": "the PROXY protocol is not supported",
    },
    "envoy.config.listener.v3.Filter": {"config_discovery": _XDS},
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": {
        "scoped_routes": "scoped routes are not supported: use rds or route_config",
        "upgrade_configs": "protocol upgrades are not supported",
        "original_ip_detection_extensions": "extensions that detect the caller's address are not supported: the "
        "application is the caller",
        "early_header_mutation_extensions": "early header mutations are not supported: use the filter header_mutation",
        "forward_client_cert_matcher": "matcher trees are not supported",
        "proxy_100_continue": "100 Continue is not passed on: httpx has no way to see it",
        "represent_ipv4_remote_address_as_ipv4_mapped_ipv6": "IPv4 addresses are told as what they are",
        "path_normalization_options": "Envoy does not implement it: use normalize_path and merge_slashes",
        "proxy_status_config": "the header Proxy-Status is not supported: each response carries its call report",
        "typed_header_validation_config": "header validation extensions are not supported",
    },
    "envoy.config.core.v3.SchemeHeaderTransformation": {
        "match_upstream": "the scheme is the application's: use scheme_to_overwrite",
    },
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": {"config_discovery": _XDS},
    "envoy.config.core.v3.KeyValueAppend": {"entry": "Envoy itself takes record only, today"},
    "envoy.config.route.v3.RateLimit": {
        "limit": "limits set by a request are for the global rate limit, which is not supported",
        "apply_on_stream_done": "counting requests when they are over is not supported",
    },
    "envoy.config.route.v3.RateLimit.HitsAddend": {"format": "counts from a command operator are not supported"},
    "envoy.config.route.v3.RateLimit.Action": {
        "dynamic_metadata metadata": "descriptors from metadata are not supported",
        "extension": "descriptors from extensions are not supported",
    },
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": {
        "local_cluster_rate_limit": "sharing a limit among the members of a cluster is not supported: each process has "
        "its own",
        "local_rate_limit_per_downstream_connection": "there is no connection between the application and the policy: "
        "without it, all calls share the bucket",
    },
    "envoy.config.route.v3.RouteConfiguration": {
        "cluster_specifier_plugins": _PLUGIN,
        "vhds": _XDS,
    },
    "envoy.config.route.v3.VirtualHost": {
        "retry_policy_typed_config": _RETRY,
        "cors": _FILTERS,
        "matcher": "matcher trees are not supported yet: use routes",
    },
    "envoy.config.route.v3.Route": {
        "filter_action": _FILTERS,
    },
    "envoy.config.route.v3.RouteAction": {
        "cluster_specifier_plugin inline_cluster_specifier_plugin": _PLUGIN,
        "path_rewrite_policy": "URI templates are not supported: use regex_rewrite or path_rewrite",
        "retry_policy_typed_config": _RETRY,
        "early_data_policy": "early data is not supported",
        "cors": _FILTERS,
        "upgrade_configs": "protocol upgrades are not supported",
    },
    "envoy.config.route.v3.RouteAction.HashPolicy": {
        "filter_state": "no filter here writes filter state: hash a header instead",
    },
    "envoy.config.route.v3.RetryPolicy": {
        "retry_options_predicates": "Envoy itself has none: such a predicate is code of its operator's own",
    },
    "envoy.config.endpoint.v3.ClusterLoadAssignment": {"named_endpoints": _NAMED},
    "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": {
        "use_resolvers_as_fallback": "the resolvers that are given are the ones that are asked",
    },
    "envoy.config.cluster.v3.Cluster": {
        "upstream_bind_config": _BIND,
        "protocol_selection": "use typed_extension_protocol_options, with auto_config for a choice by ALPN",
        "filters": "network filters of a cluster are not supported: HTTP goes straight to its connections",
        "upstream_config": "HTTP is carried as HTTP: tunnels through an upstream are not supported",
        "transport_socket_matcher": "choosing a transport socket by a matcher tree is not supported: use "
        "transport_socket_matches",
        "original_dst_lb_config cleanup_interval": ORIGINAL,
    },
    "envoy.config.cluster.v3.Cluster.CommonLbConfig": {
        "override_host_status": _OVERRIDE,
        "close_connections_on_host_set_change": "closing connections when hosts change is not supported yet",
    },
    "envoy.config.endpoint.v3.LocalityLbEndpoints": {
        "leds_cluster_locality_config load_balancer_endpoints": _XDS,
    },
    "envoy.config.core.v3.HealthCheck": {
        "custom_health_check": "custom health checks are code of Envoy's: use http_health_check, tcp_health_check or "
        "grpc_health_check",
    },
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "header_validation_config": "header validation extensions are not supported",
        "use_downstream_protocol_config": "the application's protocol is httpx's: use explicit_http_config",
    },
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig": {
        "http3_protocol_options": "HTTP/3 is not supported",
    },
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig": {
        "http3_protocol_options": "HTTP/3 is not supported",
        "alternate_protocols_cache_options": "HTTP/3 is not supported",
    },
    "envoy.config.core.v3.HealthCheck.TcpHealthCheck": {
        "proxy_protocol_config": "the PROXY protocol is not supported",
    },
    "envoy.extensions.transport_sockets.tls.v3.TlsParameters": {
        "signature_algorithms": "Python's ssl module cannot set signature algorithms",
        "compliance_policies": "Python's ssl module has no compliance policies: set versions and cipher_suites",
    },
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext": {
        "custom_handshaker custom_tls_certificate_selector": "handshakes and the choice of certificates are Python's",
    },
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate": {
        "pkcs12": "Python's ssl module cannot read PKCS #12: make certificate_chain and private_key of it with "
        "openssl pkcs12",
        "private_key_provider": "keys outside the process are not supported: Python's ssl module wants the key itself",
    },
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext": {
        "custom_validator_config": "validators are code of Envoy's: use trusted_ca and match_typed_subject_alt_names",
    },
    "envoy.config.core.v3.DataSource": {
        "watched_directory": "following one source alone is not supported: a secret has a watched_directory of its own",
    },
    "envoy.config.core.v3.SubstitutionFormatString": {
        "formatters": "format extensions are not supported: use the built-in command operators",
    },
    "envoy.config.core.v3.JsonFormatOptions": {"sort_properties": "the keys of JSON objects are always sorted"},
    "envoy.config.accesslog.v3.AccessLogFilter": {
        "extension_filter": "extensions that filter logs or local replies are not supported: use the built-in filters",
        "metadata_filter": "filters by dynamic metadata are not supported: no filter here sets any",
    },
    "envoy.config.route.v3.RouteMatch": {
        "connect_matcher": "CONNECT is not carried: httpx makes tunnels of its own",
        "path_match_policy": "URI templates are not supported: use prefix, path or safe_regex",
        "dynamic_metadata": "dynamic metadata is not matched: nothing sets any before a route is chosen",
        "filter_state": "filter state is not matched: nothing sets any before a route is chosen",
    },
    "envoy.type.matcher.v3.StringMatcher": {
        "custom": "string matchers that are extensions are not supported",
    },
    "envoy.config.core.v3.Http1ProtocolOptions": {
        "enable_trailers": "trailers are not passed on: httpx has no way to see them",
        "send_fully_qualified_url": "absolute URLs in request lines are not sent: that is a proxy's form",
        "ignore_http_11_upgrade": "protocol upgrades are not supported",
    },
    "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat": {
        "stateful_formatter": "names of headers keep no case on their way through: use proper_case_words",
    },
    "envoy.config.core.v3.Http2ProtocolOptions": {
        "allow_connect": "CONNECT is not carried: httpx makes tunnels of its own",
        "allow_metadata": "HTTP/2 METADATA frames are not supported",
        "custom_settings_parameters": "settings of one's own are not sent",
    },
}

REFUSED: dict[str, str] = {
    f"{message}.{field}": reason
    for message, groups in _BY_MESSAGE.items()
    for fields, reason in groups.items()
    for field in fields.split()
}
