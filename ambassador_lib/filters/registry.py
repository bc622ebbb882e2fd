"""Which class of this room does what a configuration asks for; a filter is imported when a policy uses it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..policy.model.filters import (
    AdaptiveConcurrency,
    AdmissionControl,
    Buffer,
    Compressor,
    CredentialInjector,
    Decompressor,
    HeaderMutation,
    HTTPFault,
    LocalRateLimit,
)

if TYPE_CHECKING:
    from .base import Filter, FilterContext

_MODULES: dict[type, tuple[str, str]] = {
    AdaptiveConcurrency: ("adaptive_concurrency", "AdaptiveConcurrency"),
    AdmissionControl: ("admission_control", "AdmissionControl"),
    Buffer: ("buffer", "Buffer"),
    Compressor: ("compressor", "Compressor"),
    CredentialInjector: ("credential_injector", "CredentialInjector"),
    Decompressor: ("decompressor", "Decompressor"),
    HTTPFault: ("fault", "Fault"),
    HeaderMutation: ("header_mutation", "HeaderMutation"),
    LocalRateLimit: ("local_ratelimit", "LocalRateLimit"),
}
"""By the class of the configuration: the module of this room, and the class in it."""


def make(config: Any, context: FilterContext) -> Filter:
    """Make the filter that `config` configures."""
    module, name = _MODULES[type(config)]
    made: Filter = getattr(import_module(f"{__package__}.{module}"), name)(config, context)
    return made
