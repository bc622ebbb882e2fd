"""The policy's model: Envoy v3's messages as frozen dataclasses, with Envoy's names.

A module of it is imported when one of its messages is first asked for: a class is 3 KB, and few policies need all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access_log import (
        AccessLog,
        AccessLogFilter,
        AndFilter,
        ComparisonFilter,
        DurationFilter,
        FileAccessLog,
        GrpcStatusFilter,
        HeaderFilter,
        LocalReplyConfig,
        LogTypeFilter,
        NotHealthCheckFilter,
        OrFilter,
        ResponseFlagFilter,
        ResponseMapper,
        RuntimeFilter,
        StatusCodeFilter,
        StderrAccessLog,
        StdoutAccessLog,
        TraceableFilter,
    )
    from .balancing import (
        CommonLbConfig,
        LbSubsetConfig,
        LeastRequestLbConfig,
        MaglevLbConfig,
        RingHashLbConfig,
        RoundRobinLbConfig,
        RuntimeDouble,
        SlowStartConfig,
    )
    from .cluster import (
        CircuitBreaker,
        CircuitBreakers,
        Cluster,
        ClusterLoadAssignment,
        DnsResolutionConfig,
        Endpoint,
        HealthCheck,
        HttpProtocolOptions,
        LbEndpoint,
        LocalityLbEndpoints,
        OutlierDetection,
        RefreshRate,
        TcpKeepalive,
        TransportSocket,
        UpstreamConnectionOptions,
    )
    from .core import (
        Address,
        CidrRange,
        DataSource,
        FractionalPercent,
        FrozenDict,
        HeaderValue,
        HeaderValueOption,
        Int64Range,
        Locality,
        Metadata,
        Node,
        Percent,
        Pipe,
        RegexMatchAndSubstitute,
        RegexMatcher,
        RuntimeFractionalPercent,
        RuntimeUInt32,
        SocketAddress,
        StringMatcher,
        SubstitutionFormatString,
    )
    from .extra_requests import (
        AllowListedRoutesConfig,
        HedgePolicy,
        InternalRedirectPolicy,
        PreviousRoutesConfig,
        RequestMirrorPolicy,
        SafeCrossSchemeConfig,
        TypedExtensionConfig,
    )
    from .filters import (
        Buffer,
        BufferPerRoute,
        FaultAbort,
        FaultDelay,
        FaultRateLimit,
        HeaderMutation,
        HeaderMutationPerRoute,
        HTTPFault,
        HttpStatus,
        KeyValueAppend,
        KeyValueMutation,
        KeyValuePair,
        LocalRateLimit,
        LocalRateLimitDescriptor,
        Mutations,
        RateLimitDescriptor,
        TokenBucket,
    )
    from .hashing import HashPolicy
    from .listener import (
        HttpConnectionManager,
        HttpFilter,
        InternalAddressConfig,
        Listener,
        Router,
        Tracing,
        UpstreamCodec,
    )
    from .matcher import HeaderMatcher, QueryParameterMatcher
    from .rate_limit import RateLimit
    from .route import (
        Decorator,
        DirectResponseAction,
        FilterConfig,
        NonForwardingAction,
        OmitCanaryHostsPredicate,
        OmitHostMetadataConfig,
        PreviousHostsPredicate,
        PreviousPrioritiesConfig,
        RedirectAction,
        RetryPolicy,
        Route,
        RouteAction,
        RouteConfiguration,
        RouteMatch,
        VirtualHost,
        WeightedCluster,
    )
    from .tls import (
        CertificateValidationContext,
        CommonTlsContext,
        GenericSecret,
        RawBuffer,
        SdsSecretConfig,
        Secret,
        SubjectAltNameMatcher,
        TlsCertificate,
        TlsParameters,
        UpstreamTlsContext,
    )

__all__ = [
    "AccessLog",
    "AccessLogFilter",
    "Address",
    "AllowListedRoutesConfig",
    "AndFilter",
    "Buffer",
    "BufferPerRoute",
    "CertificateValidationContext",
    "CidrRange",
    "CircuitBreaker",
    "CircuitBreakers",
    "Cluster",
    "ClusterLoadAssignment",
    "CommonLbConfig",
    "CommonTlsContext",
    "ComparisonFilter",
    "DataSource",
    "Decorator",
    "DirectResponseAction",
    "DnsResolutionConfig",
    "DurationFilter",
    "Endpoint",
    "FaultAbort",
    "FaultDelay",
    "FaultRateLimit",
    "FileAccessLog",
    "FilterConfig",
    "FractionalPercent",
    "FrozenDict",
    "GenericSecret",
    "GrpcStatusFilter",
    "HTTPFault",
    "HashPolicy",
    "HeaderFilter",
    "HeaderMatcher",
    "HeaderMutation",
    "HeaderMutationPerRoute",
    "HeaderValue",
    "HeaderValueOption",
    "HealthCheck",
    "HedgePolicy",
    "HttpConnectionManager",
    "HttpFilter",
    "HttpProtocolOptions",
    "HttpStatus",
    "Int64Range",
    "InternalAddressConfig",
    "InternalRedirectPolicy",
    "KeyValueAppend",
    "KeyValueMutation",
    "KeyValuePair",
    "LbEndpoint",
    "LbSubsetConfig",
    "LeastRequestLbConfig",
    "Listener",
    "LocalRateLimit",
    "LocalRateLimitDescriptor",
    "LocalReplyConfig",
    "Locality",
    "LocalityLbEndpoints",
    "LogTypeFilter",
    "MaglevLbConfig",
    "Metadata",
    "Mutations",
    "Node",
    "NonForwardingAction",
    "NotHealthCheckFilter",
    "OmitCanaryHostsPredicate",
    "OmitHostMetadataConfig",
    "OrFilter",
    "OutlierDetection",
    "Percent",
    "Pipe",
    "PreviousHostsPredicate",
    "PreviousPrioritiesConfig",
    "PreviousRoutesConfig",
    "QueryParameterMatcher",
    "RateLimit",
    "RateLimitDescriptor",
    "RawBuffer",
    "RedirectAction",
    "RefreshRate",
    "RegexMatchAndSubstitute",
    "RegexMatcher",
    "RequestMirrorPolicy",
    "ResponseFlagFilter",
    "ResponseMapper",
    "RetryPolicy",
    "RingHashLbConfig",
    "RoundRobinLbConfig",
    "Route",
    "RouteAction",
    "RouteConfiguration",
    "RouteMatch",
    "Router",
    "RuntimeDouble",
    "RuntimeFilter",
    "RuntimeFractionalPercent",
    "RuntimeUInt32",
    "SafeCrossSchemeConfig",
    "SdsSecretConfig",
    "Secret",
    "SlowStartConfig",
    "SocketAddress",
    "StatusCodeFilter",
    "StderrAccessLog",
    "StdoutAccessLog",
    "StringMatcher",
    "SubjectAltNameMatcher",
    "SubstitutionFormatString",
    "TcpKeepalive",
    "TlsCertificate",
    "TlsParameters",
    "TokenBucket",
    "TraceableFilter",
    "Tracing",
    "TransportSocket",
    "TypedExtensionConfig",
    "UpstreamCodec",
    "UpstreamConnectionOptions",
    "UpstreamTlsContext",
    "VirtualHost",
    "WeightedCluster",
]

_NAMES = {
    "access_log": """
        AccessLog AccessLogFilter AndFilter ComparisonFilter DurationFilter FileAccessLog GrpcStatusFilter HeaderFilter
        LocalReplyConfig LogTypeFilter NotHealthCheckFilter OrFilter ResponseFlagFilter ResponseMapper RuntimeFilter
        StatusCodeFilter StderrAccessLog StdoutAccessLog TraceableFilter
    """,
    "balancing": """
        CommonLbConfig LbSubsetConfig LeastRequestLbConfig MaglevLbConfig RingHashLbConfig RoundRobinLbConfig
        RuntimeDouble SlowStartConfig
    """,
    "cluster": """
        CircuitBreaker CircuitBreakers Cluster ClusterLoadAssignment DnsResolutionConfig Endpoint HealthCheck
        HttpProtocolOptions LbEndpoint LocalityLbEndpoints OutlierDetection RefreshRate TcpKeepalive TransportSocket
        UpstreamConnectionOptions
    """,
    "core": """
        Address CidrRange DataSource FractionalPercent FrozenDict HeaderValue HeaderValueOption Int64Range Locality
        Metadata Node Percent Pipe RegexMatchAndSubstitute RegexMatcher RuntimeFractionalPercent RuntimeUInt32
        SocketAddress StringMatcher SubstitutionFormatString
    """,
    "extra_requests": """
        AllowListedRoutesConfig HedgePolicy InternalRedirectPolicy PreviousRoutesConfig RequestMirrorPolicy
        SafeCrossSchemeConfig TypedExtensionConfig
    """,
    "filters.buffer": "Buffer BufferPerRoute",
    "filters.fault": "FaultAbort FaultDelay FaultRateLimit HTTPFault",
    "filters.header_mutation": """
        HeaderMutation HeaderMutationPerRoute KeyValueAppend KeyValueMutation KeyValuePair Mutations
    """,
    "filters.local_ratelimit": "HttpStatus LocalRateLimit LocalRateLimitDescriptor RateLimitDescriptor TokenBucket",
    "hashing": "HashPolicy",
    "listener": "HttpConnectionManager HttpFilter InternalAddressConfig Listener Router Tracing UpstreamCodec",
    "matcher": "HeaderMatcher QueryParameterMatcher",
    "rate_limit": "RateLimit",
    "route": """
        Decorator DirectResponseAction FilterConfig NonForwardingAction OmitCanaryHostsPredicate OmitHostMetadataConfig
        PreviousHostsPredicate PreviousPrioritiesConfig RedirectAction RetryPolicy Route RouteAction RouteConfiguration
        RouteMatch VirtualHost WeightedCluster
    """,
    "tls": """
        CertificateValidationContext CommonTlsContext GenericSecret RawBuffer SdsSecretConfig Secret
        SubjectAltNameMatcher TlsCertificate TlsParameters UpstreamTlsContext
    """,
}
"""What each module has that is public."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
