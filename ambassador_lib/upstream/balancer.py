"""Who gets the next request (`Cluster.lb_policy`, `Cluster.common_lb_config`; semantics 6 and 7).

`Balancer.picker` turns a membership into an immutable picker: the subset first, where the policy has any, then the
priority, then, where the policy asks for it, the locality, then a host among the healthy, the degraded or, in panic,
all. A picker is built anew for every change of membership or health.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..algorithms.least_request import DEFAULT_BIAS, DEFAULT_CHOICES, loaded_weight
from ..algorithms.priority import DEFAULT_OVERPROVISIONING, DEFAULT_PANIC_THRESHOLD, Level, split_load
from ..algorithms.runtime_value import number
from ..algorithms.slow_start import SlowStart
from .hash_picker import Hashing
from .host import EXCLUDED, Host
from .pickers import Picker, by_locality, by_share, cyclic, full_scan, least_request, nobody, uniform, weighted
from .plan import Locality, LocalityWeights, Members, Plan, Source
from .subsets import Subsets
from .zones import FindPeers, Zones

if TYPE_CHECKING:
    from fractions import Fraction

    from ..policy.model.cluster import Cluster, ClusterLoadAssignment
    from ..runtime.base import Random

_NO_RUNTIME: Mapping[str, Any] = {}


class Balancer:
    """Builds a cluster's pickers. Round-robin cursors outlive them, so that a change does not restart the rotation.

    `hashes` and `subsets` say whether picks want a hash, or a route's criteria.
    """

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        *,
        now: Callable[[], float],
        runtime: Mapping[str, Any] = _NO_RUNTIME,
        zone: tuple[Locality, FindPeers] | None = None,
    ) -> None:
        self._policy = cluster.lb_policy
        self._random = random
        self._now = now
        self._cursors: dict[Source, Iterator[int]] = {}
        self._previous: dict[Source, Iterator[int]] = {}
        least = cluster.least_request_lb_config if self._policy == "LEAST_REQUEST" else None
        self._choices = max(2, (least.choice_count if least is not None else None) or DEFAULT_CHOICES)
        self._full_scan = least is not None and least.selection_method == "FULL_SCAN"
        self._bias = _bias(cluster, runtime)
        self._slow_start = _slow_start(cluster, runtime)
        common = cluster.common_lb_config
        threshold = common.healthy_panic_threshold if common is not None else None
        own = DEFAULT_PANIC_THRESHOLD if threshold is None else int(threshold.value)
        self.panic_threshold = min(100, int(number(runtime.get("upstream.healthy_panic_threshold"), own)))
        by_zone = common.zone_aware_lb_config if common is not None else None
        self._fails_in_panic = by_zone is not None and by_zone.fail_traffic_on_panic
        self._zones = None
        if zone is not None:
            self._zones = Zones(
                by_zone, *zone, random=random, runtime=runtime, panic_threshold=self.panic_threshold
            )  # fmt: skip
        self._by_locality = common is not None and common.locality_weighted_lb_config is not None
        self._hashing = Hashing(cluster, random) if self._policy in ("RING_HASH", "MAGLEV") else None
        self.hashes = self._hashing is not None
        config = cluster.lb_subset_config
        self._subsets = Subsets(config) if config is not None and config.subset_selectors else None
        self.subsets = self._subsets is not None
        self._subset_localities = config is not None and config.locality_weight_aware
        self._scaled_localities = config is not None and config.scale_locality_weight
        self.follow(cluster.load_assignment)

    def follow(self, assignment: ClusterLoadAssignment | None) -> None:
        """Go by the assignment's policy from the next snapshot on."""
        policy = assignment.policy if assignment is not None else None
        factor = policy.overprovisioning_factor if policy is not None else None
        self.overprovisioning = DEFAULT_OVERPROVISIONING if factor is None else factor
        self._health_by_weight = policy is not None and policy.weighted_priority_health

    def picker(self, hosts: Sequence[Host]) -> Picker:
        """Return the picker for `hosts` in their present health."""
        self._previous, self._cursors = self._cursors, {}
        if self._subsets is None:
            return self._picker(hosts, (), _locality_weights(hosts) if self._by_locality else {})
        return self._subsets.picker(hosts, partial(self._subset, hosts))

    def _subset(self, every: Sequence[Host], hosts: Sequence[Host], name: object) -> Picker:
        weights: LocalityWeights = {}
        if self._by_locality and self._subset_localities:
            weights = _locality_weights(hosts)
            if self._scaled_localities:
                weights = {place: _scaled(weight, place, hosts, every) for place, weight in weights.items()}
        return self._picker(hosts, (name,), weights)

    def _picker(self, hosts: Sequence[Host], scope: Source, weights: LocalityWeights) -> Picker:
        if not hosts:
            return nobody
        plan = Plan(self, self._members(hosts), scope, weights)
        return plan.picker() if self._hashing is None else plan.hashed(self._hashing)

    def _members(self, hosts: Sequence[Host]) -> list[Members]:
        ranks = range(max((host.priority for host in hosts), default=0) + 1)
        return [
            Members([host for host in hosts if host.priority == priority], by_weight=self._health_by_weight)
            for priority in ranks
        ]

    def levels(self, hosts: Sequence[Host]) -> list[Level]:
        """Return the health of each priority, for a cluster that is part of another one."""
        return [members.level for members in self._members(hosts)]

    def split(self, members: Sequence[Members]) -> tuple[Sequence[int], Sequence[int], Sequence[bool]]:
        """Return the loads of the priorities' healthy and degraded hosts, and who panics."""
        loads = split_load(
            [each.level for each in members],
            overprovisioning=self.overprovisioning,
            panic_threshold=self.panic_threshold,
        )
        return loads.healthy, loads.degraded, loads.panic

    def health(self, members: Sequence[Members]) -> tuple[list[int], list[int]]:
        """Return what the priorities' healthy and degraded hosts can take, percent."""
        levels = [each.level for each in members]
        healthy = [level.health(self.overprovisioning) for level in levels]
        return healthy, [level.degraded_health(self.overprovisioning) for level in levels]

    def share(self, shares: Sequence[tuple[int, Picker]]) -> Picker:
        """Pick by percent of the load."""
        return shares[0][1] if len(shares) == 1 else by_share(shares, self._random)

    def panicking(self, members: Members, source: Source) -> Picker:
        """Pick where too few are healthy: health and localities do not count, unless the traffic is to fail."""
        return nobody if self._fails_in_panic else self.among(members.all, source)

    def localities(self, members: Members, hosts: tuple[Host, ...], source: Source, weights: LocalityWeights) -> Picker:
        """Balance over localities where the policy asks for it; without any weight all hosts are one pool."""
        shares: list[Fraction] = []
        pickers: list[Picker] = []
        for locality in dict.fromkeys(host.locality for host in hosts) if weights else ():
            inside = [host for host in members.all if host.locality == locality]
            share = weights.get((hosts[0].priority, locality), 0) * self._availability(inside, hosts)
            if share:
                chosen = tuple(host for host in hosts if host.locality == locality)
                shares.append(share)
                pickers.append(self.among(chosen, (*source, locality)))
        if not pickers:
            usual = self.among(hosts, source)
            if self._zones is None or not hosts or hosts[0].priority:
                return usual
            return self._zones.picker(
                members,
                usual,
                lambda zone: self.among(tuple(host for host in hosts if host.locality == zone), (*source, zone)),
            )
        return pickers[0] if len(pickers) == 1 else by_locality(pickers, shares, self._random)

    def _availability(self, members: Sequence[Host], usable: tuple[Host, ...]) -> Fraction:
        """Return the overprovisioned share of a locality's hosts that are usable."""
        from fractions import Fraction  # brings decimal numbers, 0.2 MB that clusters without localities do not need

        eligible = sum(1 for host in members if not host.flags & EXCLUDED)
        available = sum(1 for host in members if host in usable)
        if not eligible:
            return Fraction(0)
        return min(Fraction(1), Fraction(self.overprovisioning * available, 100 * eligible))

    def among(self, hosts: tuple[Host, ...], source: Source) -> Picker:
        """Apply the cluster's `lb_policy` to one set of hosts."""
        if not hosts:
            return nobody
        if self._policy == "RANDOM":
            return uniform(hosts, self._random)
        unequal = len({host.weight for host in hosts}) > 1
        warming = self._slow_start is not None and any(self._age(host) < self._slow_start.window for host in hosts)
        if unequal or warming:
            return weighted(hosts, self._random, self._weigh)
        if self._policy != "LEAST_REQUEST":
            return cyclic(hosts, self._cursor(source))
        if self._full_scan:
            return full_scan(hosts, self._random)
        return least_request(hosts, self._choices, self._random)

    @property
    def _weigh(self) -> Callable[[Host], float] | None:
        """A host's weight as it is just now; `None` where it never changes."""
        slow_start = self._slow_start
        by_load = self._policy == "LEAST_REQUEST" and self._bias != 0.0
        if slow_start is None and not by_load:
            return None

        def weigh(host: Host) -> float:
            weight: float = host.weight
            if by_load:
                weight = loaded_weight(weight, host.active, self._bias)
            if slow_start is not None:
                weight *= slow_start.factor(self._age(host))
            return weight

        return weigh

    def _age(self, host: Host) -> float:
        return self._now() - host.healthy_since

    def _cursor(self, source: Source) -> Iterator[int]:
        cursor = self._cursors.get(source)
        if cursor is None:
            # `next` on a count is atomic: threads share the rotation without a lock.
            cursor = self._previous.get(source) or itertools.count(self._random.getrandbits(30))
            self._cursors[source] = cursor
        return cursor


def _locality_weights(hosts: Sequence[Host]) -> LocalityWeights:
    return {(host.priority, host.locality): host.locality_weight for host in hosts if host.locality_weight}


def _scaled(weight: int, place: tuple[int, Locality], hosts: Sequence[Host], every: Sequence[Host]) -> int:
    """Return a locality's weight, scaled by the share of its hosts that are in the subset; rounded, as Envoy does."""
    inside = sum(1 for host in hosts if (host.priority, host.locality) == place)
    of_all = sum(1 for host in every if (host.priority, host.locality) == place)
    return (2 * weight * inside + of_all) // (2 * of_all)


def _bias(cluster: Cluster, runtime: Mapping[str, Any]) -> float:
    config = cluster.least_request_lb_config
    bias = config.active_request_bias if config is not None else None
    if bias is None:
        return DEFAULT_BIAS
    return max(0.0, number(runtime.get(bias.runtime_key), bias.default_value))


def _slow_start(cluster: Cluster, runtime: Mapping[str, Any]) -> SlowStart | None:
    settings = cluster.round_robin_lb_config if cluster.lb_policy == "ROUND_ROBIN" else None
    config = settings.slow_start_config if settings is not None else None
    if cluster.lb_policy == "LEAST_REQUEST" and cluster.least_request_lb_config is not None:
        config = cluster.least_request_lb_config.slow_start_config
    if config is None or not config.slow_start_window:
        return None
    given, least = config.aggression, config.min_weight_percent
    aggression = 1.0 if given is None else number(runtime.get(given.runtime_key), given.default_value)
    return SlowStart(
        config.slow_start_window,
        aggression if aggression > 0 else 1.0,
        0.1 if least is None else least.value / 100,
    )
