"""Warnings about our own metadata that stands where, or as, nobody reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import alike
from .breaker_metadata import NAMESPACE
from .findings import Findings
from .model.cluster import Cluster
from .model.core import Metadata
from .model.inside import messages_in

if TYPE_CHECKING:
    from .policy import Policy

_ALIKE = 0.85


def check_metadata(findings: Findings, policy: Policy) -> None:
    """Warn of settings that have no effect because of their name or their place."""
    for metadata, owner in (found for part in (policy.listeners, policy.clusters) for found in messages_in(part)):
        for name in metadata.filter_metadata if isinstance(metadata, Metadata) else ():
            if name == NAMESPACE:
                if not isinstance(owner, Cluster):
                    findings.warn(metadata, "filter_metadata", f"no effect: {NAMESPACE} is read from clusters alone")
            elif alike.nearest(name.lower().replace("-", "_"), (NAMESPACE,), _ALIKE):
                message = f"no effect: nobody reads {name!r}; did you mean {NAMESPACE}?"
                findings.warn(metadata, "filter_metadata", message)
