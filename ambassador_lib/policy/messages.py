"""Which message of Envoy becomes which class of the model."""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from .model.message import is_message

_NAMES: dict[str, dict[str, str]] = {
    "access_log": {
        "envoy.config.accesslog.v3.": """
            AccessLog AccessLogFilter AndFilter ComparisonFilter DurationFilter GrpcStatusFilter HeaderFilter
            LogTypeFilter NotHealthCheckFilter OrFilter ResponseFlagFilter RuntimeFilter StatusCodeFilter
            TraceableFilter
        """,
        "envoy.extensions.access_loggers.file.v3.": "FileAccessLog",
        "envoy.extensions.access_loggers.stream.v3.": "StderrAccessLog StdoutAccessLog",
        "envoy.extensions.filters.network.http_connection_manager.v3.": "LocalReplyConfig ResponseMapper",
    },
    "balancing": {
        "envoy.config.cluster.v3.": """
            Cluster.CommonLbConfig Cluster.CommonLbConfig.ConsistentHashingLbConfig
            Cluster.CommonLbConfig.LocalityWeightedLbConfig Cluster.CommonLbConfig.ZoneAwareLbConfig
            Cluster.LbSubsetConfig Cluster.LbSubsetConfig.LbSubsetSelector Cluster.LeastRequestLbConfig
            Cluster.MaglevLbConfig Cluster.RingHashLbConfig Cluster.RoundRobinLbConfig Cluster.SlowStartConfig
        """,
        "envoy.config.core.v3.": "RuntimeDouble",
    },
    "cluster": {
        "envoy.config.cluster.v3.": """
            CircuitBreakers CircuitBreakers.Thresholds CircuitBreakers.Thresholds.RetryBudget Cluster
            Cluster.EdsClusterConfig Cluster.RefreshRate Cluster.TransportSocketMatch OutlierDetection
            UpstreamConnectionOptions
        """,
        "envoy.config.core.v3.": """
            HealthCheck HealthCheck.GrpcHealthCheck HealthCheck.HttpHealthCheck HealthCheck.Payload
            HealthCheck.TcpHealthCheck HealthCheck.TlsOptions TcpKeepalive TransportSocket
        """,
        "envoy.config.endpoint.v3.": """
            ClusterLoadAssignment ClusterLoadAssignment.Policy ClusterLoadAssignment.Policy.DropOverload Endpoint
            Endpoint.AdditionalAddress Endpoint.HealthCheckConfig LbEndpoint LocalityLbEndpoints
        """,
        "envoy.extensions.clusters.aggregate.v3.": "ClusterConfig",
        "envoy.extensions.upstreams.http.v3.": "HttpProtocolOptions HttpProtocolOptions.OutlierDetection",
    },
    "core": {
        "envoy.config.common.mutation_rules.v3.": "HeaderMutation HeaderMutation.RemoveOnMatch",
        "envoy.config.core.v3.": """
            Address CidrRange ConfigSource DataSource HeaderValue HeaderValueOption Locality Metadata Node
            PathConfigSource Pipe RuntimeFeatureFlag RuntimeFractionalPercent RuntimePercent RuntimeUInt32
            SocketAddress SubstitutionFormatString WatchedDirectory
        """,
        "envoy.type.matcher.v3.": "RegexMatchAndSubstitute RegexMatcher StringMatcher",
        "envoy.type.v3.": "FractionalPercent Int32Range Int64Range Percent",
    },
    "dynamic": {
        "envoy.config.bootstrap.v3.": "Bootstrap.DynamicResources ClusterManager",
    },
    "extra_requests": {
        "envoy.config.core.v3.": "TypedExtensionConfig",
        "envoy.config.route.v3.": "HedgePolicy InternalRedirectPolicy RouteAction.RequestMirrorPolicy",
        "envoy.extensions.internal_redirect.allow_listed_routes.v3.": "AllowListedRoutesConfig",
        "envoy.extensions.internal_redirect.previous_routes.v3.": "PreviousRoutesConfig",
        "envoy.extensions.internal_redirect.safe_cross_scheme.v3.": "SafeCrossSchemeConfig",
    },
    "filters.adaptive_concurrency": {
        "envoy.extensions.filters.http.adaptive_concurrency.v3.": """
            AdaptiveConcurrency GradientControllerConfig GradientControllerConfig.ConcurrencyLimitCalculationParams
            GradientControllerConfig.MinimumRTTCalculationParams
        """,
    },
    "filters.admission_control": {
        "envoy.extensions.filters.http.admission_control.v3.": """
            AdmissionControl AdmissionControl.SuccessCriteria AdmissionControl.SuccessCriteria.GrpcCriteria
            AdmissionControl.SuccessCriteria.HttpCriteria
        """,
    },
    "filters.buffer": {
        "envoy.extensions.filters.http.buffer.v3.": "Buffer BufferPerRoute",
    },
    "filters.compressor": {
        "envoy.extensions.compression.gzip.compressor.v3.": "Gzip",
        "envoy.extensions.filters.http.compressor.v3.": """
            Compressor Compressor.CommonDirectionConfig Compressor.RequestDirectionConfig
            Compressor.ResponseDirectionConfig CompressorOverrides CompressorPerRoute ResponseDirectionOverrides
        """,
    },
    "filters.credential_injector": {
        "envoy.extensions.filters.http.credential_injector.v3.": "CredentialInjector",
        "envoy.extensions.http.injected_credentials.generic.v3.": "Generic",
    },
    "filters.decompressor": {
        "envoy.extensions.compression.gzip.decompressor.v3.": "Gzip",
        "envoy.extensions.filters.http.decompressor.v3.": """
            Decompressor Decompressor.CommonDirectionConfig Decompressor.RequestDirectionConfig
            Decompressor.ResponseDirectionConfig
        """,
    },
    "filters.fault": {
        "envoy.extensions.filters.common.fault.v3.": """
            FaultDelay FaultDelay.HeaderDelay FaultRateLimit FaultRateLimit.FixedLimit FaultRateLimit.HeaderLimit
        """,
        "envoy.extensions.filters.http.fault.v3.": "FaultAbort FaultAbort.HeaderAbort HTTPFault",
    },
    "filters.header_mutation": {
        "envoy.config.core.v3.": "KeyValueAppend KeyValueMutation KeyValuePair",
        "envoy.extensions.filters.http.header_mutation.v3.": "HeaderMutation HeaderMutationPerRoute Mutations",
    },
    "filters.local_ratelimit": {
        "envoy.extensions.common.ratelimit.v3.": """
            LocalRateLimitDescriptor RateLimitDescriptor RateLimitDescriptor.Entry
        """,
        "envoy.extensions.filters.http.local_ratelimit.v3.": "LocalRateLimit",
        "envoy.type.v3.": "HttpStatus TokenBucket",
    },
    "hashing": {
        "envoy.config.route.v3.": """
            RouteAction.HashPolicy RouteAction.HashPolicy.ConnectionProperties RouteAction.HashPolicy.Cookie
            RouteAction.HashPolicy.CookieAttribute RouteAction.HashPolicy.Header RouteAction.HashPolicy.QueryParameter
        """,
    },
    "listener": {
        "envoy.config.core.v3.": "SchemeHeaderTransformation",
        "envoy.config.listener.v3.": "AdditionalAddress Listener",
        "envoy.extensions.filters.http.router.v3.": "Router",
        "envoy.extensions.filters.http.upstream_codec.v3.": "UpstreamCodec",
        "envoy.extensions.filters.network.http_connection_manager.v3.": """
            HttpConnectionManager HttpConnectionManager.InternalAddressConfig HttpConnectionManager.Tracing HttpFilter
            Rds RequestIDExtension
        """,
        "envoy.extensions.request_id.uuid.v3.": "UuidRequestIdConfig",
    },
    "matcher": {
        "envoy.config.route.v3.": "HeaderMatcher QueryParameterMatcher",
    },
    "matching": {
        "envoy.config.common.matcher.v3.": "HttpHeadersMatch MatchPredicate MatchPredicate.MatchSet",
    },
    "rate_limit": {
        "envoy.config.route.v3.": """
            RateLimit RateLimit.Action RateLimit.Action.DestinationCluster RateLimit.Action.GenericKey
            RateLimit.Action.HeaderValueMatch RateLimit.Action.MaskedRemoteAddress
            RateLimit.Action.QueryParameterValueMatch RateLimit.Action.QueryParameters RateLimit.Action.RemoteAddress
            RateLimit.Action.RequestHeaders RateLimit.Action.SourceCluster RateLimit.HitsAddend
        """,
    },
    "route": {
        "envoy.config.route.v3.": """
            CookieMatcher Decorator DirectResponseAction FilterConfig NonForwardingAction RedirectAction RetryPolicy
            RetryPolicy.RateLimitedRetryBackOff RetryPolicy.ResetHeader RetryPolicy.RetryBackOff
            RetryPolicy.RetryHostPredicate RetryPolicy.RetryPriority Route RouteAction RouteAction.MaxStreamDuration
            RouteConfiguration RouteMatch RouteMatch.GrpcRouteMatchOptions RouteMatch.TlsContextMatchOptions Tracing
            VirtualHost WeightedCluster WeightedCluster.ClusterWeight
        """,
        "envoy.extensions.retry.host.omit_canary_hosts.v3.": "OmitCanaryHostsPredicate",
        "envoy.extensions.retry.host.omit_host_metadata.v3.": "OmitHostMetadataConfig",
        "envoy.extensions.retry.host.previous_hosts.v3.": "PreviousHostsPredicate",
        "envoy.extensions.retry.priority.previous_priorities.v3.": "PreviousPrioritiesConfig",
    },
    "tls": {
        "envoy.extensions.transport_sockets.raw_buffer.v3.": "RawBuffer",
        "envoy.extensions.transport_sockets.tls.v3.": """
            CertificateValidationContext CommonTlsContext CommonTlsContext.CombinedCertificateValidationContext
            GenericSecret SdsSecretConfig Secret SubjectAltNameMatcher TlsCertificate TlsParameters UpstreamTlsContext
        """,
    },
}
"""By module of the model: its messages, by the package that Envoy has them in."""


class _Classes(Mapping[str, type]):
    """The classes by the full name of their message; a module is imported when one of its messages is looked up."""

    def __init__(self) -> None:
        self._modules = {
            f"{package}{name}": module
            for module, packages in _NAMES.items()
            for package, names in packages.items()
            for name in names.split()
        }
        self._found: dict[str, type] = {}

    def __getitem__(self, name: str) -> type:
        found = self._found.get(name)
        if found is None:
            self._found |= classes_of(self._modules[name])
            found = self._found[name]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def classes_of(module: str) -> dict[str, type]:
    """Return the classes of a module of the model by the full names of their messages."""
    return dict(_below(vars(_module(module))))


def _module(name: str) -> ModuleType:
    return import_module(f".model.{name}", __package__)


def _below(namespace: Mapping[str, object]) -> Iterator[tuple[str, type]]:
    for value in namespace.values():
        if isinstance(value, type) and is_message(value) and "PROTO" in vars(value):
            yield vars(value)["PROTO"], value
            yield from _below(vars(value))


CLASSES: Mapping[str, type] = _Classes()


@functools.cache
def _all_names() -> dict[str, object]:
    """Return what stands in any module of the model, by name."""
    return {name: value for module in _NAMES for name, value in vars(_module(module)).items()}


@functools.cache
def hints_of(cls: Any) -> dict[str, Any]:
    """Return the types of a class's fields; the model's modules import one another for type checkers alone."""
    own = vars(sys.modules[cls.__module__])
    return typing.get_type_hints(cls, localns={**_all_names(), **own, **vars(cls)})
