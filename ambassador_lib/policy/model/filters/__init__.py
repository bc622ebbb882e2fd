"""HTTP filters: what may stand in `http_filters` and `typed_per_filter_config`, one file a filter.

A filter comes in with a file here and one line in the table below (its behaviour: `filters/registry.py`; what Envoy
checks beyond its schema: `policy/check_filters.py`).
"""

from __future__ import annotations

from .adaptive_concurrency import AdaptiveConcurrency, GradientControllerConfig
from .admission_control import AdmissionControl
from .buffer import Buffer, BufferPerRoute
from .compressor import Compressor, CompressorPerRoute, GzipCompressor
from .credential_injector import CredentialInjector, Generic
from .decompressor import Decompressor, GzipDecompressor
from .fault import FaultAbort, FaultDelay, FaultRateLimit, HTTPFault
from .header_mutation import (
    HeaderMutation,
    HeaderMutationPerRoute,
    KeyValueAppend,
    KeyValueMutation,
    KeyValuePair,
    Mutations,
)
from .local_ratelimit import (
    HttpStatus,
    LocalRateLimit,
    LocalRateLimitDescriptor,
    RateLimitDescriptor,
    TokenBucket,
)

__all__ = [
    "HTTP_FILTERS",
    "PER_ROUTE",
    "AdaptiveConcurrency",
    "AdmissionControl",
    "Buffer",
    "BufferPerRoute",
    "Compressor",
    "CompressorPerRoute",
    "CredentialInjector",
    "Decompressor",
    "FaultAbort",
    "FaultDelay",
    "FaultRateLimit",
    "Generic",
    "GradientControllerConfig",
    "GzipCompressor",
    "GzipDecompressor",
    "HTTPFault",
    "HeaderMutation",
    "HeaderMutationPerRoute",
    "HttpStatus",
    "KeyValueAppend",
    "KeyValueMutation",
    "KeyValuePair",
    "LocalRateLimit",
    "LocalRateLimitDescriptor",
    "Mutations",
    "RateLimitDescriptor",
    "TokenBucket",
]

PER_ROUTE: dict[type, type | None] = {
    AdaptiveConcurrency: None,
    AdmissionControl: None,
    Buffer: BufferPerRoute,
    Compressor: CompressorPerRoute,
    CredentialInjector: None,
    Decompressor: None,
    HTTPFault: HTTPFault,
    HeaderMutation: HeaderMutationPerRoute,
    LocalRateLimit: LocalRateLimit,
}
"""By a filter's configuration, what a route, virtual host, weighted cluster or route table may set for it, if any."""

UPSTREAM_FILTERS: tuple[type, ...] = (HeaderMutation,)
"""Configurations of the filters that may stand in a cluster, before its codec: they run once a try."""

HTTP_FILTERS: tuple[type, ...] = tuple(PER_ROUTE)
"""Configurations of the filters that may stand before the router."""

SETTINGS: tuple[type, ...] = tuple(kind for kind in PER_ROUTE.values() if kind is not None)
"""All that `typed_per_filter_config` may hold."""
