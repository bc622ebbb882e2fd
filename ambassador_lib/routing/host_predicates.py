"""Which hosts a retry would rather not have (`RetryPolicy.retry_host_predicate`; semantics 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..algorithms.labels import NAMESPACE, matches, wanted_labels
from ..policy.model.route import OmitCanaryHostsPredicate, OmitHostMetadataConfig, RetryPolicy

Reject = Callable[[Any, Sequence[Any]], bool]
"""Of a host and those that were tried."""


def compile_reject(predicates: Sequence[RetryPolicy.RetryHostPredicate]) -> Reject | None:
    """Join the predicates, of which any may reject; `None` where there are none."""
    rejects = [_compile(predicate) for predicate in predicates]
    if len(rejects) < 2:
        return rejects[0] if rejects else None
    return lambda host, tried: any(reject(host, tried) for reject in rejects)


def _compile(predicate: RetryPolicy.RetryHostPredicate) -> Reject:
    config = predicate.typed_config
    if isinstance(config, OmitCanaryHostsPredicate):
        return lambda host, _tried: host.labels.get("canary") is True
    if isinstance(config, OmitHostMetadataConfig):
        return _by_metadata(config)
    return lambda host, tried: host in tried


def _by_metadata(config: OmitHostMetadataConfig) -> Reject:
    metadata = config.metadata_match
    given: Mapping[str, Any] = metadata.filter_metadata.get(NAMESPACE, {}) if metadata is not None else {}
    wanted = wanted_labels(given)
    if not wanted:  # not even those without labels are rejected (verified against Envoy 1.40)
        return lambda _host, _tried: False
    return lambda host, _tried: matches(host.labels, wanted, list_as_any=True)
