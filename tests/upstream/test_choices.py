"""What a pick depends on beside the hosts: hashes, labels, tries before it, age, and what is refused beforehand."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from ambassador_lib.algorithms.hashing import xxhash64
from ambassador_lib.algorithms.priority import AttemptedPriorities
from ambassador_lib.errors import LocalReplyError
from ambassador_lib.policy.model.balancing import (
    CommonLbConfig,
    LbSubsetConfig,
    LeastRequestLbConfig,
    MaglevLbConfig,
    RingHashLbConfig,
    RoundRobinLbConfig,
    SlowStartConfig,
)
from ambassador_lib.policy.model.cluster import CircuitBreakers, Cluster, ClusterLoadAssignment, OutlierDetection
from ambassador_lib.policy.model.core import FractionalPercent, Metadata
from ambassador_lib.testing import FakeClock
from ambassador_lib.upstream.grant import Verdict
from ambassador_lib.upstream.host import HealthFlag, HostSpec
from ambassador_lib.upstream.lb_context import LbContext
from ambassador_lib.upstream.upstream import Upstream


def labelled(port: int, *, health: str = "UNKNOWN", priority: int = 0, **labels: Any) -> HostSpec:
    metadata = Metadata(filter_metadata={"envoy.lb": labels})
    return HostSpec("10.0.0.1", port, "", health_status=health, priority=priority, metadata=metadata)


def upstream_of(hosts: list[HostSpec], clock: Any = None, runtime: Any = None, **fields: Any) -> Upstream:
    upstream = Upstream(
        Cluster(name="c", **fields), clock=clock or FakeClock(), random=random.Random(1), runtime=runtime or {}
    )
    upstream.update_hosts(hosts, 0.0)
    return upstream


def ports(upstream: Upstream, count: int, **context: Any) -> Counter[int | None]:
    found = (upstream.pick(0.0, LbContext(**context)) for _ in range(count))
    return Counter(host and host.port for host in found)


# --- hashes -----------------------------------------------------------------------------------------------------------

FOUR = [labelled(n) for n in (1, 2, 3, 4)]
HASHING = [
    {"lb_policy": "RING_HASH", "ring_hash_lb_config": RingHashLbConfig(minimum_ring_size=128)},
    {"lb_policy": "MAGLEV", "maglev_lb_config": MaglevLbConfig(table_size=503)},
]


@pytest.mark.parametrize("fields", HASHING)
def test_a_key_keeps_its_host_and_finds_it_again_after_a_failure(fields: Any) -> None:
    """A host that is out gives its keys to others, and has the very same ones when it is back."""
    upstream = upstream_of(FOUR, **fields)

    def places() -> list[Any]:
        return [upstream.pick(0.0, LbContext(hash_of=lambda n=n: xxhash64(b"%d" % n))) for n in range(60)]

    before = places()
    out = upstream.hosts[0]
    upstream.set_flag(out, HealthFlag.FAILED_OUTLIER_CHECK, True)
    assert out not in places()
    upstream.set_flag(out, HealthFlag.FAILED_OUTLIER_CHECK, False)
    assert places() == before
    assert len(set(before)) == 4


@pytest.mark.parametrize("fields", HASHING)
def test_the_hash_is_computed_once_a_pick(fields: Any) -> None:
    """However often it is rejected: the cookie that a hash makes must not be made twice."""
    upstream = upstream_of(FOUR, **fields)
    computed: list[int] = []
    context = LbContext(hash_of=lambda: computed.append(1) or 5, reject=lambda _: True, reselect=6)
    assert upstream.pick(0.0, context) is not None
    assert (len(computed), context.skipped) == (1, 6)


@pytest.mark.parametrize("fields", HASHING)
def test_without_a_hash_any_host(fields: Any) -> None:
    """Neither a context nor anything to hash: random."""
    upstream = upstream_of(FOUR, **fields)
    assert len({upstream.pick(0.0) for _ in range(100)}) == 4
    assert len(ports(upstream, 100)) == 4


def test_bounded_load_passes_on_what_a_host_has_too_much_of() -> None:
    """With all keys the same nobody has more than 1.2 times the average."""
    common = CommonLbConfig(
        consistent_hashing_lb_config=CommonLbConfig.ConsistentHashingLbConfig(hash_balance_factor=120)
    )
    upstream = upstream_of(FOUR, lb_policy="RING_HASH", common_lb_config=common)
    for _ in range(40):
        host = upstream.pick(0.0, LbContext(hash_of=lambda: 1))
        assert host is not None
        host.active += 1
    assert max(host.active for host in upstream.hosts) <= 13
    assert sum(host.active for host in upstream.hosts) == 40


# --- labels -----------------------------------------------------------------------------------------------------------


def test_a_subset_follows_the_membership() -> None:
    """New hosts join the subsets of their labels, and the turns in a subset go on."""
    config = LbSubsetConfig(subset_selectors=(LbSubsetConfig.LbSubsetSelector(keys=("v",)),))
    upstream = upstream_of([labelled(1, v="1"), labelled(2, v="2")], lb_subset_config=config)
    assert ports(upstream, 4, criteria=(("v", "1"),)) == {1: 4}
    assert ports(upstream, 2, criteria=(("v", "3"),)) == {None: 2}
    upstream.update_hosts([labelled(1, v="1"), labelled(3, v="1"), labelled(4, v="3")], 0.0)
    assert ports(upstream, 4, criteria=(("v", "1"),)) == {1: 2, 3: 2}
    assert ports(upstream, 2, criteria=(("v", "3"),)) == {4: 2}
    assert ports(upstream, 2, criteria=(("v", "2"),)) == {None: 2}


def test_subsets_hash_each_for_itself() -> None:
    """A ring within a subset holds its hosts alone."""
    config = LbSubsetConfig(subset_selectors=(LbSubsetConfig.LbSubsetSelector(keys=("v",)),))
    hosts = [labelled(1, v="1"), labelled(2, v="1"), labelled(3, v="2")]
    upstream = upstream_of(hosts, lb_policy="RING_HASH", lb_subset_config=config)
    assert set(ports(upstream, 50, criteria=(("v", "1"),))) == {1, 2}


# --- retries ----------------------------------------------------------------------------------------------------------


def test_retries_leave_out_priorities_that_were_tried() -> None:
    """Every second try; when all were tried, all are back; priorities that are down are never chosen."""
    hosts = [labelled(1), labelled(2, priority=1, health="UNHEALTHY"), labelled(3, priority=2)]
    upstream = upstream_of(hosts)
    attempted = AttemptedPriorities(2)
    seen = []
    for _ in range(8):
        host = upstream.pick(0.0, LbContext(priorities=attempted))
        assert host is not None
        attempted.attempted(host.priority)
        seen.append(host.port)
    assert seen == [1, 1, 3, 3, 1, 1, 3, 3]


# --- age and load -----------------------------------------------------------------------------------------------------


def test_a_newcomer_warms_up() -> None:
    """The share of a host grows with its age, from the minimum to what its weight says."""
    clock = FakeClock()
    config = RoundRobinLbConfig(slow_start_config=SlowStartConfig(slow_start_window=60.0))
    upstream = upstream_of([labelled(1)], clock, round_robin_lb_config=config)
    clock.advance(120)
    upstream.update_hosts([labelled(1), labelled(2)], clock.monotonic())
    shares = []
    for _ in range(3):
        shares.append(ports(upstream, 300)[2])
        clock.advance(30)
    assert shares[0] == pytest.approx(300 * 0.1 / 1.1, abs=3)
    assert shares[1] == pytest.approx(300 * 0.5 / 1.5, abs=3)
    assert shares[2] == pytest.approx(150, abs=2)


def test_a_full_scan_never_takes_a_busier_host() -> None:
    """FULL_SCAN looks at every host."""
    upstream = upstream_of(
        FOUR, lb_policy="LEAST_REQUEST", least_request_lb_config=LeastRequestLbConfig(selection_method="FULL_SCAN")
    )
    for _ in range(40):
        host = upstream.pick(0.0)
        assert host is not None
        host.active += 1
    assert [host.active for host in upstream.hosts] == [10] * 4


# --- what is refused before -------------------------------------------------------------------------------------------


def dropping(percent: int) -> ClusterLoadAssignment:
    drop = ClusterLoadAssignment.Policy.DropOverload(category="x", drop_percentage=FractionalPercent(numerator=percent))
    return ClusterLoadAssignment(cluster_name="c", policy=ClusterLoadAssignment.Policy(drop_overloads=(drop,)))


def refused(upstream: Upstream) -> str:
    try:
        if upstream.shedding is not None:
            upstream.shedding.check()
    except LocalReplyError as error:
        return error.reply.flag
    return ""


def test_a_new_assignment_brings_its_own_drops() -> None:
    """None, all, half, none again; maintenance mode comes before."""
    upstream = upstream_of(FOUR)
    assert upstream.shedding is None
    upstream.assign(dropping(100))
    assert refused(upstream) == "UDO"
    upstream.assign(dropping(30))
    assert 230 < [refused(upstream) for _ in range(1000)].count("DO") < 370
    upstream.assign(dropping(0))
    assert upstream.shedding is None
    closed = upstream_of(FOUR, runtime={"upstream.maintenance_mode.c": 100}, load_assignment=dropping(100))
    assert refused(closed) == "UO"
    assert refused(upstream_of(FOUR, runtime={"upstream.maintenance_mode.d": 100})) == ""


def test_a_degraded_host_is_back_after_a_longer_while_each_time() -> None:
    """`detect_degraded_hosts`: for base times multiplier, which saying it again does not extend."""
    upstream = upstream_of(
        FOUR, outlier_detection=OutlierDetection(detect_degraded_hosts=True, base_ejection_time=10.0, interval=1.0)
    )
    host = upstream.hosts[0]
    begun = FakeClock().monotonic()

    def degraded(now: float) -> bool:
        upstream.pick(begun + now)
        return HealthFlag.DEGRADED_OUTLIER_DETECTION in host.flags

    upstream.degraded(host, begun)
    upstream.degraded(host, begun + 5.0)
    assert [degraded(now) for now in (0.0, 9.0, 10.5)] == [True, True, False]
    upstream.degraded(host, begun + 10.6)
    assert [degraded(now) for now in (30.0, 31.5)] == [True, False]
    assert upstream.outlier is not None
    assert upstream.outlier.stats["ejections_detected_degradation"] == 2


def admit(upstream: Upstream, index: int) -> Any:
    limits = upstream.limits["DEFAULT"]
    return limits.admit(
        limits.host(upstream.hosts[index].key), multiplexed=False, accounts=True, ticket_factory=lambda: None
    )


def test_a_host_has_no_more_connections_than_it_may() -> None:
    """`per_host_thresholds.max_connections`: the second request waits, another host's does not."""
    breakers = CircuitBreakers(per_host_thresholds=(CircuitBreakers.Thresholds(max_connections=1),))
    upstream = upstream_of(FOUR, circuit_breakers=breakers)
    verdicts = [admit(upstream, index).verdict for index in (0, 0, 1)]
    assert verdicts == [Verdict.CONNECT, Verdict.WAIT, Verdict.CONNECT]


def test_no_more_hosts_are_connected_to_than_may_be() -> None:
    """`max_connection_pools`: a second host is refused until the first has nothing left."""
    breakers = CircuitBreakers(thresholds=(CircuitBreakers.Thresholds(max_connection_pools=1),))
    upstream = upstream_of(FOUR, circuit_breakers=breakers)
    first = admit(upstream, 0)
    assert [admit(upstream, 1).verdict, admit(upstream, 0).verdict] == [Verdict.POOLS_OVERFLOW, Verdict.CONNECT]
    first.release()
    assert admit(upstream, 1).verdict is Verdict.POOLS_OVERFLOW


def test_the_runtime_beats_the_thresholds() -> None:
    """By cluster and priority; a budget may be the runtime's alone."""
    prefix = "circuit_breakers.c.high"
    runtime = {
        f"{prefix}.max_requests": 7,
        f"{prefix}.retry_budget.min_retry_concurrency": 2,
        "circuit_breakers.other.default.max_requests": 1,
    }
    thresholds = (CircuitBreakers.Thresholds(priority="HIGH", max_requests=3),)
    upstream = upstream_of(FOUR, runtime=runtime, circuit_breakers=CircuitBreakers(thresholds=thresholds))
    assert (upstream.limits["HIGH"].max_requests, upstream.limits["DEFAULT"].max_requests) == (7, 1024)
    held = [upstream.limits["HIGH"].try_retry() for _ in range(3)]
    assert [one is not None for one in held] == [True, True, False]
