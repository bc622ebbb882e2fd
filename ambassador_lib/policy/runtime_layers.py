"""The layered runtime's static layers as one flat mapping: later layers win, nested mappings are dotted keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .model.core import FractionalPercent, FrozenDict
from .parsed import ParsedMessage, Value

if TYPE_CHECKING:
    from .build import Builder

HIDES_FAILURE_REASON = "envoy.reloadable_features.hide_transport_failure_reason_in_response_body"
"""Unless `false`, a 503 keeps to itself why there is no connection."""
GRPC_DEADLINE_EXCEEDED = "envoy.reloadable_features.grpc_timeout_returns_deadline_exceeded"
"""If `true`, a gRPC caller is told of a timeout as DEADLINE_EXCEEDED."""

RuntimeValue = bool | int | str | FractionalPercent


def read_runtime(builder: Builder, bootstrap: ParsedMessage) -> FrozenDict[RuntimeValue]:
    """Return the values by key, and note their places."""
    runtime: dict[str, RuntimeValue] = {}
    layered = bootstrap.get("layered_runtime")
    layers: tuple[Value, ...] = (layered.get("layers") or ()) if layered is not None else ()
    names: set[str] = set()
    for layer in (item.value for item in layers if isinstance(item.value, ParsedMessage)):
        if layer.get("name") in names:
            builder.fault(layer.where("name"), f"a layer named {layer.get('name')!r} exists already")
        names.add(layer.get("name"))
        values = layer.get("static_layer")
        if not isinstance(values, Mapping):
            continue
        for key, value in _flat(values, ""):
            place = layer.where("static_layer").field(key)
            builder.places.runtime[key] = place
            if isinstance(value, (bool, int, str, FractionalPercent)):
                runtime[key] = value
            else:
                builder.fault(place, "a runtime value is a number, a boolean, a string or a fraction")
    if sum("admin_layer" in item.value.fields for item in layers if isinstance(item.value, ParsedMessage)) > 1:
        builder.fault(layered.where("layers"), "there can be one admin_layer")
    return FrozenDict(runtime)


def _flat(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        if not isinstance(value, Mapping):
            yield key, value
        elif "numerator" in value or "denominator" in value:
            yield key, _fraction(value)
        else:
            yield from _flat(value, f"{key}.")


def _fraction(value: Mapping[str, object]) -> FractionalPercent:
    numerator = value.get("numerator", 0)
    denominator = str(value.get("denominator", "HUNDRED")).upper()
    return FractionalPercent(numerator=numerator if isinstance(numerator, int) else 0, denominator=denominator)
