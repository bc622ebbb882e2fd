"""Routes: what a listener does with a request (`envoy.config.route.v3`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .core import NOTHING
from .message import message

if TYPE_CHECKING:
    from .core import (
        DataSource,
        FractionalPercent,
        HeaderValueOption,
        Metadata,
        RegexMatchAndSubstitute,
        RegexMatcher,
        RuntimeFractionalPercent,
        StringMatcher,
        SubstitutionFormatString,
    )
    from .extra_requests import HedgePolicy, InternalRedirectPolicy, RequestMirrorPolicy
    from .hashing import HashPolicy
    from .matcher import HeaderMatcher, QueryParameterMatcher
    from .rate_limit import RateLimit


@message
class CookieMatcher:
    """One condition on a cookie. Source: `envoy.config.route.v3.CookieMatcher`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.CookieMatcher"
    name: str
    string_match: StringMatcher
    invert_match: bool = False


@message
class RouteMatch:
    """All conditions of a route; all must hold. Source: `envoy.config.route.v3.RouteMatch`."""

    @message
    class GrpcRouteMatchOptions:
        """The content type is gRPC's. Source: `envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions"

    @message
    class TlsContextMatchOptions:
        """What the caller's certificate must be; nobody has one here.
        Source: `envoy.config.route.v3.RouteMatch.TlsContextMatchOptions`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RouteMatch.TlsContextMatchOptions"
        presented: bool | None = None
        validated: bool | None = None

    PROTO: ClassVar[str] = "envoy.config.route.v3.RouteMatch"
    prefix: str | None = None
    path: str | None = None
    safe_regex: RegexMatcher | None = None
    path_separated_prefix: str | None = None
    case_sensitive: bool | None = None
    runtime_fraction: RuntimeFractionalPercent | None = None
    headers: tuple[HeaderMatcher, ...] = ()
    query_parameters: tuple[QueryParameterMatcher, ...] = ()
    grpc: GrpcRouteMatchOptions | None = None
    tls_context: TlsContextMatchOptions | None = None
    cookies: tuple[CookieMatcher, ...] = ()


@message
class PreviousHostsPredicate:
    """Rejects the hosts that were tried already.
    Source: `envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate`."""

    PROTO: ClassVar[str] = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"


@message
class OmitCanaryHostsPredicate:
    """Rejects hosts whose metadata `envoy.lb` say `canary: true`.
    Source: `envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate`."""

    PROTO: ClassVar[str] = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"


@message
class OmitHostMetadataConfig:
    """Rejects hosts whose metadata `envoy.lb` match.
    Source: `envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig"
    metadata_match: Metadata | None = None


@message
class PreviousPrioritiesConfig:
    """Leaves out priorities that were tried, after every `update_frequency` tries.
    Source: `envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    update_frequency: int


@message
class RetryPolicy:
    """When and how often a failed try is repeated. Source: `envoy.config.route.v3.RetryPolicy`."""

    @message
    class RetryBackOff:
        """`max_interval` unset is ten times the base. Source: `envoy.config.route.v3.RetryPolicy.RetryBackOff`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RetryPolicy.RetryBackOff"
        base_interval: float
        max_interval: float | None = None

    @message
    class ResetHeader:
        """`format` is SECONDS or UNIX_TIMESTAMP. Source: `envoy.config.route.v3.RetryPolicy.ResetHeader`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RetryPolicy.ResetHeader"
        name: str
        format: str = "SECONDS"

    @message
    class RateLimitedRetryBackOff:
        """`max_interval` unset is 300 s. Source: `envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff"
        reset_headers: tuple[RetryPolicy.ResetHeader, ...] = ()
        max_interval: float | None = None

    @message
    class RetryHostPredicate:
        """Rejects hosts on a retry. Source: `envoy.config.route.v3.RetryPolicy.RetryHostPredicate`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RetryPolicy.RetryHostPredicate"
        name: str
        typed_config: Any = None

    @message
    class RetryPriority:
        """Spreads retries over priorities. Source: `envoy.config.route.v3.RetryPolicy.RetryPriority`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RetryPolicy.RetryPriority"
        name: str
        typed_config: Any = None

    PROTO: ClassVar[str] = "envoy.config.route.v3.RetryPolicy"
    retry_on: str = ""
    num_retries: int | None = None
    per_try_timeout: float | None = None
    per_try_idle_timeout: float | None = None
    retry_priority: RetryPriority | None = None
    retry_host_predicate: tuple[RetryHostPredicate, ...] = ()
    host_selection_retry_max_attempts: int = 0
    retriable_status_codes: tuple[int, ...] = ()
    retry_back_off: RetryBackOff | None = None
    rate_limited_retry_back_off: RateLimitedRetryBackOff | None = None
    retriable_headers: tuple[HeaderMatcher, ...] = ()
    retriable_request_headers: tuple[HeaderMatcher, ...] = ()


@message
class FilterConfig:
    """Turns an HTTP filter on or off in `typed_per_filter_config`, and may hold its configuration.
    Source: `envoy.config.route.v3.FilterConfig`; without `config` the filter keeps what it has."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.FilterConfig"
    config: Any = None
    is_optional: bool = False
    disabled: bool = False


@message
class WeightedCluster:
    """A split between clusters. Source: `envoy.config.route.v3.WeightedCluster`."""

    @message
    class ClusterWeight:
        """One cluster and its share. Source: `envoy.config.route.v3.WeightedCluster.ClusterWeight`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.WeightedCluster.ClusterWeight"
        name: str = ""
        cluster_header: str = ""
        weight: int | None = None
        metadata_match: Metadata | None = None
        request_headers_to_add: tuple[HeaderValueOption, ...] = ()
        request_headers_to_remove: tuple[str, ...] = ()
        response_headers_to_add: tuple[HeaderValueOption, ...] = ()
        response_headers_to_remove: tuple[str, ...] = ()
        host_rewrite_literal: str | None = None
        typed_per_filter_config: Mapping[str, Any] = NOTHING

    PROTO: ClassVar[str] = "envoy.config.route.v3.WeightedCluster"
    clusters: tuple[ClusterWeight, ...] = ()
    header_name: str | None = None
    use_hash_policy: bool | None = None
    runtime_key_prefix: str = ""


@message
class RouteAction:
    """Where a request goes and under which rules. Source: `envoy.config.route.v3.RouteAction`.

    `timeout` unset is 15 s, 0 is none; kept in whole milliseconds as Envoy does. `idle_timeout` unset is the
    connection manager's `stream_idle_timeout`. `max_stream_duration` set, with whatever in it, switches `timeout` off.
    """

    @message
    class MaxStreamDuration:
        """How long a call may last; `max_stream_duration` unset is the connection manager's, 0 is none. With
        `grpc_timeout_header_max` a request's `grpc-timeout` counts instead, up to so much (0: any), less the offset.
        Source: `envoy.config.route.v3.RouteAction.MaxStreamDuration`."""

        PROTO: ClassVar[str] = "envoy.config.route.v3.RouteAction.MaxStreamDuration"
        max_stream_duration: float | None = None
        grpc_timeout_header_max: float | None = None
        grpc_timeout_header_offset: float | None = None

    PROTO: ClassVar[str] = "envoy.config.route.v3.RouteAction"
    cluster: str | None = None
    cluster_header: str | None = None
    weighted_clusters: WeightedCluster | None = None
    cluster_not_found_response_code: str = "SERVICE_UNAVAILABLE"
    metadata_match: Metadata | None = None
    prefix_rewrite: str = ""
    regex_rewrite: RegexMatchAndSubstitute | None = None
    path_rewrite: str = ""
    host_rewrite: str | None = None
    host_rewrite_literal: str | None = None
    auto_host_rewrite: bool | None = None
    host_rewrite_header: str | None = None
    host_rewrite_path_regex: RegexMatchAndSubstitute | None = None
    append_x_forwarded_host: bool = False
    timeout: float | None = None
    idle_timeout: float | None = None
    max_stream_duration: MaxStreamDuration | None = None
    max_grpc_timeout: float | None = None
    grpc_timeout_offset: float | None = None
    retry_policy: RetryPolicy | None = None
    priority: str = "DEFAULT"
    rate_limits: tuple[RateLimit, ...] = ()
    include_vh_rate_limits: bool | None = None
    hash_policy: tuple[HashPolicy, ...] = ()
    request_mirror_policies: tuple[RequestMirrorPolicy, ...] = ()
    hedge_policy: HedgePolicy | None = None
    internal_redirect_policy: InternalRedirectPolicy | None = None
    internal_redirect_action: str = "PASS_THROUGH_INTERNAL_REDIRECT"
    max_internal_redirects: int | None = None


@message
class RedirectAction:
    """An answer that sends the caller elsewhere. Source: `envoy.config.route.v3.RedirectAction`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.RedirectAction"
    https_redirect: bool | None = None
    scheme_redirect: str | None = None
    host_redirect: str = ""
    port_redirect: int = 0
    path_redirect: str | None = None
    prefix_rewrite: str | None = None
    regex_rewrite: RegexMatchAndSubstitute | None = None
    response_code: str = "MOVED_PERMANENTLY"
    strip_query: bool = False


@message
class DirectResponseAction:
    """An answer without an upstream. Source: `envoy.config.route.v3.DirectResponseAction`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.DirectResponseAction"
    status: int
    body: DataSource | None = None
    body_format: SubstitutionFormatString | None = None


@message
class NonForwardingAction:
    """Under a plain router: 503 NC. Source: `envoy.config.route.v3.NonForwardingAction`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.NonForwardingAction"


@message
class Decorator:
    """The operation's name on spans. Source: `envoy.config.route.v3.Decorator`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.Decorator"
    operation: str
    propagate: bool | None = None


@message
class RouteTracing:
    """Sampling in place of the connection manager's; unset is all. Source: `envoy.config.route.v3.Tracing`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.Tracing"
    client_sampling: FractionalPercent | None = None
    random_sampling: FractionalPercent | None = None
    overall_sampling: FractionalPercent | None = None


@message
class Route:
    """A match and what follows from it. Source: `envoy.config.route.v3.Route`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.Route"
    name: str = ""
    match: RouteMatch
    route: RouteAction | None = None
    redirect: RedirectAction | None = None
    direct_response: DirectResponseAction | None = None
    non_forwarding_action: NonForwardingAction | None = None
    metadata: Metadata | None = None
    decorator: Decorator | None = None
    tracing: RouteTracing | None = None
    request_headers_to_add: tuple[HeaderValueOption, ...] = ()
    request_headers_to_remove: tuple[str, ...] = ()
    response_headers_to_add: tuple[HeaderValueOption, ...] = ()
    response_headers_to_remove: tuple[str, ...] = ()
    per_request_buffer_limit_bytes: int | None = None
    request_body_buffer_limit: int | None = None
    typed_per_filter_config: Mapping[str, Any] = NOTHING


@message
class VirtualHost:
    """Routes for some hosts. Source: `envoy.config.route.v3.VirtualHost`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.VirtualHost"
    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    require_tls: str = "NONE"
    request_headers_to_add: tuple[HeaderValueOption, ...] = ()
    request_headers_to_remove: tuple[str, ...] = ()
    response_headers_to_add: tuple[HeaderValueOption, ...] = ()
    response_headers_to_remove: tuple[str, ...] = ()
    include_request_attempt_count: bool = False
    include_attempt_count_in_response: bool = False
    include_is_timeout_retry_header: bool = False
    retry_policy: RetryPolicy | None = None
    hedge_policy: HedgePolicy | None = None
    request_mirror_policies: tuple[RequestMirrorPolicy, ...] = ()
    per_request_buffer_limit_bytes: int | None = None
    request_body_buffer_limit: int | None = None
    metadata: Metadata | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    typed_per_filter_config: Mapping[str, Any] = NOTHING


@message
class RouteConfiguration:
    """A route table. `validate_clusters` unset is true. Source: `envoy.config.route.v3.RouteConfiguration`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.RouteConfiguration"
    name: str = ""
    virtual_hosts: tuple[VirtualHost, ...] = ()
    internal_only_headers: tuple[str, ...] = ()
    response_headers_to_add: tuple[HeaderValueOption, ...] = ()
    response_headers_to_remove: tuple[str, ...] = ()
    request_headers_to_add: tuple[HeaderValueOption, ...] = ()
    request_headers_to_remove: tuple[str, ...] = ()
    most_specific_header_mutations_wins: bool = False
    validate_clusters: bool | None = None
    ignore_port_in_host_matching: bool = False
    request_mirror_policies: tuple[RequestMirrorPolicy, ...] = ()
    ignore_path_parameters_in_path_matching: bool = False
    vhost_header: str = ""
    max_direct_response_body_size_bytes: int | None = None
    metadata: Metadata | None = None
    typed_per_filter_config: Mapping[str, Any] = NOTHING
