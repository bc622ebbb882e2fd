"""Zone aware routing: a cluster's load stays in the application's own zone as far as the hosts there can take it
(`ClusterManager.local_cluster_name`, `ZoneAwareLbConfig`; semantics 6.5).

How many callers a zone has says the local cluster: the application and those like it. Its hosts and their health change
apart from those of the cluster that is called, so each pick looks whether it still goes by their present snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..algorithms.runtime_value import integer
from ..algorithms.zones import ZoneShares, share_zones
from .host import Host
from .lb_context import LbContext
from .pickers import Picker, nobody
from .plan import Locality, Members

if TYPE_CHECKING:
    from ..policy.model.balancing import CommonLbConfig
    from ..runtime.base import Random

_MINIMUM = 6
_PANIC = object()
"""In place of shares: too few of the local cluster are healthy to tell."""


class Peers(Protocol):
    """The local cluster at work."""

    hosts: tuple[Host, ...]

    @property
    def snapshot(self) -> object:
        """What is another object after every change."""
        ...


FindPeers = Callable[[], Peers | None]


class Zones:
    """One cluster's zone aware routing; `own` is the application's locality, `peers` finds the local cluster."""

    def __init__(
        self,
        config: CommonLbConfig.ZoneAwareLbConfig | None,
        own: Locality,
        peers: FindPeers,
        *,
        random: Random,
        runtime: Mapping[str, Any],
        panic_threshold: int,
    ) -> None:
        self._own = own
        self._peers = peers
        self._random = random
        self._panic_threshold = panic_threshold
        enabled = config.routing_enabled if config is not None else None
        share = 100 if enabled is None else int(enabled.value + 0.5)
        self._enabled = min(100, integer(runtime.get("upstream.zone_routing.enabled"), share))
        least = config.min_cluster_size if config is not None else None
        self._least = integer(
            runtime.get("upstream.zone_routing.min_cluster_size"), _MINIMUM if least is None else least
        )
        forced = config.force_local_zone_min_size if config is not None else None
        self._forced = integer(runtime.get("upstream.zone_routing.force_local_zone.min_size"), 0) or forced
        self._by_weight = config is not None and config.locality_basis == "HEALTHY_HOSTS_WEIGHT"
        self._fails_in_panic = config is not None and config.fail_traffic_on_panic

    def picker(self, members: Members, usual: Picker, inside: Callable[[Locality], Picker]) -> Picker:
        """Pick by zone where that is possible, else as `usual`; `inside` picks within a zone."""
        zones = sorted({host.locality for host in members.all}, key=lambda zone: (zone != self._own, zone))
        if len(zones) < 2 or len(members.healthy) < self._least or not self._enabled:
            return usual
        pickers = [inside(zone) for zone in zones]
        seen: tuple[object, object] = (None, None)

        def pick(context: LbContext | None) -> Host | None:
            nonlocal seen
            peers = self._peers()
            if peers is None:
                return usual(context)
            known, shares = seen
            if known is not peers.snapshot:
                known = peers.snapshot
                shares = self._shares(members, zones, peers.hosts)
                seen = (known, shares)
            if shares is None or (self._enabled < 100 and self._random.random() * 100 >= self._enabled):
                return usual(context)
            if isinstance(shares, ZoneShares):
                return pickers[shares.choose(self._random.random)](context)
            return (nobody if self._fails_in_panic else usual)(context)

        return pick

    def _shares(self, members: Members, zones: Sequence[Locality], peers: Sequence[Host]) -> object:
        """Return the zones' shares, or that the local cluster panics; `None` where it is not such that zones count."""
        peers = [host for host in peers if not host.priority]
        places = {host.locality for host in peers}
        if self._own not in places or (len(places) < 2 and self._forced is None):
            return None
        callers = Members(peers)
        if callers.level.below(self._panic_threshold):
            return _PANIC
        has_own = zones[0] == self._own
        forced = self._forced is not None and has_own and self._number(members.healthy, self._own) >= self._forced
        return share_zones(
            [self._size(callers.healthy, zone) for zone in zones],
            [self._size(members.healthy, zone) for zone in zones],
            all_callers=sum(self._size(callers.healthy, zone) for zone in places),
            has_own=has_own,
            is_forced=forced,
        )

    def _size(self, hosts: Sequence[Host], zone: Locality) -> int:
        if not self._by_weight:
            return self._number(hosts, zone)
        return sum(host.weight for host in hosts if host.locality == zone)

    @staticmethod
    def _number(hosts: Sequence[Host], zone: Locality) -> int:
        return sum(1 for host in hosts if host.locality == zone)
