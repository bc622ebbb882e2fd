"""Values of the layered runtime as Envoy reads them: numbers, and shares of traffic."""

from __future__ import annotations


def number(value: object, default: float) -> float:
    """Return a runtime value as the number that it is or says, else the default."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        return float(value)
    except ValueError:
        return default


def integer(value: object, default: int) -> int:
    """Return a runtime value as an unsigned integer, fractions cut off, else the default."""
    found = number(value, -1.0)
    return int(found) if 0 <= found < 2**64 else default
