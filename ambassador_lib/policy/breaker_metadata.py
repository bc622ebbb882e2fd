"""The cluster's breaker, which Envoy's schema has no field for: `metadata.filter_metadata["ambassador_lib"]`.

Envoy accepts and ignores it, so one file serves both. Its YAML reader leaves floats as strings there, so numbers may
come as strings; durations are written as everywhere else, `"10s"`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from . import alike
from .model.cluster import CircuitBreaker
from .parsed import ParsedMessage, Place, Value
from .scalars import LONGEST_DURATION, Unreadable, kind, read_duration, read_float, read_integer
from .yaml_nodes import Node

NAMESPACE = "ambassador_lib"


class Faults(Protocol):
    """Takes the faults: a builder, or the walk of a policy in Python."""

    def fault(self, place: Place, message: str, hint: str = "") -> None:
        """Note something wrong."""


def _integer(value: object) -> int:
    return read_integer(value, bits=32, signed=False)


_READERS: dict[str, Callable[[object], Any]] = {
    "failure_rate": read_float,
    "minimum_requests": _integer,
    "window": read_duration,
    "open_for": read_duration,
    "half_open_requests": _integer,
    "success_threshold": _integer,
}


def check_setting(name: str, value: float) -> None:
    """Raise `Unreadable` for a setting out of its range."""
    if name == "failure_rate":
        if not 0 < value <= 1:
            raise Unreadable(f"{value:g} is out of range", "a share above 0 and at most 1, such as 0.5")
    elif _READERS[name] is read_duration:
        if not 0 < value <= LONGEST_DURATION:
            raise Unreadable("must be greater than 0s" if value <= 0 else f"{value:g} s is too long")
    elif value < 1:
        raise Unreadable("must be at least 1")


def read_circuit_breaker(faults: Faults, metadata: ParsedMessage) -> CircuitBreaker | None:
    """Return the breaker that the metadata asks for; every key must be known."""
    ours: Value | None = (metadata.get("filter_metadata") or {}).get(NAMESPACE)
    if ours is None or ours.node is None or not isinstance(ours.node.value, dict):
        return None
    breaker = None
    for name, node in ours.node.value.items():
        place = Place(node.at, name, ours.place)
        if name == "circuit_breaker":
            breaker = _breaker(faults, node, place)
        else:
            faults.fault(Place(node.key_at or node.at, place.path), f"ambassador_lib has no setting {name!r}",
                          "it has circuit_breaker")  # fmt: skip
    return breaker


def _breaker(faults: Faults, node: Node, place: Place) -> CircuitBreaker:
    settings: dict[str, Any] = {}
    if node.value is not None and not isinstance(node.value, dict):
        faults.fault(place, f"expected a mapping, not {kind(node.value)}")
    for name, item in node.value.items() if isinstance(node.value, dict) else ():
        at = Place(item.at, name, place)
        reader = _READERS.get(name)
        if reader is None:
            near = alike.nearest(name, _READERS)
            hint = f"did you mean {near}?" if near else f"one of {', '.join(_READERS)}"
            faults.fault(Place(item.key_at or item.at, at.path), f"circuit_breaker has no field {name!r}", hint)
        elif item.value is not None:
            try:
                setting = reader(item.value)
                check_setting(name, setting)
                settings[name] = setting
            except Unreadable as error:
                faults.fault(at, error.message, error.hint)
    return CircuitBreaker(**settings)
