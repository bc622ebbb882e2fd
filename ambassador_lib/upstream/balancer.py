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
from typing import Generic, Protocol, TypeVar

from ..algorithms.edf import Edf, strides
from ..algorithms.least_request import DEFAULT_CHOICES, least_loaded, loaded_stride
from ..algorithms.priority import DEFAULT_OVERPROVISIONING, DEFAULT_PANIC_THRESHOLD, Level, split_load
from ..policy.model.cluster import Cluster
from ..runtime.base import Random
from .host import DEGRADED, EXCLUDED, UNHEALTHY, Host

T = TypeVar("T")
_Source = tuple[object, ...]


class Picker(Protocol):
    """Chooses a host of one snapshot, from any thread; `None` where there is none."""

    def pick(self) -> Host | None: ...


class Nobody:
    """There is no host."""

    __slots__ = ()

    def pick(self) -> Host | None:
        return None


class Cyclic:
    """ROUND_ROBIN among equal weights."""

    __slots__ = ("_cursor", "_hosts")

    def __init__(self, hosts: Sequence[Host], cursor: Iterator[int]) -> None:
        self._hosts = hosts
        self._cursor = cursor

    def pick(self) -> Host | None:
        hosts = self._hosts
        return hosts[next(self._cursor) % len(hosts)]


class Turns(Generic[T]):
    """Weighted turns; `stride_of` may stretch a turn by what the item is doing at the moment."""

    __slots__ = ("_edf", "_items", "_lock", "_stride_of", "_strides")

    def __init__(
        self,
        items: Sequence[T],
        weights: Sequence[int | Fraction],
        random: Random,
        stride_of: Callable[[T, int], int] | None = None,
    ) -> None:
        self._items = items
        self._strides = strides(weights)
        self._stride_of = stride_of
        self._edf = Edf(self._strides)
        self._lock = threading.Lock()
        for _ in range(int(random.random() * len(items))):  # the start is random, as it is among equals
            self.next()

    def next(self) -> T:
        with self._lock:
            index = self._edf.peek()
            item = self._items[index]
            stride = self._strides[index]
            self._edf.advance(stride if self._stride_of is None else self._stride_of(item, stride))
            return item


class Weighted:
    """ROUND_ROBIN or LEAST_REQUEST among unequal weights."""

    __slots__ = ("_turns",)

    def __init__(self, turns: Turns[Host]) -> None:
        self._turns = turns

    def pick(self) -> Host | None:
        return self._turns.next()


class LeastRequest:
    """LEAST_REQUEST among equal weights."""

    __slots__ = ("_choices", "_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], choices: int, random: Random) -> None:
        self._hosts = hosts
        self._choices = choices
        self._random = random.random

    def pick(self) -> Host | None:
        return least_loaded(self._hosts, _active, self._choices, self._random)


class Uniform:
    """RANDOM: weights are not looked at."""

    __slots__ = ("_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], random: Random) -> None:
        self._hosts = hosts
        self._random = random.random

    def pick(self) -> Host | None:
        hosts = self._hosts
        return hosts[int(self._random() * len(hosts))]


class ByLocality:
    """A locality by weighted turns, then a host in it."""

    __slots__ = ("_turns",)

    def __init__(self, turns: Turns[Picker]) -> None:
        self._turns = turns

    def pick(self) -> Host | None:
        return self._turns.next().pick()


class ByPriority:
    """A priority by its percent of the load, then a host in it."""

    __slots__ = ("_random", "_shares")

    def __init__(self, shares: Sequence[tuple[int, Picker]], random: Random) -> None:
        limits = itertools.accumulate(load for load, _ in shares)
        self._shares = tuple((limit, picker) for limit, (_, picker) in zip(limits, shares, strict=True))
        self._random = random.random

    def pick(self) -> Host | None:
        draw = int(self._random() * 100)
        for limit, picker in self._shares:
            if draw < limit:
                return picker.pick()
        return None


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
        choices = cluster.least_request_lb_config and cluster.least_request_lb_config.choice_count
        self._choices = max(2, choices or DEFAULT_CHOICES)
        common = cluster.common_lb_config
        threshold = common and common.healthy_panic_threshold
        self._panic_threshold = DEFAULT_PANIC_THRESHOLD if threshold is None else min(100, int(threshold.value))
        self._by_locality = common is not None and common.locality_weighted_lb_config is not None
        assignment = cluster.load_assignment
        factor = assignment and assignment.policy and assignment.policy.overprovisioning_factor
        self._overprovisioning = factor or DEFAULT_OVERPROVISIONING

    def picker(self, hosts: Sequence[Host]) -> Picker:
        """Return the picker for `hosts` in their present health."""
        if not hosts:
            return Nobody()
        ranks = range(max(host.priority for host in hosts) + 1)
        members = [Members([host for host in hosts if host.priority == priority]) for priority in ranks]
        loads = split_load(
            [each.level for each in members],
            overprovisioning=self._overprovisioning,
            panic_threshold=self._panic_threshold,
        )
        # The healthy shares of all priorities come before the degraded ones.
        shares = [(load, self._healthy(p, members[p], loads.panic[p])) for p, load in enumerate(loads.healthy) if load]
        shares += [
            (load, self._degraded(p, members[p], loads.panic[p])) for p, load in enumerate(loads.degraded) if load
        ]
        return shares[0][1] if len(shares) == 1 else ByPriority(shares, self._random)

    def _healthy(self, priority: int, members: Members, panic: bool) -> Picker:
        if panic:
            return self._among(members.all, (priority, "all"))
        return self._localities(members, members.healthy, (priority, "healthy"))

    def _degraded(self, priority: int, members: Members, panic: bool) -> Picker:
        if panic:
            return self._among(members.all, (priority, "all"))
        return self._localities(members, members.degraded, (priority, "degraded"))

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
        return pickers[0] if len(pickers) == 1 else ByLocality(Turns(pickers, weights, self._random))

    def _locality_weight(self, members: Sequence[Host], usable: tuple[Host, ...]) -> Fraction:
        """The locality's weight, cut by the share of its hosts that are usable (overprovisioned; semantics 6.5)."""
        eligible = sum(1 for host in members if not host.flags & EXCLUDED)
        available = sum(1 for host in members if host in usable)
        if not eligible:
            return Fraction(0)
        availability = min(Fraction(1), Fraction(self._overprovisioning * available, 100 * eligible))
        return (members[0].locality_weight or 0) * availability

    def _among(self, hosts: tuple[Host, ...], source: _Source) -> Picker:
        """The cluster's `lb_policy` over one set of hosts."""
        if not hosts:
            return Nobody()
        if self._policy == "RANDOM":
            return Uniform(hosts, self._random)
        weights = [host.weight for host in hosts]
        least_request = self._policy == "LEAST_REQUEST"
        if len(set(weights)) > 1:
            return Weighted(Turns(hosts, weights, self._random, _stretched if least_request else None))
        if least_request:
            return LeastRequest(hosts, self._choices, self._random)
        return Cyclic(hosts, self._cursor(source))

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
