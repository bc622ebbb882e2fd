"""Several clusters as one (`envoy.clusters.aggregate`): their priorities in a row, best cluster first.

The load is split over all priorities as within one cluster; the cluster that a priority belongs to then picks a host of
it in its own way. Which clusters there are is asked for every pick, since they may be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..algorithms.priority import Loads, OnePriority, split_load
from .host import Host
from .lb_context import LbContext
from .upstream import Outcome, Upstream

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster
    from ..runtime.base import Clock, Random

_NO_CONTEXT = LbContext()


@dataclass(frozen=True, slots=True)
class _Plan:
    """The split over one snapshot of all members; `places` are each priority's cluster and its number there."""

    snapshot: tuple[object, ...]
    places: tuple[tuple[Upstream, int], ...]
    loads: Loads
    health: tuple[Sequence[int], Sequence[int]]


class Aggregate(Upstream):
    """Has no hosts of its own: picks are its members'; its thresholds limit retries alone, as in Envoy."""

    def __init__(
        self, cluster: Cluster, find: Callable[[str], Upstream | None], *, clock: Clock, random: Random, **options: Any
    ) -> None:
        super().__init__(cluster, clock=clock, random=random, **options)
        assert cluster.aggregate is not None, "or it would be another type of cluster"
        self.hashes = self.subsets = True  # members may need what a pick depends on
        self._names = cluster.aggregate.clusters
        self._find = find
        self._random = random
        self._plan: _Plan | None = None

    def pick(self, now: float, context: LbContext | None = None) -> Host | None:
        """Choose a priority by the load, and have its cluster choose a host there."""
        plan = self._current_plan()
        if plan is None:
            return None
        healthy, degraded = plan.loads.healthy, plan.loads.degraded
        if context is not None and context.priorities is not None:
            healthy, degraded = context.priorities.loads(*plan.health) or (healthy, degraded)
        index, is_degraded = _drawn(int(self._random.random() * 100), healthy, degraded)
        member, priority = plan.places[index]
        return member.pick(now, (context or _NO_CONTEXT).at(OnePriority(priority, degraded=is_degraded)))

    def record(self, host: Host, outcome: Outcome, now: float) -> None:
        """Tell the outlier detection of the host's own cluster."""
        member = self._find(host.cluster)
        if member is not None:
            member.record(host, outcome, now)

    def priority_of(self, host: Host) -> int:
        """Return the host's priority among those of all members."""
        plan = self._current_plan()
        for index, (member, priority) in enumerate(plan.places if plan is not None else ()):
            if member.name == host.cluster and priority == host.priority:
                return index
        return host.priority

    def _current_plan(self) -> _Plan | None:
        found = map(self._find, self._names)
        # One that consists of others has no hosts of its own, and so counts for nothing: as in Envoy.
        members = [member for member in found if member is not None and not isinstance(member, Aggregate)]
        snapshot = tuple(member.snapshot for member in members)
        plan = self._plan
        if plan is None or plan.snapshot != snapshot:
            plan = self._plan = self._made(members, snapshot)
        return plan if plan.places else None

    def _made(self, members: Sequence[Upstream], snapshot: tuple[object, ...]) -> _Plan:
        places, levels, factors = [], [], []
        for member in members:
            for priority, level in enumerate(member.levels()):
                places.append((member, priority))
                levels.append(level)
                factors.append(member.overprovisioning)
        if not levels:
            return _Plan(snapshot, (), Loads((), (), ()), ((), ()))
        loads = split_load(levels, overprovisioning=factors, panic_threshold=self.panic_threshold)
        both = list(zip(levels, factors, strict=True))
        health = [level.health(factor) for level, factor in both]
        degraded = [level.degraded_health(factor) for level, factor in both]
        return _Plan(snapshot, tuple(places), loads, (health, degraded))


def _drawn(draw: int, healthy: Sequence[int], degraded: Sequence[int]) -> tuple[int, bool]:
    """Return whose turn it is: the healthy parts of all priorities come before the degraded ones."""
    for is_degraded, loads in ((False, healthy), (True, degraded)):
        for index, load in enumerate(loads):
            if draw < load:
                return index, is_degraded
            draw -= load
    return 0, False
