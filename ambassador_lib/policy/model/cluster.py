"""Clusters: the upstreams and how they are found, chosen, watched and limited (`envoy.config.cluster.v3`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .core import NOTHING
from .message import message

if TYPE_CHECKING:
    from .balancing import (
        CommonLbConfig,
        LbSubsetConfig,
        LeastRequestLbConfig,
        MaglevLbConfig,
        RingHashLbConfig,
        RoundRobinLbConfig,
    )
    from .core import (
        Address,
        ConfigSource,
        FractionalPercent,
        HeaderValueOption,
        Int64Range,
        Locality,
        Metadata,
        Percent,
        StringMatcher,
    )
    from .extra_requests import RequestMirrorPolicy
    from .hashing import HashPolicy
    from .listener import HttpFilter
    from .matching import MatchPredicate
    from .route import RetryPolicy


@message
class Endpoint:
    """An address and its name. Source: `envoy.config.endpoint.v3.Endpoint`."""

    @message
    class HealthCheckConfig:
        """Where and how this endpoint is checked. Source: `envoy.config.endpoint.v3.Endpoint.HealthCheckConfig`."""

        PROTO: ClassVar[str] = "envoy.config.endpoint.v3.Endpoint.HealthCheckConfig"
        port_value: int = 0
        hostname: str = ""
        address: Address | None = None
        disable_active_health_check: bool = False

    @message
    class AdditionalAddress:
        """One more address, tried where the first does not answer.
        Source: `envoy.config.endpoint.v3.Endpoint.AdditionalAddress`."""

        PROTO: ClassVar[str] = "envoy.config.endpoint.v3.Endpoint.AdditionalAddress"
        address: Address

    PROTO: ClassVar[str] = "envoy.config.endpoint.v3.Endpoint"
    address: Address
    additional_addresses: tuple[AdditionalAddress, ...] = ()
    health_check_config: HealthCheckConfig | None = None
    hostname: str = ""


@message
class LbEndpoint:
    """An endpoint as the balancer sees it; weight unset is 1. Source: `envoy.config.endpoint.v3.LbEndpoint`."""

    PROTO: ClassVar[str] = "envoy.config.endpoint.v3.LbEndpoint"
    endpoint: Endpoint
    health_status: str = "UNKNOWN"
    metadata: Metadata | None = None
    load_balancing_weight: int | None = None


@message
class LocalityLbEndpoints:
    """Endpoints of one locality and priority (0 is best). Source: `envoy.config.endpoint.v3.LocalityLbEndpoints`."""

    PROTO: ClassVar[str] = "envoy.config.endpoint.v3.LocalityLbEndpoints"
    locality: Locality | None = None
    lb_endpoints: tuple[LbEndpoint, ...] = ()
    load_balancing_weight: int | None = None
    priority: int = 0


@message
class ClusterLoadAssignment:
    """The endpoints of a cluster. Source: `envoy.config.endpoint.v3.ClusterLoadAssignment`."""

    @message
    class Policy:
        """`overprovisioning_factor` in percent, unset is 140; discovered endpoints are dropped `endpoint_stale_after`
        seconds without an update. Source: `ClusterLoadAssignment.Policy`."""

        @message
        class DropOverload:
            """A share of requests to refuse. Source: `ClusterLoadAssignment.Policy.DropOverload`."""

            PROTO: ClassVar[str] = "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload"
            category: str
            drop_percentage: FractionalPercent | None = None

        PROTO: ClassVar[str] = "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy"
        drop_overloads: tuple[DropOverload, ...] = ()
        overprovisioning_factor: int | None = None
        weighted_priority_health: bool = False
        endpoint_stale_after: float | None = None

    PROTO: ClassVar[str] = "envoy.config.endpoint.v3.ClusterLoadAssignment"
    cluster_name: str
    endpoints: tuple[LocalityLbEndpoints, ...] = ()
    policy: Policy | None = None


@message
class CircuitBreakers:
    """Limits per priority. Source: `envoy.config.cluster.v3.CircuitBreakers`."""

    @message
    class Thresholds:
        """Unset: 1024, 1024, 1024 and 3. Source: `envoy.config.cluster.v3.CircuitBreakers.Thresholds`."""

        @message
        class RetryBudget:
            """Unset: 20 % and 3. Source: `envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget`."""

            PROTO: ClassVar[str] = "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget"
            budget_percent: Percent | None = None
            min_retry_concurrency: int | None = None

        PROTO: ClassVar[str] = "envoy.config.cluster.v3.CircuitBreakers.Thresholds"
        priority: str = "DEFAULT"
        max_connections: int | None = None
        max_pending_requests: int | None = None
        max_requests: int | None = None
        max_retries: int | None = None
        retry_budget: RetryBudget | None = None
        max_connection_pools: int | None = None

    PROTO: ClassVar[str] = "envoy.config.cluster.v3.CircuitBreakers"
    thresholds: tuple[Thresholds, ...] = ()
    per_host_thresholds: tuple[Thresholds, ...] = ()


@message
class OutlierDetection:
    """Passive ejection; unset is the documented default. Source: `envoy.config.cluster.v3.OutlierDetection`."""

    PROTO: ClassVar[str] = "envoy.config.cluster.v3.OutlierDetection"
    consecutive_5xx: int | None = None
    interval: float | None = None
    base_ejection_time: float | None = None
    max_ejection_percent: int | None = None
    enforcing_consecutive_5xx: int | None = None
    enforcing_success_rate: int | None = None
    success_rate_minimum_hosts: int | None = None
    success_rate_request_volume: int | None = None
    success_rate_stdev_factor: int | None = None
    consecutive_gateway_failure: int | None = None
    enforcing_consecutive_gateway_failure: int | None = None
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failure: int | None = None
    enforcing_consecutive_local_origin_failure: int | None = None
    enforcing_local_origin_success_rate: int | None = None
    failure_percentage_threshold: int | None = None
    enforcing_failure_percentage: int | None = None
    enforcing_failure_percentage_local_origin: int | None = None
    failure_percentage_minimum_hosts: int | None = None
    failure_percentage_request_volume: int | None = None
    max_ejection_time: float | None = None
    max_ejection_time_jitter: float | None = None
    successful_active_health_check_uneject_host: bool | None = None
    always_eject_one_host: bool | None = None
    detect_degraded_hosts: bool | None = None


@message
class HealthCheck:
    """Active checks, seconds throughout. Two or more checks of a cluster need a `name` each, which has no other effect.
    Source: `envoy.config.core.v3.HealthCheck`."""

    @message
    class Payload:
        """`text` is hex. Source: `envoy.config.core.v3.HealthCheck.Payload`."""

        PROTO: ClassVar[str] = "envoy.config.core.v3.HealthCheck.Payload"
        text: str | None = None
        binary: bytes | None = None

    @message
    class HttpHealthCheck:
        """`host` unset is the cluster's name. Source: `envoy.config.core.v3.HealthCheck.HttpHealthCheck`."""

        PROTO: ClassVar[str] = "envoy.config.core.v3.HealthCheck.HttpHealthCheck"
        host: str = ""
        path: str
        send: HealthCheck.Payload | None = None
        receive: tuple[HealthCheck.Payload, ...] = ()
        response_buffer_size: int | None = None
        request_headers_to_add: tuple[HeaderValueOption, ...] = ()
        request_headers_to_remove: tuple[str, ...] = ()
        expected_statuses: tuple[Int64Range, ...] = ()
        retriable_statuses: tuple[Int64Range, ...] = ()
        method: str = "METHOD_UNSPECIFIED"
        codec_client_type: str = "HTTP1"
        service_name_matcher: StringMatcher | None = None

    @message
    class TcpHealthCheck:
        """No payloads: connecting is enough. Source: `envoy.config.core.v3.HealthCheck.TcpHealthCheck`."""

        PROTO: ClassVar[str] = "envoy.config.core.v3.HealthCheck.TcpHealthCheck"
        send: HealthCheck.Payload | None = None
        receive: tuple[HealthCheck.Payload, ...] = ()

    @message
    class GrpcHealthCheck:
        """`authority` unset is the cluster's name. Source: `envoy.config.core.v3.HealthCheck.GrpcHealthCheck`."""

        PROTO: ClassVar[str] = "envoy.config.core.v3.HealthCheck.GrpcHealthCheck"
        service_name: str = ""
        authority: str = ""
        initial_metadata: tuple[HeaderValueOption, ...] = ()

    @message
    class TlsOptions:
        """Source: `envoy.config.core.v3.HealthCheck.TlsOptions`."""

        PROTO: ClassVar[str] = "envoy.config.core.v3.HealthCheck.TlsOptions"
        alpn_protocols: tuple[str, ...] = ()

    PROTO: ClassVar[str] = "envoy.config.core.v3.HealthCheck"
    name: str = ""
    timeout: float
    interval: float
    unhealthy_threshold: int
    healthy_threshold: int
    initial_jitter: float | None = None
    interval_jitter: float | None = None
    interval_jitter_percent: int = 0
    reuse_connection: bool | None = None
    http_health_check: HttpHealthCheck | None = None
    tcp_health_check: TcpHealthCheck | None = None
    grpc_health_check: GrpcHealthCheck | None = None
    no_traffic_interval: float | None = None
    no_traffic_healthy_interval: float | None = None
    unhealthy_interval: float | None = None
    unhealthy_edge_interval: float | None = None
    healthy_edge_interval: float | None = None
    tls_options: TlsOptions | None = None
    transport_socket_match_criteria: Mapping[str, Any] | None = None


@message
class DnsResolutionConfig:
    """Resolvers for this cluster; unset is the system's. Source: `envoy.config.core.v3.DnsResolutionConfig`
    and the c-ares and system resolver messages of `typed_dns_resolver_config`, which come down to this."""

    resolvers: tuple[Address, ...] = ()
    use_tcp_for_dns_lookups: bool = False
    no_default_search_domain: bool = False


@message
class HttpProtocolOptions:
    """How to speak HTTP to a cluster. Source: `envoy.extensions.upstreams.http.v3.HttpProtocolOptions`.

    `protocol` is `http1` (default), `http2` or `auto` (ALPN), from `explicit_http_config` / `auto_config`. A
    connection is given no further request when it is older than `max_connection_duration`; a try that lasts longer
    than `max_stream_duration`, its body included, is broken off. 0 is none. A response's head may have
    `max_headers_count` lines (unset: 100) and `max_response_headers_kb` KiB (unset: 80, as much as Envoy's HTTP/1
    parser takes). `proper_case_words` sends the names of headers as `X-Foo` over HTTP/1.1, from `header_key_format`.
    An HTTP/2 connection carries up to `max_concurrent_streams` calls at once (unset: 1024), or as many as the upstream
    allows, from `http2_protocol_options`.
    """

    @message
    class OutlierDetection:
        """Which responses count as errors. Source: `HttpProtocolOptions.OutlierDetection`."""

        PROTO: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.OutlierDetection"
        error_matcher: MatchPredicate

    PROTO: ClassVar[str] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    protocol: str = "http1"
    auto_sni: bool = False
    auto_san_validation: bool = False
    override_auto_sni_header: str = ""
    idle_timeout: float | None = None
    max_requests_per_connection: int | None = None
    max_connection_duration: float | None = None
    max_stream_duration: float | None = None
    max_headers_count: int | None = None
    max_response_headers_kb: int | None = None
    proper_case_words: bool = False
    max_concurrent_streams: int | None = None
    retry_policy: RetryPolicy | None = None
    hash_policy: tuple[HashPolicy, ...] = ()
    outlier_detection: OutlierDetection | None = None
    request_mirror_policies: tuple[RequestMirrorPolicy, ...] = ()
    http_filters: tuple[HttpFilter, ...] = ()


@message
class RefreshRate:
    """Source: `envoy.config.cluster.v3.Cluster.RefreshRate`."""

    PROTO: ClassVar[str] = "envoy.config.cluster.v3.Cluster.RefreshRate"
    base_interval: float
    max_interval: float | None = None


@message
class TransportSocket:
    """Source: `envoy.config.core.v3.TransportSocket`; `typed_config` is an `UpstreamTlsContext` or a raw buffer."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.TransportSocket"
    name: str
    typed_config: Any = None


@message
class CircuitBreaker:
    """The cluster's breaker, from `metadata.filter_metadata["ambassador_lib"].circuit_breaker`.

    Closed, open and half-open by error rate. `failure_rate` is 0 to 1; `window` and `open_for` are seconds.
    """

    failure_rate: float = 0.5
    minimum_requests: int = 20
    window: float = 10.0
    open_for: float = 30.0
    half_open_requests: int = 1
    success_threshold: int = 1


@message
class EdsClusterConfig:
    """Where a cluster's endpoints come from; `service_name` is what they go by there, empty: the cluster's name.
    Source: `envoy.config.cluster.v3.Cluster.EdsClusterConfig`."""

    PROTO: ClassVar[str] = "envoy.config.cluster.v3.Cluster.EdsClusterConfig"
    eds_config: ConfigSource | None = None
    service_name: str = ""


@message
class AggregateClusterConfig:
    """The clusters that one consists of, best first. Source: `envoy.extensions.clusters.aggregate.v3.ClusterConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
    clusters: tuple[str, ...] = ()


@message
class TcpKeepalive:
    """Probes of idle connections, so that a peer that is gone is noticed. Source: `envoy.config.core.v3.TcpKeepalive`.

    After `keepalive_time` seconds without traffic one is sent each `keepalive_interval` seconds; with
    `keepalive_probes` of them unanswered the connection is broken. Unset is the system's own.
    """

    PROTO: ClassVar[str] = "envoy.config.core.v3.TcpKeepalive"
    keepalive_probes: int | None = None
    keepalive_time: int | None = None
    keepalive_interval: int | None = None


@message
class UpstreamConnectionOptions:
    """Of a cluster's sockets; with `tcp_keepalive`, the system probes idle connections.
    Source: `envoy.config.cluster.v3.UpstreamConnectionOptions`."""

    PROTO: ClassVar[str] = "envoy.config.cluster.v3.UpstreamConnectionOptions"
    tcp_keepalive: TcpKeepalive | None = None


@message
class Cluster:
    """An upstream service. Source: `envoy.config.cluster.v3.Cluster`.

    `connect_timeout` unset is 5 s, `dns_refresh_rate` unset is 5 s. `hash_policy` is that of a `load_balancing_policy`,
    which beats `http_protocol_options`' and the route's. `aggregate` is the `cluster_type` of that name.
    """

    @message
    class TransportSocketMatch:
        """The transport socket of endpoints whose metadata `envoy.transport_socket_match` holds all of `match`.
        Source: `envoy.config.cluster.v3.Cluster.TransportSocketMatch`."""

        PROTO: ClassVar[str] = "envoy.config.cluster.v3.Cluster.TransportSocketMatch"
        name: str
        match: Mapping[str, Any] = NOTHING
        transport_socket: TransportSocket

    PROTO: ClassVar[str] = "envoy.config.cluster.v3.Cluster"
    name: str
    type: str = "STATIC"
    connect_timeout: float | None = None
    lb_policy: str = "ROUND_ROBIN"
    load_assignment: ClusterLoadAssignment | None = None
    eds_cluster_config: EdsClusterConfig | None = None
    aggregate: AggregateClusterConfig | None = None
    health_checks: tuple[HealthCheck, ...] = ()
    circuit_breakers: CircuitBreakers | None = None
    http_protocol_options: HttpProtocolOptions | None = None
    upstream_connection_options: UpstreamConnectionOptions | None = None
    dns_refresh_rate: float | None = None
    dns_jitter: float | None = None
    dns_failure_refresh_rate: RefreshRate | None = None
    respect_dns_ttl: bool = False
    dns_lookup_family: str = "AUTO"
    dns_resolution_config: DnsResolutionConfig | None = None
    wait_for_warm_on_init: bool | None = None
    outlier_detection: OutlierDetection | None = None
    lb_subset_config: LbSubsetConfig | None = None
    round_robin_lb_config: RoundRobinLbConfig | None = None
    least_request_lb_config: LeastRequestLbConfig | None = None
    ring_hash_lb_config: RingHashLbConfig | None = None
    maglev_lb_config: MaglevLbConfig | None = None
    hash_policy: tuple[HashPolicy, ...] = ()
    common_lb_config: CommonLbConfig | None = None
    transport_socket: TransportSocket | None = None
    transport_socket_matches: tuple[TransportSocketMatch, ...] = ()
    metadata: Metadata | None = None
    ignore_health_on_host_removal: bool = False
    per_connection_buffer_limit_bytes: int | None = None
    circuit_breaker: CircuitBreaker | None = None

    @property
    def tcp_keepalive(self) -> TcpKeepalive | None:
        """How idle connections are probed, if they are."""
        options = self.upstream_connection_options
        return options.tcp_keepalive if options is not None else None
