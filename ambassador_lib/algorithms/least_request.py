"""The power of several choices (`Cluster.lb_policy: LEAST_REQUEST`; semantics 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

DEFAULT_CHOICES = 2


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


def loaded_stride(stride: int, active: int) -> int:
    """Return the EDF stride of a host whose weight is divided by its active requests plus one."""
    return stride * (active + 1)
