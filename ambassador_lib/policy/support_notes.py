"""Notes on fields that we act on, where an operator of Envoy would not guess how; shown in docs/coverage.md."""

from __future__ import annotations

NOTES: dict[str, str] = {
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy.trace_sampled": "true does not sample what its call is not "
    "sampled for",
}
"""By a field's full name."""
