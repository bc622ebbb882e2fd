"""Picking among one set of hosts: in turn, by weight, by load, at random (`Cluster.lb_policy`; semantics 7).

A picker is made for one snapshot and asked from any thread. Only weighted turns take a lock.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..algorithms.edf import Edf, strides
from ..algorithms.least_request import DEFAULT_CHOICES, fewest, least_loaded
from .host import Host
from .lb_context import LbContext

if TYPE_CHECKING:
    from fractions import Fraction

    from ..runtime.base import Random

T = TypeVar("T")

Picker = Callable[[LbContext | None], Host | None]
"""Chooses a host of one snapshot, from any thread; `None` where there is none."""


def nobody(_context: LbContext | None) -> Host | None:
    """Pick where there is no host."""
    return None


def cyclic(hosts: Sequence[Host], cursor: Iterator[int]) -> Picker:
    """ROUND_ROBIN among equal weights."""
    count = len(hosts)

    def pick(_context: LbContext | None) -> Host | None:
        return hosts[next(cursor) % count]

    return pick


def least_request(hosts: Sequence[Host], choices: int, random: Random) -> Picker:
    """LEAST_REQUEST among equal weights."""

    def pick(_context: LbContext | None) -> Host | None:
        return least_loaded(hosts, _active, choices, random.random)

    return _less_busy(hosts, random) if choices == DEFAULT_CHOICES else pick


def _less_busy(hosts: Sequence[Host], random: Random) -> Picker:
    """`least_loaded` of two choices, which is what nearly everybody has."""
    count, draw = len(hosts), random.random

    def pick(_context: LbContext | None) -> Host | None:
        first = hosts[int(draw() * count)]
        second = hosts[int(draw() * count)]
        return second if second.active < first.active else first

    return pick


def full_scan(hosts: Sequence[Host], random: Random) -> Picker:
    """LEAST_REQUEST among equal weights, looking at every host."""

    def pick(_context: LbContext | None) -> Host | None:
        return fewest(hosts, _active, random.random)

    return pick


def uniform(hosts: Sequence[Host], random: Random) -> Picker:
    """RANDOM: weights are not looked at."""
    count = len(hosts)

    def pick(_context: LbContext | None) -> Host | None:
        return hosts[int(random.random() * count)]

    return pick


def weighted(hosts: Sequence[Host], random: Random, weigh: Callable[[Host], float] | None = None) -> Picker:
    """Weighted turns; `weigh` gives a host's weight as it is just now, else the hosts' own are met exactly."""
    take = turns(hosts, [host.weight for host in hosts], random) if weigh is None else moving(hosts, weigh, random)

    def pick(_context: LbContext | None) -> Host | None:
        return take()

    return pick


def by_locality(pickers: Sequence[Picker], weights: Sequence[Fraction], random: Random) -> Picker:
    """Pick a locality by weighted turns, then a host in it."""
    next_picker = turns(pickers, weights, random)

    def pick(context: LbContext | None) -> Host | None:
        return next_picker()(context)

    return pick


def by_share(shares: Sequence[tuple[int, Picker]], random: Random) -> Picker:
    """Pick by percent of the load one of several pickers."""
    limits = itertools.accumulate(load for load, _ in shares)
    upto = [(limit, picker) for limit, (_, picker) in zip(limits, shares, strict=True)]

    def pick(context: LbContext | None) -> Host | None:
        draw = int(random.random() * 100)
        for limit, picker in upto:
            if draw < limit:
                return picker(context)
        return None

    return pick


def turns(items: Sequence[T], weights: Sequence[int | Fraction], random: Random) -> Callable[[], T]:
    """Return what gives items their weighted turns."""
    lengths = strides(weights)
    edf = Edf(lengths)
    lock = threading.Lock()

    def take() -> T:
        with lock:
            index = edf.peek()
            edf.advance(lengths[index])
            return items[index]

    for _ in range(int(random.random() * len(items))):  # the start is random, as it is among equals
        take()
    return take


def moving(items: Sequence[T], weigh: Callable[[T], float], random: Random) -> Callable[[], T]:
    """Return what gives items turns by weights that change: each is asked for again with every turn."""
    edf = Edf([1 / weigh(item) for item in items])
    lock = threading.Lock()

    def take() -> T:
        with lock:
            index = edf.peek()
            item = items[index]
            edf.advance(1 / weigh(item))
            return item

    for _ in range(int(random.random() * len(items))):
        take()
    return take


def _active(host: Host) -> int:
    return host.active
