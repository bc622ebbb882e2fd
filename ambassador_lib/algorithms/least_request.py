"""The power of several choices (`Cluster.lb_policy: LEAST_REQUEST`; semantics 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

DEFAULT_CHOICES = 2
DEFAULT_BIAS = 1.0


def least_loaded(items: Sequence[T], load: Callable[[T], int], choices: int, random: Callable[[], float]) -> T:
    """Draw `choices` items with replacement and return the one with the least load, the first drawn of equals.

    Drawing with replacement is Envoy's: of two hosts the busy one still gets a quarter.
    """
    count = len(items)
    best = items[int(random() * count)]
    least = load(best)
    for _ in range(choices - 1):
        item = items[int(random() * count)]
        current = load(item)
        if current < least:
            best, least = item, current
    return best


def loaded_weight(weight: float, active: int, bias: float) -> float:
    """Return the weight of a host by what it is doing: divided by its requests plus one, to the power of `bias`."""
    if bias == 1.0:
        return weight / (active + 1)
    return float(weight / (active + 1) ** bias)


def fewest(items: Sequence[T], load: Callable[[T], int], random: Callable[[], float]) -> T:
    """Return one of the items with the least load of all, each of these as likely as the others."""
    found, least, equals = items[0], load(items[0]), 1
    for item in items[1:]:
        current = load(item)
        if current < least:
            found, least, equals = item, current, 1
        elif current == least:
            equals += 1
            if random() * equals < 1:
                found = item
    return found
