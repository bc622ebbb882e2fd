"""Who gets the next request (`Cluster.lb_policy`, `Cluster.common_lb_config`; semantics 6 and 7).

`Balancer.picker` turns a membership into an immutable picker: priority first, then, where the policy asks for it, the
locality, then a host among the healthy, the degraded or, in panic, all. A picker is built anew for every change of
membership or health, and picking takes no lock beyond that of weighted turns.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from ..algorithms.edf import Edf, strides
from ..algorithms.least_request import DEFAULT_CHOICES, least_loaded, loaded_stride
from ..algorithms.priority import DEFAULT_OVERPROVISIONING, DEFAULT_PANIC_THRESHOLD, Level, split_load
from .host import DEGRADED, EXCLUDED, UNHEALTHY, Host

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster, ClusterLoadAssignment
    from ..runtime.base import Random

T = TypeVar("T")
_Source = tuple[object, ...]

Picker = Callable[[], Host | None]
"""Chooses a host of one snapshot, from any thread; `None` where there is none."""


def nobody() -> Host | None:
    """Pick where there is no host."""
    return None


def cyclic(hosts: Sequence[Host], cursor: Iterator[int]) -> Picker:
    """ROUND_ROBIN among equal weights."""
    count = len(hosts)

    def pick() -> Host | None:
        return hosts[next(cursor) % count]

    return pick


def least_request(hosts: Sequence[Host], choices: int, random: Random) -> Picker:
    """LEAST_REQUEST among equal weights."""

    def pick() -> Host | None:
        return least_loaded(hosts, _active, choices, random.random)

    return pick


def uniform(hosts: Sequence[Host], random: Random) -> Picker:
    """RANDOM: weights are not looked at."""
    count = len(hosts)

    def pick() -> Host | None:
        return hosts[int(random.random() * count)]

    return pick


def by_locality(pickers: Sequence[Picker], weights: Sequence[Fraction], random: Random) -> Picker:
    """Pick a locality by weighted turns, then a host in it."""
    next_picker = turns(pickers, weights, random)

    def pick() -> Host | None:
        return next_picker()()

    return pick


def by_priority(shares: Sequence[tuple[int, Picker]], random: Random) -> Picker:
    """Pick by percent of the load, a priority's healthy or degraded part, then a host in it."""
    limits = itertools.accumulate(load for load, _ in shares)
    upto = [(limit, picker) for limit, (_, picker) in zip(limits, shares, strict=True)]

    def pick() -> Host | None:
        draw = int(random.random() * 100)
        for limit, picker in upto:
            if draw < limit:
                return picker()
        return None

    return pick


def turns(
    items: Sequence[T],
    weights: Sequence[int | Fraction],
    random: Random,
    stretch: Callable[[T, int], int] | None = None,
) -> Callable[[], T]:
    """Return what gives items their weighted turns; `stretch` lengthens a turn by what the item is doing just now."""
    lengths = strides(weights)
    edf = Edf(lengths)
    lock = threading.Lock()

    def take() -> T:
        with lock:
            index = edf.peek()
            item = items[index]
            edf.advance(lengths[index] if stretch is None else stretch(item, lengths[index]))
            return item

    for _ in range(int(random.random() * len(items))):  # the start is random, as it is among equals
        take()
    return take


class Members:
    """The hosts of one priority by health."""

    __slots__ = ("all", "degraded", "healthy", "level")

    def __init__(self, hosts: Sequence[Host]) -> None:
        available = [host for host in hosts if not host.flags & (UNHEALTHY | EXCLUDED)]
        self.all = tuple(hosts)
        self.healthy = tuple(host for host in available if not host.flags & DEGRADED)
        self.degraded = tuple(host for host in available if host.flags & DEGRADED)
        excluded = sum(1 for host in hosts if host.flags & EXCLUDED)
        self.level = Level(len(hosts), len(self.healthy), len(self.degraded), excluded)


class Balancer:
    """Builds a cluster's pickers. Round-robin cursors outlive them, so that a change does not restart the rotation."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._policy = cluster.lb_policy
        self._random = random
        self._cursors: dict[_Source, Iterator[int]] = {}
        least = cluster.least_request_lb_config
        self._choices = max(2, (least.choice_count if least is not None else None) or DEFAULT_CHOICES)
        common = cluster.common_lb_config
        threshold = common.healthy_panic_threshold if common is not None else None
        self._panic_threshold = DEFAULT_PANIC_THRESHOLD if threshold is None else min(100, int(threshold.value))
        self._by_locality = common is not None and common.locality_weighted_lb_config is not None
        self.follow(cluster.load_assignment)

    def follow(self, assignment: ClusterLoadAssignment | None) -> None:
        """Go by the assignment's policy from the next snapshot on."""
        policy = assignment.policy if assignment is not None else None
        factor = policy.overprovisioning_factor if policy is not None else None
        self._overprovisioning = DEFAULT_OVERPROVISIONING if factor is None else factor

    def picker(self, hosts: Sequence[Host]) -> Picker:
        """Return the picker for `hosts` in their present health."""
        if not hosts:
            return nobody
        ranks = range(max(host.priority for host in hosts) + 1)
        members = [Members([host for host in hosts if host.priority == priority]) for priority in ranks]
        loads = split_load(
            [each.level for each in members],
            overprovisioning=self._overprovisioning,
            panic_threshold=self._panic_threshold,
        )
        # The healthy parts of all priorities come before the degraded ones.
        parts = [
            *((load, priority, "healthy") for priority, load in enumerate(loads.healthy) if load),
            *((load, priority, "degraded") for priority, load in enumerate(loads.degraded) if load),
        ]
        shares = [
            (load, self._part(priority, "all" if loads.panic[priority] else health, members[priority]))
            for load, priority, health in parts
        ]
        return shares[0][1] if len(shares) == 1 else by_priority(shares, self._random)

    def _part(self, priority: int, health: str, members: Members) -> Picker:
        source = (priority, health)
        if health == "all":  # panic looks at neither health nor localities
            return self._among(members.all, source)
        return self._localities(members, members.healthy if health == "healthy" else members.degraded, source)

    def _localities(self, members: Members, hosts: tuple[Host, ...], source: _Source) -> Picker:
        """Balance over localities where the policy asks for it; without any weight all hosts are one pool."""
        if not self._by_locality:
            return self._among(hosts, source)
        weights: list[Fraction] = []
        pickers: list[Picker] = []
        for locality in dict.fromkeys(host.locality for host in hosts):
            weight = self._locality_weight([host for host in members.all if host.locality == locality], hosts)
            if weight:
                inside = tuple(host for host in hosts if host.locality == locality)
                weights.append(weight)
                pickers.append(self._among(inside, (*source, locality)))
        if not pickers:
            return self._among(hosts, source)
        return pickers[0] if len(pickers) == 1 else by_locality(pickers, weights, self._random)

    def _locality_weight(self, members: Sequence[Host], usable: tuple[Host, ...]) -> Fraction:
        """Return the locality's weight, cut by the overprovisioned share of its hosts that are usable."""
        eligible = sum(1 for host in members if not host.flags & EXCLUDED)
        available = sum(1 for host in members if host in usable)
        if not eligible:
            return Fraction(0)
        availability = min(Fraction(1), Fraction(self._overprovisioning * available, 100 * eligible))
        return (members[0].locality_weight or 0) * availability

    def _among(self, hosts: tuple[Host, ...], source: _Source) -> Picker:
        """Apply the cluster's `lb_policy` to one set of hosts."""
        if not hosts:
            return nobody
        if self._policy == "RANDOM":
            return uniform(hosts, self._random)
        weights = [host.weight for host in hosts]
        by_load = self._policy == "LEAST_REQUEST"
        if len(set(weights)) > 1:
            return turns(hosts, weights, self._random, _stretched if by_load else None)
        if by_load:
            return least_request(hosts, self._choices, self._random)
        return cyclic(hosts, self._cursor(source))

    def _cursor(self, source: _Source) -> Iterator[int]:
        cursor = self._cursors.get(source)
        if cursor is None:
            # `next` on a count is atomic: threads share the rotation without a lock.
            cursor = self._cursors[source] = itertools.count(self._random.getrandbits(30))
        return cursor


def _active(host: Host) -> int:
    return host.active


def _stretched(host: Host, stride: int) -> int:
    return loaded_stride(stride, host.active)
