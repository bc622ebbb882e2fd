"""Fields that are valid and have no effect here: message, then field, then the reason that the warning gives."""

from __future__ import annotations

_STATS = "it only concerns Envoy's stats"
_LOGS = "a listener's own log is of connections, and none are accepted in the process"
_TRIES = "tries are not logged one by one; each response carries its call report, with all of them"
_SOCKET = "no listening socket is opened in the process"
_DOWNSTREAM = "there is no connection between the application and the policy"
_PROCESS = "it concerns the proxy's own process"
_HTTP2 = "flow control is the HTTP/2 library's"
_GRPC = "only gRPC heeds it, not Envoy"
_DNS = "the DNS library decides"

_BY_MESSAGE: dict[str, dict[str, str]] = {
    "envoy.config.bootstrap.v3.Bootstrap": {
        "bootstrap_extensions default_socket_interface certificate_provider_instances": "extensions of the proxy are "
        "not run; what refers to them is refused",
        "admin stats_flush_interval stats_flush_on_admin stats_config stats_sinks stats_eviction_interval "
        "enable_dispatcher_stats stats_server_version_override deferred_stat_options": "there is no admin interface "
        "and no stats sink in the process",
        "watchdog watchdogs overload_manager flags_path fatal_actions perf_tracing_file_path inline_headers "
        "application_log_config grpc_async_client_manager_config memory_allocator_manager listener_manager "
        "node_context_params": _PROCESS,
    },
    "envoy.config.bootstrap.v3.ClusterManager": {
        "outlier_detection": "ejections are not logged to a file",
        "enable_deferred_cluster_creation": _PROCESS,
    },
    "envoy.config.bootstrap.v3.RuntimeLayer": {"admin_layer": "there is no admin interface in the process"},
    "envoy.config.core.v3.ConfigSource": {"initial_fetch_timeout": "a file is read at once"},
    "envoy.config.core.v3.Node": {
        "metadata dynamic_parameters user_agent_name user_agent_version user_agent_build_version extensions "
        "client_features listening_addresses": "only a management server reads it",
    },
    "envoy.config.listener.v3.Listener": {
        "access_log": _LOGS,
        "stat_prefix": _STATS,
        "metadata drain_type listener_filters_timeout continue_on_listener_filters_timeout freebind transparent "
        "socket_options tcp_fast_open_queue_length connection_balance_config reuse_port enable_reuse_port "
        "tcp_backlog_size max_connections_to_accept_per_socket_event enable_mptcp ignore_global_conn_limit "
        "bypass_overload_manager": _SOCKET,
    },
    "envoy.config.listener.v3.AdditionalAddress": {"socket_options": _SOCKET},
    "envoy.config.listener.v3.ListenerFilter": {"filter_disabled": _SOCKET},
    "envoy.config.core.v3.SocketAddress": {"ipv4_compat": _SOCKET},
    "envoy.config.core.v3.Pipe": {"mode": _SOCKET},
    "envoy.config.listener.v3.FilterChain": {
        "transport_socket": "no TLS is spoken between the application and the policy, whatever the URL's scheme",
        "transport_socket_connect_timeout metadata": _SOCKET,
    },
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": {
        "set_current_client_cert_details": "the application presents no certificate",
        "append_local_overload": "there is no overload manager in the process",
        "access_log_options access_log_flush_interval flush_access_log_on_new_request": "each call is logged once, "
        "when it has ended",
        "codec_type http_protocol_options http2_protocol_options http3_protocol_options drain_timeout "
        "delayed_close_timeout request_headers_timeout stream_error_on_invalid_http_message "
        "add_proxy_protocol_connection_state http1_safe_max_connection_duration stream_flush_timeout": _DOWNSTREAM,
    },
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing": {
        "verbose max_path_tag_length custom_tags operation upstream_operation": "spans follow OpenTelemetry's "
        "conventions",
    },
    "envoy.extensions.filters.http.header_mutation.v3.Mutations": {
        "response_trailers_mutations request_trailers_mutations": "httpx knows no trailers",
    },
    "envoy.extensions.filters.http.fault.v3.HTTPFault": {
        "disable_downstream_cluster_stats": _STATS,
        "filter_metadata": "no filter and no log here reads it",
    },
    "envoy.extensions.filters.http.router.v3.Router": {
        "upstream_log upstream_log_options": _TRIES,
        "dynamic_stats suppress_grpc_request_failure_code_stats": _STATS,
        "start_child_span": "each try has a span of its own",
    },
    "envoy.config.route.v3.Tracing": {
        "custom_tags operation upstream_operation": "spans follow OpenTelemetry's conventions"
    },
    "envoy.config.route.v3.VirtualHost": {"virtual_clusters": _STATS},
    "envoy.config.route.v3.Route": {"stat_prefix": _STATS},
    "envoy.config.route.v3.RouteAction": {"flush_timeout": _DOWNSTREAM},
    "envoy.config.route.v3.HedgePolicy": {
        "initial_requests additional_request_chance": "Envoy does not act on it either",
    },
    "envoy.config.route.v3.WeightedCluster": {"total_weight": "it is the sum of the weights, in Envoy too"},
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds": {"track_remaining": _STATS},
    "envoy.config.cluster.v3.Cluster.CommonLbConfig": {"update_merge_window": "changes of hosts are seen at once"},
    "envoy.config.cluster.v3.Cluster": {
        "alt_stat_name track_timeout_budgets track_cluster_stats lrs_server lrs_report_endpoint_metrics": _STATS,
        "preconnect_policy connection_pool_per_downstream_connection": "connections are made when they are needed",
        "close_connections_on_host_health_failure": "HTTP connections to a failed host are given up either way",
    },
    "envoy.config.cluster.v3.UpstreamConnectionOptions": {
        "set_local_interface_name_on_upstream_connections": "no filter here asks for the interface",
        "happy_eyeballs_config": "the connection engine decides which of several addresses is tried next",
    },
    "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin": {
        "enable_oob_load_report oob_reporting_period blackout_period weight_expiration_period weight_update_period "
        "error_utilization_penalty metric_names_for_computing_utilization": "load reports of endpoints are not read: "
        "weights stay equal",
    },
    "envoy.extensions.load_balancing_policies.subset.v3.Subset": {
        "allow_redundant_keys": "keys of a route that no selector has are looked at as without it",
    },
    "envoy.config.endpoint.v3.LocalityLbEndpoints": {"metadata proximity": "no load balancer here reads it"},
    "envoy.config.core.v3.HeaderValue": {"raw_value": "Envoy adds no header of it either: use value"},
    "envoy.config.core.v3.SubstitutionFormatString": {
        "json_format_options": "the keys of JSON objects are always sorted"
    },
    "envoy.config.core.v3.Metadata": {"typed_filter_metadata": "no filter here reads it"},
    "envoy.config.core.v3.HealthCheck": {
        "event_log_path event_logger event_service always_log_health_check_failures "
        "always_log_health_check_success": "health check events are not logged",
        "alt_port": "Envoy does not heed it either: use the endpoint's health_check_config",
    },
    "envoy.config.core.v3.Http2ProtocolOptions": {
        "stream_error_on_invalid_http_messaging override_stream_error_on_invalid_http_message": "what breaks the "
        "protocol ends the connection",
        "hpack_table_size initial_stream_window_size initial_connection_window_size max_outbound_frames "
        "max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload use_oghttp2_codec "
        "max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent "
        "max_metadata_size": _HTTP2,
        "connection_keepalive": "no PINGs are sent: a dead connection is noticed by timeouts alone",
    },
    "envoy.config.core.v3.Http1ProtocolOptions": {
        "allow_chunked_length override_stream_error_on_invalid_http_message": "a response with both lengths is "
        "refused, as Envoy does unless told otherwise",
        "allow_absolute_url accept_http_10 default_host_for_http_10 use_balsa_parser allow_custom_methods": _DOWNSTREAM,
    },
    "envoy.type.matcher.v3.RegexMatcher": {"google_re2": "RE2 is the only engine"},
    "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": {
        "filter_unroutable_families udp_max_queries query_timeout_seconds query_tries rotate_nameservers "
        "edns0_max_payload_size max_udp_channel_duration reinit_channel_on_timeout": _DNS,
    },
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": {
        "enforce_rsa_key_usage": "a key's usage is always enforced, by Envoy 1.40, too",
    },
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext": {
        "key_log": "TLS keys are not logged",
        "tls_certificate_provider_instance tls_certificate_certificate_provider "
        "tls_certificate_certificate_provider_instance validation_context_certificate_provider "
        "validation_context_certificate_provider_instance": _GRPC,
    },
    "envoy.extensions.transport_sockets.tls.v3.Secret": {"session_ticket_keys": "only a server has tickets"},
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret": {"secrets": "no filter here reads it"},
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext": {
        "validation_context_certificate_provider validation_context_certificate_provider_instance": _GRPC,
    },
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate": {
        "ocsp_staple signed_certificate_timestamp": "only a server sends it",
    },
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext": {
        "ca_certificate_provider_instance system_root_certs": _GRPC,
        "require_signed_certificate_timestamp max_verify_depth": "Envoy 1.40 does not heed it either",
    },
    "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher": {"oid": "it is for names of type OTHER_NAME"},
}

IGNORED: dict[str, str] = {
    f"{message}.{field}": reason
    for message, groups in _BY_MESSAGE.items()
    for fields, reason in groups.items()
    for field in fields.split()
}
