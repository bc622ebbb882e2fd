"""The one room that knows private names of httpx and httpcore (0.28 and 1.0; httpx's own test suite guards it).

It holds what lets a policy into httpx's clients, and what makes them fast.
"""

from .clients import AsyncPolicyClient, SyncPolicyClient
from .httpx2 import adapted
from .options import AsyncClientOptions, ClientOptions
from .parts import as_bytes, content_of, has_any, lower_case, make_headers, make_request, make_response, with_headers
from .patched import connects, passes_on, pristine
from .timeouts import DefaultTimeout, UnsetTimeout
from .urls import origin_of, parts_of, scheme_of, target_of, with_target
from .watched import AsyncWatchedTransport, WatchedTransport

__all__ = [
    "AsyncClientOptions",
    "AsyncPolicyClient",
    "AsyncWatchedTransport",
    "ClientOptions",
    "DefaultTimeout",
    "SyncPolicyClient",
    "UnsetTimeout",
    "WatchedTransport",
    "adapted",
    "as_bytes",
    "connects",
    "content_of",
    "has_any",
    "lower_case",
    "make_headers",
    "make_request",
    "make_response",
    "origin_of",
    "parts_of",
    "passes_on",
    "pristine",
    "scheme_of",
    "target_of",
    "with_headers",
    "with_target",
]
