"""Values of the layered runtime as Envoy reads them: numbers, and shares of traffic."""

from __future__ import annotations

from typing import Any, TypeVar

Default = TypeVar("Default")

DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}
"""Source: `envoy.type.v3.FractionalPercent.DenominatorType`."""


def number(value: object, default: float) -> float:
    """Return a runtime value as the number that it is or says, else the default."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        return float(value)
    except ValueError:
        return default


def integer(value: object, default: Default) -> int | Default:
    """Return a runtime value as an unsigned integer, fractions cut off, else the default."""
    found = number(value, -1.0)
    return int(found) if 0 <= found < 2**64 else default


def share(value: Any) -> tuple[int, int] | None:
    """Return a runtime value as numerator and denominator: a number is percent; `None` where it is neither."""
    denominator = None if isinstance(value, int) else DENOMINATORS.get(getattr(value, "denominator", ""))
    if denominator is not None:
        return value.numerator, denominator
    found = integer(value, None)
    return None if found is None else (found, 100)
