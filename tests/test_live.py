"""Clusters that are exchanged while calls run: what serves, what warms up, what is let go."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ambassador_lib.discovery import Discovery
from ambassador_lib.errors import NotReadyError
from ambassador_lib.live import ClusterAtWork, LiveClusters
from ambassador_lib.policy.model import Cluster
from ambassador_lib.runtime.blocking import BlockingRuntime
from ambassador_lib.runtime.gate import Gate
from ambassador_lib.runtime.stepping import run_sync
from ambassador_lib.testing.clock import FakeClock
from ambassador_lib.upstream.upstream import Upstream


class Made(ClusterAtWork):
    """A cluster at work that remembers its end."""

    stopped = 0
    retired = 0

    def stop(self, timeout: float = 1.0) -> None:
        self.stopped += 1
        super().stop(timeout)

    def retire(self) -> None:
        self.retired += 1
        super().retire()


class Kit:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.made: list[Made] = []
        self.names = 0
        self.live = LiveClusters(self.start)
        self.live.on_names = self.count

    def count(self) -> None:
        self.names += 1

    def start(self, cluster: Cluster) -> Made:
        upstream = Upstream(cluster, clock=self.clock, random=random.Random(1))

        async def chain(_call: Any) -> Any:
            raise AssertionError("nobody calls")

        self.made.append(Made(upstream, Discovery(Gate()), chain, chain))
        return self.made[-1]

    def put(self, timeout: float = 1.0, *, name: str = "c", at_once: bool = False) -> Made:
        self.live.put(Cluster(name=name, connect_timeout=timeout), at_once=at_once)
        return self.made[-1]

    def serves(self, made: Made) -> bool:
        name = made.cluster.name
        return self.live.upstreams.get(name) is made.upstream and self.live.chains.get(name) is made.chain


@pytest.fixture
def kit() -> Kit:
    return Kit()


def test_a_new_cluster_is_not_there_until_it_is_warm(kit: Kit) -> None:
    """Its name is found as soon as its gate opens."""
    made = kit.put()
    assert (kit.live.upstreams, kit.names, kit.live.names) == ({}, 0, {"c"})
    made.discovery.gate.open()
    assert kit.serves(made)
    assert kit.names == 1


def test_at_the_start_it_is_there_at_once(kit: Kit) -> None:
    """Calls wait for its first resolution, as those that come to a sidecar at its start."""
    assert kit.serves(kit.put(at_once=True))


def test_the_old_one_serves_while_the_new_one_warms_up(kit: Kit) -> None:
    """Then it is let go, and nobody is told of a name that was there before."""
    old = kit.put(at_once=True)
    new = kit.put(2.0)
    assert kit.serves(old)
    new.discovery.gate.open()
    assert kit.serves(new)
    assert (old.retired, new.retired, kit.names) == (1, 0, 1)


def test_a_warming_cluster_gives_way_to_a_later_one(kit: Kit) -> None:
    """What opens after it was given up serves nobody."""
    old = kit.put(at_once=True)
    given_up = kit.put(2.0)
    last = kit.put(3.0)
    assert given_up.retired == 1
    given_up.discovery.gate.open()
    assert kit.serves(old)
    last.discovery.gate.open()
    assert kit.serves(last)


def test_what_is_as_it_was_is_left_alone(kit: Kit) -> None:
    """Equal to the one that warms up, or to the one that serves: then nothing needs to warm up."""
    old = kit.put(at_once=True)
    warming = kit.put(2.0)
    assert kit.put(2.0) is warming
    assert kit.put(1.0) is warming
    assert (warming.retired, old.retired) == (1, 0)
    assert kit.live.names == {"c"}
    assert len(kit.made) == 2


def test_a_dropped_cluster_is_gone_and_so_is_what_would_follow_it(kit: Kit) -> None:
    """It is looked after no more; its successor never serves."""
    old, new = kit.put(at_once=True), kit.put(2.0)
    kit.live.drop("c")
    new.discovery.gate.open()
    assert (kit.live.upstreams, kit.live.chains, kit.live.rules, kit.live.names) == ({}, {}, {}, frozenset())
    assert (old.retired, new.retired, kit.names) == (1, 1, 2)
    kit.live.drop("never there")
    assert kit.names == 2


def test_closing_ends_all_and_exchanges_nothing(kit: Kit) -> None:
    """Ending a cluster opens its gate, which must not make it serve."""
    old, new = kit.put(at_once=True), kit.put(2.0)
    kit.live.close()
    assert kit.serves(old)
    assert (old.stopped, new.stopped) == (2, 2)


def test_ready_waits_for_warm_clusters(kit: Kit) -> None:
    """Also for those that are to follow one that serves."""
    kit.put(at_once=True).discovery.gate.open()
    new = kit.put(2.0)
    runtime = BlockingRuntime(kit.clock)
    with pytest.raises(NotReadyError, match="cluster 'c' was not ready within 0 s"):
        run_sync(kit.live.ready(runtime, 0.0))
    new.discovery.gate.open()
    run_sync(kit.live.ready(runtime, 0.0))
