"""Where the picks among one set of hosts go: by priority, health and panic (semantics 6.3, 6.4).

What happens within one priority's healthy, degraded or, in panic, all hosts is the balancer's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..algorithms.priority import Level
from .hash_picker import Hashing
from .host import DEGRADED, EXCLUDED, UNHEALTHY, Host
from .lb_context import LbContext
from .pickers import Picker

if TYPE_CHECKING:
    from .balancer import Balancer

Source = tuple[object, ...]
Locality = tuple[str, str, str]
LocalityWeights = Mapping[tuple[int, Locality], int]
"""By priority and locality; those without a weight are missing."""


class Members:
    """The hosts of one priority by health."""

    __slots__ = ("all", "degraded", "healthy", "level")

    def __init__(self, hosts: Sequence[Host], *, by_weight: bool = False) -> None:
        available = [host for host in hosts if not host.flags & (UNHEALTHY | EXCLUDED)]
        self.all = tuple(hosts)
        self.healthy = tuple(host for host in available if not host.flags & DEGRADED)
        self.degraded = tuple(host for host in available if host.flags & DEGRADED)
        excluded = sum(1 for host in hosts if host.flags & EXCLUDED)
        weights = None
        if by_weight:
            eligible = sum(host.weight for host in hosts if not host.flags & EXCLUDED)
            weights = eligible, _weight(self.healthy), _weight(self.degraded)
        self.level = Level(len(hosts), len(self.healthy), len(self.degraded), excluded, weights)


class Plan:
    """The pickers of one set of hosts: one for each priority and health, made when it is first needed."""

    def __init__(self, balancer: Balancer, members: Sequence[Members], scope: Source, weights: LocalityWeights) -> None:
        self._balancer = balancer
        self._members = members
        self._scope = scope
        self._weights = weights
        self._healthy, self._degraded, self._panic = balancer.split(members)
        self._parts: dict[Source, Picker] = {}

    def picker(self) -> Picker:
        """Pick by priority; a retry's may go by loads of its own (`previous_priorities`)."""
        usual = self._by_loads(self._healthy, self._degraded)
        if len(self._members) == 1 and not (self._healthy[0] and self._degraded[0]):
            return usual
        health = self._balancer.health(self._members)

        def pick(context: LbContext | None) -> Host | None:
            loads = None
            if context is not None and context.priorities is not None:
                loads = context.priorities.loads(*health)
            return usual(context) if loads is None else self._by_loads(*loads)(context)

        return pick

    def hashed(self, hashing: Hashing) -> Picker:
        """Pick by hash among healthy hosts, in panic among all; degraded ones get nothing (Envoy's)."""
        pickers = [
            hashing.picker(self._normalized(each, each.all if panic else each.healthy))
            for each, panic in zip(self._members, self._panic, strict=True)
        ]
        if len(pickers) == 1:
            return pickers[0]
        loads = [*enumerate(self._healthy), *enumerate(self._degraded)]
        return hashing.by_priority([(load, priority) for priority, load in loads if load], pickers)

    def _by_loads(self, healthy: Sequence[int], degraded: Sequence[int]) -> Picker:
        # The healthy parts of all priorities come before the degraded ones.
        shares = [(load, self._part(priority, "healthy")) for priority, load in enumerate(healthy) if load]
        shares += [(load, self._part(priority, "degraded")) for priority, load in enumerate(degraded) if load]
        return self._balancer.share(shares)

    def _part(self, priority: int, health: str) -> Picker:
        if self._panic[priority]:
            health = "all"
        source = (*self._scope, priority, health)
        made = self._parts.get(source)
        if made is None:
            members = self._members[priority]
            if health == "all":
                made = self._balancer.panicking(members, source)
            else:
                hosts = members.healthy if health == "healthy" else members.degraded
                made = self._balancer.localities(members, hosts, source, self._weights)
            self._parts[source] = made
        return made

    def _normalized(self, members: Members, hosts: Sequence[Host]) -> list[tuple[Host, float]]:
        """Return hosts with their part of all weight, localities' weights included where they count."""
        if not self._weights:
            return _normalized(hosts, 1.0)
        # A locality without a usable host keeps its part, and nobody has it.
        places = sorted({(host.priority, host.locality) for host in members.all})
        total = sum(self._weights.get(place, 0) for place in places)
        found: list[tuple[Host, float]] = []
        for place in places:
            weight = self._weights.get(place, 0)
            if weight:
                found += _normalized([host for host in hosts if host.locality == place[1]], weight / total)
        return found


def _normalized(hosts: Sequence[Host], part: float) -> list[tuple[Host, float]]:
    total = _weight(hosts)
    return [(host, host.weight * part / total) for host in hosts]


def _weight(hosts: Sequence[Host]) -> int:
    return sum(host.weight for host in hosts)
