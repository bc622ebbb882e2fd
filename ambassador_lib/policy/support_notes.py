"""Notes on fields that we act on, where an operator of Envoy would not guess how; shown in docs/coverage.md."""

from __future__ import annotations

NOTES: dict[str, str] = {
    "envoy.config.listener.v3.Listener.address": "an IP address; a listener on another's address is refused",
    "envoy.config.listener.v3.AdditionalAddress.address": "as `Listener.address`",
    "envoy.config.core.v3.SocketAddress.address": "a listener's is an IP address",
    "envoy.config.core.v3.Address.pipe": (
        "an endpoint's, in a cluster of type STATIC; a listener's is refused: no URL names it"
    ),
    "envoy.config.listener.v3.Listener.filter_chains": (
        "one, that ends in an HTTP connection manager; of several the second is refused"
    ),
    "envoy.config.listener.v3.Listener.listener_filters": (
        "`tls_inspector`, `http_inspector` and `original_dst` have no effect; any other is refused"
    ),
    "envoy.config.cluster.v3.Cluster.lb_policy": "`CLUSTER_PROVIDED` where the type of cluster provides one",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.auto_config": "ALPN chooses, which needs TLS (as in Envoy)",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.http_filters": (
        "`header_mutation` and, last, `upstream_codec`; any other is refused"
    ),
    "envoy.extensions.filters.http.router.v3.Router.upstream_http_filters": "as the cluster's `http_filters`",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.access_log": (
        "files and standard streams are written; loggers that send elsewhere have no effect"
    ),
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing.provider": (
        "OpenTelemetry and Zipkin: decides the propagation; spans go where the application's SDK sends them"
    ),
    "envoy.config.bootstrap.v3.Bootstrap.layered_runtime": (
        "keys that nothing here reads and that change what Envoy does are refused"
    ),
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.trace_sampled": "with an OpenTelemetry SDK set up, true "
    "does not sample what its call is not sampled for",
}
"""By a field's full name."""
