"""Fields that are the same without a scenario to show it: what they do, if anything, cannot be seen from outside.

A test keeps the table exact: it has the fields that no scenario is on record for, and no others.
"""

from __future__ import annotations

_LABEL = "a name for stats, logs and Envoy's admin interface"
_TYPE_DECIDES = "what the entry is, is decided by the type of its configuration, not by its name"
_CHOICE = "it has no value: it stands for itself where nothing else of its oneof is set"
_EXTENSIONS = "envoy.extensions."
_KEEPALIVE = "a socket's option: the system's probes carry nothing, and are never answered by an application"
_HCM = f"{_EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager"

UNSEEN = {
    "envoy.config.bootstrap.v3.Bootstrap.use_tcp_for_dns_lookups": "it is for the machine's own name servers",
    "envoy.config.core.v3.DnsResolverOptions.no_default_search_domain": "search domains are the machine's own",
    "envoy.config.core.v3.Node.id": _LABEL,
    "envoy.config.bootstrap.v3.RuntimeLayer.name": _LABEL,
    "envoy.config.core.v3.TypedExtensionConfig.name": _TYPE_DECIDES,
    "envoy.config.core.v3.TransportSocket.name": _TYPE_DECIDES,
    "envoy.config.core.v3.ConfigSource.resource_api_version": "V3 is the only version there is",
    "envoy.config.core.v3.SocketAddress.protocol": "TCP is the default, and UDP is refused",
    "envoy.config.listener.v3.Filter.name": _TYPE_DECIDES,
    "envoy.config.listener.v3.FilterChain.name": _LABEL,
    "envoy.config.listener.v3.Listener.listener_filters": "those that are not refused change nothing of plain HTTP",
    "envoy.config.listener.v3.ListenerFilter.name": _TYPE_DECIDES,
    "envoy.config.listener.v3.ListenerFilter.typed_config": "those that are not refused change nothing of plain HTTP",
    "envoy.config.cluster.v3.Cluster.CustomClusterType.name": _TYPE_DECIDES,
    "envoy.config.cluster.v3.Cluster.TransportSocketMatch.name": _LABEL,
    "envoy.config.cluster.v3.Cluster.per_connection_buffer_limit_bytes": "it bounds memory, by slowing the upstream",
    "envoy.config.cluster.v3.Cluster.upstream_connection_options": _KEEPALIVE,
    "envoy.config.cluster.v3.UpstreamConnectionOptions.tcp_keepalive": _KEEPALIVE,
    "envoy.config.core.v3.TcpKeepalive.keepalive_probes": _KEEPALIVE,
    "envoy.config.core.v3.TcpKeepalive.keepalive_time": _KEEPALIVE,
    "envoy.config.core.v3.TcpKeepalive.keepalive_interval": _KEEPALIVE,
    "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload.category": _LABEL,
    "envoy.config.accesslog.v3.AccessLog.name": _TYPE_DECIDES,
    "envoy.config.accesslog.v3.AccessLogFilter.not_health_check_filter": "no call of an application is a health check",
    "envoy.config.route.v3.FilterConfig.is_optional": "it is for filters that nobody knows, which are refused here",
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate.name": _TYPE_DECIDES,
    "envoy.config.route.v3.RetryPolicy.RetryPriority.name": _TYPE_DECIDES,
    "envoy.config.route.v3.RateLimit.Action.source_cluster": _CHOICE,
    "envoy.config.route.v3.RouteConfiguration.metadata": "nothing reads it",
    "envoy.config.route.v3.VirtualHost.name": _LABEL,
    "envoy.config.trace.v3.Tracing.Http.name": _TYPE_DECIDES,
    f"{_EXTENSIONS}common.ratelimit.v3.RateLimitDescriptor.entries": "policies hold its entries alone, elsewhere",
    f"{_EXTENSIONS}compression.gzip.compressor.v3.Gzip.chunk_size": "the size of a buffer",
    f"{_EXTENSIONS}compression.gzip.decompressor.v3.Gzip.chunk_size": "the size of a buffer",
    f"{_EXTENSIONS}filters.common.fault.v3.FaultDelay.header_delay": _CHOICE,
    f"{_EXTENSIONS}filters.common.fault.v3.FaultRateLimit.header_limit": _CHOICE,
    f"{_EXTENSIONS}filters.http.buffer.v3.BufferPerRoute.disabled": _CHOICE,
    f"{_EXTENSIONS}filters.http.compressor.v3.CompressorPerRoute.disabled": _CHOICE,
    f"{_EXTENSIONS}filters.http.adaptive_concurrency.v3.GradientControllerConfig.MinimumRTTCalculationParams.jitter": (
        "it moves the next measurement by chance, of which there is one an interval"
    ),
    f"{_EXTENSIONS}filters.http.local_ratelimit.v3.LocalRateLimit.stat_prefix": _LABEL,
    f"{_HCM}.stat_prefix": _LABEL,
    f"{_HCM}.InternalAddressConfig.unix_sockets": "no call of an application arrives over a Unix socket",
    f"{_EXTENSIONS}load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin."
    "slow_start_config": "it is supported where there is one host, which has all of the load at once",
    f"{_EXTENSIONS}load_balancing_policies.least_request.v3.LeastRequest.enable_full_scan": (
        "it does nothing any more: selection_method took its place"
    ),
    f"{_EXTENSIONS}transport_sockets.tls.v3.UpstreamTlsContext.allow_renegotiation": (
        "servers of today do not ask for it, and TLS 1.3 does not have it"
    ),
}
"""By a field's full name: why."""
