"""Metadata of endpoints as labels (`filter_metadata["envoy.lb"]`): when they match, and when two values are equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NAMESPACE = "envoy.lb"

Wanted = tuple[tuple[str, Any], ...]
"""Keys with their values in comparable form."""


def wanted_labels(given: Mapping[str, Any]) -> Wanted:
    """Return free-form data as labels to be matched, sorted by key."""
    return tuple((key, comparable(value)) for key, value in sorted(given.items()))


def matches(labels: Mapping[str, Any], wanted: Iterable[tuple[str, Any]], *, list_as_any: bool) -> bool:
    """Whether `labels` have all that is wanted; with `list_as_any` one of a list's values is enough."""
    for key, value in wanted:
        if key not in labels:
            return False
        own = labels[key]
        candidates = own if list_as_any and isinstance(own, (tuple, list)) else (own,)
        if all(comparable(candidate) != value for candidate in candidates):
            return False
    return True


def comparable(value: Any) -> Any:
    """Return a value of free-form data so that only equal ones are equal: `true` is not 1, and 1 is 1.0."""
    if isinstance(value, Mapping):
        return "mapping", frozenset((key, comparable(item)) for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return "list", tuple(comparable(item) for item in value)
    if isinstance(value, bool) or value is None:
        return "constant", str(value)
    return float(value) if isinstance(value, int) else value
