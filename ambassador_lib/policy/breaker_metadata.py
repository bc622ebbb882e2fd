"""The cluster's breaker, which Envoy's schema has no field for: `metadata.filter_metadata["ambassador_lib"]`.

Envoy accepts and ignores it, so one file serves both. Its YAML reader leaves floats as strings there, so numbers may
come as strings; durations are written as everywhere else, `"10s"`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .model.cluster import CircuitBreaker
from .parsed import ParsedMessage, Place, Value
from .scalars import Unreadable, kind, read_duration, read_float, read_integer
from .yaml_nodes import Node

if TYPE_CHECKING:
    from .build import Builder

NAMESPACE = "ambassador_lib"


def _share(value: object) -> float:
    number = read_float(value)
    if not 0 < number <= 1:
        raise Unreadable(f"{number:g} is out of range", "a share above 0 and at most 1, such as 0.5")
    return number


def _positive(value: object) -> int:
    number = read_integer(value, bits=32, signed=False)
    if number == 0:
        raise Unreadable("must be at least 1")
    return number


def _period(value: object) -> float:
    seconds = read_duration(value)
    if seconds <= 0:
        raise Unreadable("must be greater than 0s")
    return seconds


_READERS: dict[str, Callable[[object], Any]] = {
    "failure_rate": _share,
    "minimum_requests": _positive,
    "window": _period,
    "open_for": _period,
    "half_open_requests": _positive,
    "success_threshold": _positive,
}


def read_circuit_breaker(builder: Builder, metadata: ParsedMessage) -> CircuitBreaker | None:
    """Return the breaker that the metadata asks for; every key must be known."""
    ours: Value | None = (metadata.get("filter_metadata") or {}).get(NAMESPACE)
    if ours is None or ours.node is None or not isinstance(ours.node.value, dict):
        return None
    breaker = None
    for name, node in ours.node.value.items():
        place = Place(node.at, f"{ours.place.path}.{name}")
        if name == "circuit_breaker":
            breaker = _breaker(builder, node, place)
        else:
            builder.fault(Place(node.key_at or node.at, place.path), f"ambassador_lib has no setting {name!r}",
                          "it has circuit_breaker")  # fmt: skip
    return breaker


def _breaker(builder: Builder, node: Node, place: Place) -> CircuitBreaker:
    settings: dict[str, Any] = {}
    if node.value is not None and not isinstance(node.value, dict):
        builder.fault(place, f"expected a mapping, not {kind(node.value)}")
    for name, item in node.value.items() if isinstance(node.value, dict) else ():
        at = Place(item.at, f"{place.path}.{name}")
        reader = _READERS.get(name)
        if reader is None:
            near = difflib.get_close_matches(name, _READERS, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(_READERS)}"
            builder.fault(Place(item.key_at or item.at, at.path), f"circuit_breaker has no field {name!r}", hint)
        elif item.value is not None:
            try:
                settings[name] = reader(item.value)
            except Unreadable as error:
                builder.fault(at, error.message, error.hint)
    return CircuitBreaker(**settings)
