"""Notes on fields that we act on, where an operator of Envoy would not guess how; shown in docs/coverage.md."""

from __future__ import annotations

NOTES: dict[str, str] = {}
"""By a field's full name."""
