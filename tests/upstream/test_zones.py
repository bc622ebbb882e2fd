from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from ambassador_lib.policy.model.balancing import CommonLbConfig
from ambassador_lib.policy.model.cluster import Cluster
from ambassador_lib.upstream.host import HealthFlag, HostSpec
from ambassador_lib.upstream.lb_context import LbContext
from ambassador_lib.upstream.upstream import Upstream

HERE, THERE, YONDER = ("r", "1", ""), ("r", "2", ""), ("r", "3", "")
Make = Callable[..., Upstream]


def zone(first: int, count: int, locality: tuple[str, str, str], **fields) -> list[HostSpec]:
    return [HostSpec("10.0.0.1", first + n, "", locality=locality, **fields) for n in range(count)]


PAIRS = [*zone(1, 2, HERE), *zone(3, 2, THERE), *zone(5, 2, YONDER)]


@pytest.fixture
def make(clock) -> Make:
    """Build a cluster that is called from `HERE`, beside `peers`; `runtime` are values of its keys."""

    def build(hosts, peers, *, runtime=None, **settings) -> Upstream:
        common = CommonLbConfig(zone_aware_lb_config=CommonLbConfig.ZoneAwareLbConfig(**settings))
        upstream = Upstream(
            Cluster(name="c", common_lb_config=common), clock=clock, random=random.Random(1), runtime=runtime or {},
            zone=(HERE, lambda: peers),
        )  # fmt: skip
        upstream.update_hosts(hosts, 0.0)
        return upstream

    return build


@pytest.fixture
def us(make_upstream) -> Upstream:
    """A local cluster with one host in each of three zones."""
    return make_upstream([*zone(1, 1, HERE), *zone(2, 1, THERE), *zone(3, 1, YONDER)])


def ports(upstream: Upstream, count: int = 600) -> Counter[int | None]:
    return Counter(host and host.port for host in (upstream.pick(0.0, LbContext()) for _ in range(count)))


def test_all_stays_in_a_zone_that_can_take_it(make, us) -> None:
    """Semantics 6.5: where the zone has no less of the hosts than of the callers, nothing leaves it."""
    assert ports(make(PAIRS, us)) == {1: 300, 2: 300}


def test_a_change_of_the_local_cluster_counts_at_once(make, us) -> None:
    """The next pick goes by the callers that there are now."""
    upstream = make(PAIRS, us)
    assert set(ports(upstream)) == {1, 2}
    us.update_hosts([*zone(1, 2, HERE), *zone(3, 1, THERE)], 0.0)
    counts = ports(upstream)
    assert set(counts) == {1, 2, 5, 6}
    assert 240 < counts[1] + counts[2] < 360


def test_health_of_the_local_cluster_counts_at_once(make, us) -> None:
    """Sick callers call nobody: two thirds of those that are left are elsewhere; half healthy is no panic."""
    us.update_hosts([*zone(1, 3, HERE), *zone(4, 1, THERE), *zone(5, 2, YONDER)], 0.0)
    upstream = make(PAIRS, us)
    assert set(ports(upstream)) > {1, 2}
    for host in us.hosts[:2]:
        us.set_flag(host, HealthFlag.FAILED_OUTLIER_CHECK, True)
    assert set(ports(upstream)) == {1, 2}


@pytest.mark.parametrize("fails", [False, True])
def test_a_local_cluster_in_panic_does_not_count(make, us, fails: bool) -> None:
    """Its zones mean nothing then; under `fail_traffic_on_panic` there is no host at all."""
    upstream = make(PAIRS, us, fail_traffic_on_panic=fails)
    for host in us.hosts[:2]:
        us.set_flag(host, HealthFlag.FAILED_OUTLIER_CHECK, True)
    assert set(ports(upstream)) == ({None} if fails else {1, 2, 3, 4, 5, 6})


@pytest.mark.parametrize(
    "peers",
    [zone(1, 3, HERE), [*zone(1, 1, THERE), *zone(2, 1, YONDER)], []],
    ids=["one zone", "nobody here", "nobody"],
)
def test_an_odd_local_cluster_does_not_count(make, make_upstream, peers) -> None:
    """With callers in one zone alone, or none here, all hosts are served in turn."""
    assert ports(make(PAIRS, make_upstream(peers))) == dict.fromkeys(range(1, 7), 100)


def test_a_local_cluster_that_is_still_to_come_does_not_count(make) -> None:
    """Until it is found, all hosts are served in turn."""
    assert ports(make(PAIRS, None)) == dict.fromkeys(range(1, 7), 100)


@pytest.mark.parametrize(
    ("settings", "key"), [({"min_cluster_size": 7}, {}), ({}, {"upstream.zone_routing.min_cluster_size": 7})]
)
def test_small_clusters_are_served_in_turn(make, us, settings, key) -> None:
    """Six healthy hosts are too few where seven are asked for."""
    assert len(ports(make(PAIRS, us, runtime=key, **settings))) == 6


@pytest.mark.parametrize(("enabled", "at_home"), [(0, 200), (50, 400), (100, 600)])
def test_a_share_of_the_picks_looks_at_zones(make, us, enabled: int, at_home: int) -> None:
    """`upstream.zone_routing.enabled` is the percentage that does; the others are served in turn."""
    counts = ports(make(PAIRS, us, runtime={"upstream.zone_routing.enabled": enabled}))
    assert counts[1] + counts[2] == pytest.approx(at_home, abs=60)


def test_lower_priorities_do_not_look_at_zones(make, us) -> None:
    """The best priority alone is routed by zone."""
    hosts = [
        *zone(1, 1, HERE, health_status="UNHEALTHY"),
        *zone(2, 2, HERE, priority=1),
        *zone(4, 4, THERE, priority=1),
    ]
    assert ports(make(hosts, us)) == dict.fromkeys(range(2, 8), 100)


def test_degraded_hosts_are_looked_for_in_the_zone_alone(make, us) -> None:
    """Envoy's: the degraded part of a zone without degraded hosts has nobody."""
    hosts = [*zone(1, 2, HERE), *zone(3, 2, THERE), *zone(5, 8, YONDER, health_status="DEGRADED")]
    upstream = make(hosts, us, min_cluster_size=1)
    counts = ports(upstream)
    assert not set(counts) & set(range(5, 13))
    assert counts[None] > 200


def test_force_local_zone_beats_shares(make, make_upstream) -> None:
    """With as many hosts here as it asks for, all stays, even if all callers are here."""
    peers = make_upstream(zone(1, 2, HERE))
    assert set(ports(make(PAIRS, peers, force_local_zone_min_size=2))) == {1, 2}
    assert len(ports(make(PAIRS, peers, force_local_zone_min_size=3))) > 2
