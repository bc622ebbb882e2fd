"""An aggregate cluster: whose turn it is, and that its members' state is read anew after each change."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from ambassador_lib.algorithms.priority import AttemptedPriorities
from ambassador_lib.policy.model import CommonLbConfig, Percent
from ambassador_lib.policy.model.cluster import (
    AggregateClusterConfig,
    Cluster,
    ClusterLoadAssignment,
    OutlierDetection,
)
from ambassador_lib.testing.clock import FakeClock
from ambassador_lib.upstream.aggregate import Aggregate
from ambassador_lib.upstream.host import HealthFlag, HostSpec
from ambassador_lib.upstream.lb_context import LbContext
from ambassador_lib.upstream.upstream import Upstream


class Kit:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.random = random.Random(7)
        self.found: dict[str, Upstream] = {}
        cluster = Cluster(
            name="all", lb_policy="CLUSTER_PROVIDED", aggregate=AggregateClusterConfig(clusters=("a", "b", "gone"))
        )
        self.all = Aggregate(cluster, self.found.get, clock=self.clock, random=self.random)

    def member(self, name: str, *hosts: tuple[str, int, str], **fields: Any) -> Upstream:
        """A member; hosts are address, priority, health."""
        made = Upstream(Cluster(name=name, **fields), clock=self.clock, random=self.random)
        specs = [HostSpec(at, 80, "", priority=priority, health_status=health) for at, priority, health in hosts]
        made.update_hosts(specs, self.clock.monotonic())
        self.found[name] = made
        return made

    def picks(self, count: int = 400, context: LbContext | None = None) -> Counter[str]:
        hosts = (self.all.pick(self.clock.monotonic(), context) for _ in range(count))
        return Counter(host.address if host is not None else "nobody" for host in hosts)


@pytest.fixture
def kit() -> Kit:
    return Kit()


def test_the_first_member_takes_all_while_it_can(kit: Kit) -> None:
    """And the second as soon as it cannot; the change is seen by the next pick."""
    first = kit.member("a", ("a1", 0, "HEALTHY"))
    kit.member("b", ("b1", 0, "HEALTHY"))
    assert kit.picks(10) == {"a1": 10}
    first.set_flag(first.hosts[0], HealthFlag.FAILED_ACTIVE_HC, True)
    assert kit.picks(10) == {"b1": 10}


def test_an_exchanged_member_is_seen(kit: Kit) -> None:
    """Members are looked up by name for each pick."""
    kit.member("a", ("a1", 0, "HEALTHY"))
    assert kit.picks(3) == {"a1": 3}
    kit.member("a", ("a2", 0, "HEALTHY"))
    assert kit.picks(3) == {"a2": 3}
    del kit.found["a"]
    assert kit.picks(3) == {"nobody": 3}


def test_healthy_and_degraded_hosts_of_one_priority_have_their_own_shares(kit: Kit) -> None:
    """A quarter healthy (35 %), three degraded: what the second member leaves goes to the degraded ones."""
    kit.member("a", ("a1", 0, "HEALTHY"), *((f"d{n}", 0, "DEGRADED") for n in range(3)))
    calm = CommonLbConfig(healthy_panic_threshold=Percent(value=0.0))
    kit.member("b", ("b1", 0, "HEALTHY"), *((f"x{n}", 0, "UNHEALTHY") for n in range(3)), common_lb_config=calm)
    found = kit.picks(2000)
    degraded = sum(count for name, count in found.items() if name.startswith("d"))
    assert 600 < found["a1"] < 800
    assert 600 < found["b1"] < 800
    assert 500 < degraded < 700
    assert found.total() == found["a1"] + found["b1"] + degraded


def test_overprovisioning_is_each_member_s_own(kit: Kit) -> None:
    """A member whose factor is 100 % gives away what it has lost."""
    policy = ClusterLoadAssignment.Policy(overprovisioning_factor=100)
    first = kit.member("a", ("a1", 0, "HEALTHY"), ("a2", 0, "UNHEALTHY"))
    kit.member("b", ("b1", 0, "HEALTHY"))
    assert 630 < kit.picks(1000)["a1"] < 770
    first.assign(ClusterLoadAssignment(cluster_name="a", policy=policy))
    first.update_hosts([host.spec for host in first.hosts], 0.0)
    assert 430 < kit.picks(1000)["a1"] < 570


def test_a_retry_by_priority_goes_on_to_the_next_member(kit: Kit) -> None:
    """`previous_priorities` counts the priorities of all members in a row."""
    kit.member("a", ("a1", 0, "HEALTHY"), ("a2", 1, "HEALTHY"))
    kit.member("b", ("b1", 0, "HEALTHY"))
    attempted = AttemptedPriorities(1)
    seen = []
    for _ in range(3):
        host = kit.all.pick(0.0, LbContext(priorities=attempted))
        assert host is not None
        seen.append(host.address)
        attempted.attempted(kit.all.priority_of(host))
    assert seen == ["a1", "a2", "b1"]


def test_outcomes_are_told_to_the_host_s_own_cluster(kit: Kit) -> None:
    """A host that fails is ejected by its member's rules, and by none where the member is gone meanwhile."""
    settings = OutlierDetection(consecutive_5xx=1, max_ejection_percent=100)
    first = kit.member("a", ("a1", 0, "HEALTHY"), outlier_detection=settings)
    kit.member("b", ("b1", 0, "HEALTHY"))
    host = kit.all.pick(0.0)
    assert host is first.hosts[0]
    kit.all.record(host, 500, 0.0)
    assert kit.picks(3) == {"b1": 3}
    del kit.found["a"]
    kit.all.record(host, 500, 0.0)
