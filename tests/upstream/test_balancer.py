from __future__ import annotations

from collections import Counter
from itertools import groupby
from threading import Barrier, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambassador_lib.policy.model.balancing import CommonLbConfig, LeastRequestLbConfig
from ambassador_lib.policy.model.cluster import ClusterLoadAssignment
from ambassador_lib.policy.model.core import Percent
from ambassador_lib.upstream.host import HealthFlag, HostSpec
from ambassador_lib.upstream.lb_context import LbContext
from ambassador_lib.upstream.upstream import Upstream

LOCALITIES = CommonLbConfig(locality_weighted_lb_config=CommonLbConfig.LocalityWeightedLbConfig())


def spec(port: int, health: str = "UNKNOWN", **fields) -> HostSpec:
    return HostSpec("10.0.0.1", port, "", health_status=health, **fields)


def picks(upstream: Upstream, count: int) -> list[int | None]:
    return [host and host.port for host in (upstream.pick(0.0) for _ in range(count))]


def panic(value: float) -> CommonLbConfig:
    return CommonLbConfig(healthy_panic_threshold=Percent(value=value))


def test_round_robin_is_a_rotation_from_a_random_start(make_upstream) -> None:
    """Equal weights are served in turn; where the turn begins differs between upstreams."""
    starts = set()
    for seed in range(20):
        order = picks(make_upstream(3, seed=seed), 9)
        assert order[:3] * 3 == order
        assert sorted(order[:3]) == [1, 2, 3]
        starts.add(order[0])
    assert starts == {1, 2, 3}


@pytest.mark.parametrize(("weights", "count"), [((1, 2, 3), 600), ((3, 1), 400), ((5, 2, 1), 800)])
def test_weights_are_met_exactly(make_upstream, weights: tuple[int, ...], count: int) -> None:
    """Semantics 7: over whole periods each host gets exactly its weight, wherever the turn began."""
    for seed in range(5):
        upstream = make_upstream([spec(n, weight=weight) for n, weight in enumerate(weights, 1)], seed=seed)
        share = count // sum(weights)
        assert Counter(picks(upstream, count)) == {n: weight * share for n, weight in enumerate(weights, 1)}


def test_weighted_turns_are_no_blocks(make_upstream) -> None:
    """With 3:1 the heavier host is never picked more than three times in a row."""
    order = picks(make_upstream([spec(1, weight=3), spec(2)]), 400)
    assert max(len(list(run)) for port, run in groupby(order) if port == 1) == 3


def test_random_ignores_weights(make_upstream) -> None:
    """Semantics 7: RANDOM is uniform over 9:1 too."""
    counts = Counter(picks(make_upstream([spec(1, weight=9), spec(2)], lb_policy="RANDOM"), 4000))
    assert 1850 < counts[1] < 2150


def test_least_request_avoids_the_busy_host(make_upstream) -> None:
    """Two draws with replacement: the busy one of two hosts gets a quarter."""
    upstream = make_upstream(2, lb_policy="LEAST_REQUEST")
    for _ in range(5):
        upstream.hosts[0].active += 1
    assert 0.22 < Counter(picks(upstream, 4000))[1] / 4000 < 0.28


def test_more_choices_avoid_it_more(make_upstream) -> None:
    """`choice_count` 8 leaves the busy one of two hosts nearly nothing."""
    upstream = make_upstream(2, lb_policy="LEAST_REQUEST", least_request_lb_config=LeastRequestLbConfig(choice_count=8))
    upstream.hosts[0].active += 1
    assert Counter(picks(upstream, 4000))[1] < 60


def test_least_request_with_weights_divides_by_load(make_upstream) -> None:
    """Weight 4 with three requests in flight counts as weight 1."""
    upstream = make_upstream([spec(1, weight=4), spec(2)], lb_policy="LEAST_REQUEST")
    for _ in range(3):
        upstream.hosts[0].active += 1
    counts = Counter(picks(upstream, 400))
    assert counts[1] == pytest.approx(200, abs=5)


def test_nobody_is_picked_from_nothing(make_upstream) -> None:
    """An empty cluster has no host to give."""
    assert picks(make_upstream(0), 2) == [None, None]


@pytest.mark.parametrize(
    ("healths", "threshold", "used"),
    [
        (["", "", "UNHEALTHY", "UNHEALTHY"], 50, {1, 2}),
        (["", "UNHEALTHY", "UNHEALTHY", "UNHEALTHY"], 50, {1, 2, 3, 4}),
        (["", "UNHEALTHY", "UNHEALTHY", "UNHEALTHY"], 0, {1}),
        (["UNHEALTHY"] * 4, 0, {None}),
        (["UNHEALTHY"] * 4, 50, {1, 2, 3, 4}),
        (["", "", "UNHEALTHY", "TIMEOUT"], 80, {1, 2, 3, 4}),
        (["", "", "", "UNHEALTHY"], 80, {1, 2, 3}),
        (["", "", "", "DEGRADED"], 0, {1, 2, 3}),
        (["DRAINING", "DEGRADED"], 0, {2}),
        (["DRAINING", ""], 50, {2}),
    ],
)
def test_who_is_used(make_upstream, healths: list[str], threshold: int, used: set[int | None]) -> None:
    """Semantics 6.2, 6.3: health classes, exclusion and panic decide who gets traffic at all."""
    hosts = [spec(n, health) for n, health in enumerate(healths, 1)]
    assert set(picks(make_upstream(hosts, common_lb_config=panic(threshold)), 60)) == used


def test_the_panic_threshold_is_cut_to_an_integer(make_upstream) -> None:
    """Envoy truncates: 50.9 % is 50 %, so that half of the hosts is enough."""
    upstream = make_upstream([spec(1), spec(2, "UNHEALTHY")], common_lb_config=panic(50.9))
    assert set(picks(upstream, 10)) == {1}


def test_degraded_hosts_take_their_share(make_upstream) -> None:
    """Semantics 6.4: one healthy and one degraded host share 70 to 30."""
    counts = Counter(picks(make_upstream([spec(1), spec(2, "DEGRADED")]), 4000))
    assert 0.67 < counts[1] / 4000 < 0.73


def test_load_spills_over_priorities_with_gaps(make_upstream) -> None:
    """Half of P0 healthy: 70 % stays, the rest goes to P2, there being no P1."""
    hosts = [spec(1), spec(2, "UNHEALTHY"), spec(3, priority=2)]
    counts = Counter(picks(make_upstream(hosts), 4000))
    assert counts[2] == 0
    assert 0.67 < counts[1] / 4000 < 0.73


def test_the_next_priority_waits_until_it_is_needed(make_upstream) -> None:
    """P1 gets nothing while P0 is well, and everything when P0 is down."""
    assert set(picks(make_upstream([spec(1), spec(2, priority=1)]), 50)) == {1}
    assert set(picks(make_upstream([spec(1, "UNHEALTHY"), spec(2, priority=1)]), 50)) == {2}


def test_total_panic_spreads_by_hosts(make_upstream) -> None:
    """When all priorities are down, P1 gets the share of its hosts."""
    hosts = [spec(1, "UNHEALTHY"), *(spec(n, "UNHEALTHY", priority=1) for n in (2, 3, 4))]
    counts = Counter(picks(make_upstream(hosts), 4000))
    assert all(850 < counts[n] < 1150 for n in range(1, 5))


def test_the_overprovisioning_factor_is_the_assignments(make_upstream) -> None:
    """`overprovisioning_factor: 100` keeps 75 % on P0 when 75 % of it is healthy."""
    assignment = ClusterLoadAssignment(
        cluster_name="c", policy=ClusterLoadAssignment.Policy(overprovisioning_factor=100)
    )
    hosts = [spec(1), spec(2), spec(3), spec(4, "UNHEALTHY"), spec(5, priority=1)]
    counts = Counter(picks(make_upstream(hosts, load_assignment=assignment), 4000))
    assert 0.22 < counts[5] / 4000 < 0.28


def test_locality_weights_are_met_exactly(make_upstream) -> None:
    """3:1 between two localities, round robin inside each."""
    hosts = [
        spec(1, locality=("", "z1", ""), locality_weight=3),
        spec(2, locality=("", "z1", ""), locality_weight=3),
        spec(3, locality=("", "z2", ""), locality_weight=1),
        spec(4, locality=("", "z3", "")),
    ]
    assert Counter(picks(make_upstream(hosts, common_lb_config=LOCALITIES), 800)) == {1: 300, 2: 300, 3: 200}


def test_locality_weights_alone_do_nothing(make_upstream) -> None:
    """Semantics 6.5: without `locality_weighted_lb_config` the localities of a priority are one pool."""
    hosts = [spec(1, locality=("", "z1", ""), locality_weight=9), spec(2, locality=("", "z2", ""), locality_weight=1)]
    assert Counter(picks(make_upstream(hosts), 100)) == {1: 50, 2: 50}


def test_a_half_healthy_locality_gets_less(make_upstream) -> None:
    """Semantics 6.5: 1:1 with one locality half healthy is 0.7 to 1."""
    z1, z2 = ("", "z1", ""), ("", "z2", "")
    hosts = [
        spec(1, locality=z1, locality_weight=1),
        spec(2, "UNHEALTHY", locality=z1, locality_weight=1),
        spec(3, locality=z2, locality_weight=1),
        spec(4, locality=z2, locality_weight=1),
    ]
    counts = Counter(picks(make_upstream(hosts, common_lb_config=LOCALITIES), 1700))
    assert counts == {1: 700, 3: 500, 4: 500}


def test_a_retry_picks_again_while_the_pick_is_rejected(make_upstream) -> None:
    """Semantics 3.6: at most `reselect` extra picks, and then the last pick whatever it is."""
    upstream = make_upstream(4)
    first = upstream.pick(0.0)
    assert upstream.pick(0.0, LbContext(reject=lambda host: host is not first, reselect=10)) is first
    seen = []
    last = upstream.pick(0.0, LbContext(reject=lambda host: not seen.append(host), reselect=2))
    assert len(seen) == 2
    assert last not in seen


def test_a_change_of_health_does_not_restart_the_rotation(make_upstream) -> None:
    """Flapping must not send everything to the first host: the cursor goes on."""
    upstream = make_upstream(3)
    order = []
    for _ in range(30):
        order += picks(upstream, 1)
        upstream.set_flag(upstream.hosts[0], HealthFlag.DEGRADED_ACTIVE_HC, True)
        upstream.set_flag(upstream.hosts[0], HealthFlag.DEGRADED_ACTIVE_HC, False)
    assert Counter(order) == {1: 10, 2: 10, 3: 10}


@pytest.mark.usefixtures("hectic")
@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)])
def test_threads_share_one_exact_rotation(make_upstream, weights: tuple[int, ...]) -> None:
    """Many threads picking at once get together what one would have got."""
    upstream = make_upstream([spec(n, weight=weight) for n, weight in enumerate(weights, 1)])
    barrier, found = Barrier(40), []

    def work() -> None:
        barrier.wait()
        found.append(Counter(picks(upstream, 60)))

    threads = [Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = 2400 // sum(weights)
    assert sum(found, Counter()) == {n: weight * share for n, weight in enumerate(weights, 1)}


hosts_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from(["UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "DEGRADED", "TIMEOUT"]),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    hosts_of_any_kind, st.sampled_from(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]), st.integers(0, 100), st.booleans()
)
def test_whoever_is_picked_is_a_member(kinds, policy: str, threshold: int, by_locality: bool) -> None:
    """Any membership gives hosts of its own, and somebody whenever somebody is healthy."""
    import random

    from ambassador_lib.policy.model.cluster import Cluster

    common = CommonLbConfig(
        healthy_panic_threshold=Percent(value=threshold),
        locality_weighted_lb_config=CommonLbConfig.LocalityWeightedLbConfig() if by_locality else None,
    )
    upstream = Upstream(
        Cluster(name="c", lb_policy=policy, common_lb_config=common), clock=_Still(), random=random.Random(5)
    )
    specs = [
        spec(n, health, weight=weight, priority=priority, locality=("", str(zone), ""), locality_weight=zone or None)
        for n, (health, weight, priority, zone) in enumerate(kinds, 1)
    ]
    upstream.update_hosts(specs, 0.0)
    found = {upstream.pick(0.0) for _ in range(30)}
    assert found <= {*upstream.hosts, None}
    if any(health in ("UNKNOWN", "HEALTHY") for health, *_ in kinds):
        assert None not in found


class _Still:
    def monotonic(self) -> float:
        return 0.0
