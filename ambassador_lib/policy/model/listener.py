"""Listeners: the addresses that the application calls (`envoy.config.listener.v3`, the connection manager)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .message import message

if TYPE_CHECKING:
    from .access_log import AccessLog, LocalReplyConfig
    from .core import Address, CidrRange, ConfigSource, Percent
    from .route import RouteConfiguration


@message
class Router:
    """The terminal filter. Source: `envoy.extensions.filters.http.router.v3.Router`.

    `strict_check_headers` names `x-envoy-*` headers of an internal caller's that must be valid: else 400, IH.
    `respect_expected_rq_timeout` makes his `x-envoy-expected-rq-timeout-ms` the route's timeout.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.router.v3.Router"
    suppress_envoy_headers: bool = False
    upstream_http_filters: tuple[HttpFilter, ...] = ()
    strict_check_headers: tuple[str, ...] = ()
    respect_expected_rq_timeout: bool = False


@message
class UpstreamCodec:
    """The terminal filter of a cluster. Source: `envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"


@message
class HttpFilter:
    """Source: `envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
    name: str
    typed_config: Any = None
    is_optional: bool = False
    disabled: bool = False


@message
class Tracing:
    """Sampling in percent, unset is 100; `provider` names where spans go and decides the propagation format:
    `opentelemetry` (W3C), `zipkin` (B3), or none. The last three are zipkin's own: `w3c_propagation` is
    `trace_context_option: USE_B3_WITH_W3C_PROPAGATION`. Source: `HttpConnectionManager.Tracing`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing"
    client_sampling: Percent | None = None
    random_sampling: Percent | None = None
    overall_sampling: Percent | None = None
    provider: str | None = None
    spawn_upstream_span: bool | None = None
    trace_id_128bit: bool = False
    shared_span_context: bool = True
    w3c_propagation: bool = False


@message
class UuidRequestIdConfig:
    """How request ids and sampling hang together; both unset are true.
    Source: `envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
    pack_trace_reason: bool | None = None
    use_request_id_for_trace_sampling: bool | None = None


@message
class RequestIDExtension:
    """Source: `envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension"
    typed_config: Any = None


@message
class InternalAddressConfig:
    """Who may use `x-envoy-*` headers; present and empty means RFC 1918 and loopback.
    Source: `HttpConnectionManager.InternalAddressConfig`."""

    PROTO: ClassVar[str] = (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig"
    )
    unix_sockets: bool = False
    cidr_ranges: tuple[CidrRange, ...] = ()


@message
class Rds:
    """A route table that is discovered by its name. Source: `HttpConnectionManager`'s `Rds`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.Rds"
    config_source: ConfigSource
    route_config_name: str = ""


@message
class SchemeHeaderTransformation:
    """The scheme that every request is said to have. Source: `envoy.config.core.v3.SchemeHeaderTransformation`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.SchemeHeaderTransformation"
    scheme_to_overwrite: str | None = None


@message
class HttpConnectionManager:
    """Source: `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.

    `stream_idle_timeout` unset is 300 s, 0 is none. `request_timeout` bounds how long a streamed request may take to
    come. `headers_with_underscores_action`, `max_headers_count` and `max_stream_duration` come from
    `common_http_protocol_options`.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    stat_prefix: str
    route_config: RouteConfiguration | None = None
    rds: Rds | None = None
    http_filters: tuple[HttpFilter, ...] = ()
    tracing: Tracing | None = None
    server_name: str = ""
    server_header_transformation: str = "OVERWRITE"
    stream_idle_timeout: float | None = None
    request_timeout: float | None = None
    max_stream_duration: float | None = None
    use_remote_address: bool | None = None
    skip_xff_append: bool = False
    via: str = ""
    generate_request_id: bool | None = None
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    internal_address_config: InternalAddressConfig | None = None
    normalize_path: bool | None = None
    merge_slashes: bool = False
    strip_matching_host_port: bool = False
    strip_any_host_port: bool | None = None
    strip_trailing_host_dot: bool = False
    headers_with_underscores_action: str = "ALLOW"
    max_headers_count: int | None = None
    allow_custom_methods: bool = False
    max_request_headers_kb: int | None = None
    path_with_escaped_slashes_action: str = "IMPLEMENTATION_SPECIFIC_DEFAULT"
    xff_num_trusted_hops: int = 0
    append_x_forwarded_port: bool = False
    add_user_agent: bool | None = None
    forward_client_cert_details: str = "SANITIZE"
    scheme_header_transformation: SchemeHeaderTransformation | None = None
    local_reply_config: LocalReplyConfig | None = None
    access_log: tuple[AccessLog, ...] = ()
    request_id_extension: RequestIDExtension | None = None

    @property
    def router(self) -> Router:
        """The terminal filter's settings, Envoy's defaults where there are none."""
        last = self.http_filters[-1].typed_config if self.http_filters else None
        return last if isinstance(last, Router) else Router()


@message
class Listener:
    """An address and the connection manager behind it. Source: `envoy.config.listener.v3.Listener`.

    `filter_chains` comes down to the one connection manager, which must be its only terminal filter. It answers to its
    `address` and to each of its `additional_addresses`; to none of them with `bind_to_port` false.
    """

    @message
    class AdditionalAddress:
        """One more address. Source: `envoy.config.listener.v3.AdditionalAddress`."""

        PROTO: ClassVar[str] = "envoy.config.listener.v3.AdditionalAddress"
        address: Address

    PROTO: ClassVar[str] = "envoy.config.listener.v3.Listener"
    name: str = ""
    address: Address
    additional_addresses: tuple[AdditionalAddress, ...] = ()
    bind_to_port: bool | None = None
    http_connection_manager: HttpConnectionManager
    per_connection_buffer_limit_bytes: int | None = None
    traffic_direction: str = "UNSPECIFIED"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All the addresses that URLs can name."""
        if self.bind_to_port is False:
            return ()
        return (self.address, *(additional.address for additional in self.additional_addresses))
