"""Shares of traffic: the random number of a call, and the numbers it is compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..algorithms import runtime_value

if TYPE_CHECKING:
    from ..call import Call
    from ..policy.model.balancing import RuntimeDouble
    from ..policy.model.core import FractionalPercent, RuntimeFeatureFlag, RuntimeFractionalPercent
    from ..runtime.base import Random

_INTEGER = re.compile(rb"\s*([+-]?)0*([0-9]{1,20})\s*")


def random_value(call: Call, random: Random) -> int:
    """Return the call's one random number, which all its draws share.

    Envoy draws once a stream: `runtime_fraction` and `weighted_clusters` see the same number, so that a route taken
    by the lower half of it only ever picks from the first half of its weights.
    """
    value = call.random_value
    if value is None:
        value = call.random_value = random.getrandbits(64)
    return value


def share(fraction: RuntimeFractionalPercent, runtime: Mapping[str, Any]) -> tuple[int, int]:
    """Return numerator and denominator; an integer under the runtime key counts in per cent."""
    return percent(fraction.default_value, runtime.get(fraction.runtime_key) if fraction.runtime_key else None)


def percent(default: FractionalPercent, override: Any) -> tuple[int, int]:
    """Return numerator and denominator of a share that a runtime value may override."""
    return runtime_value.share(override) or (default.numerator, runtime_value.DENOMINATORS[default.denominator])


def drawn(share: tuple[int, int], random: Random) -> bool:
    """Draw anew: what filters decide is independent of the route's number and of one another."""
    numerator, denominator = share
    if numerator <= 0 or numerator >= denominator:
        return numerator > 0
    return random.getrandbits(64) % denominator < numerator


def header_integer(call: Call, name: bytes) -> int | None:
    """Return the whole number, 0 or more, in the first header of that name."""
    value = call.header(name)
    number = None if value is None else integer(value)
    return number if number is not None and number >= 0 else None


def runtime_flag(flag: RuntimeFeatureFlag | None, runtime: Mapping[str, Any]) -> bool:
    """Return whether a switch is on, which it is where nothing is said."""
    if flag is None:
        return True
    own = runtime.get(flag.runtime_key)
    return own if isinstance(own, bool) else flag.default_value is not False


def runtime_number(number: RuntimeDouble | None, runtime: Mapping[str, Any], default: float) -> float:
    """Return a number that a runtime value may override; `default` where it is not set."""
    if number is None:
        return default
    own = runtime.get(number.runtime_key)
    return float(own) if isinstance(own, int | float) and not isinstance(own, bool) else number.default_value


def integer(value: bytes) -> int | None:
    """Return the number that a header's value is, base 10 with an optional sign; no more digits than 64 bits need."""
    found = _INTEGER.fullmatch(value)
    return None if found is None else int(found.group(1) + found.group(2))
