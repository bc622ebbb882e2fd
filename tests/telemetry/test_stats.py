"""Statistics under Envoy's names: who is read, how clients share a name, and what is left of those that are gone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import NamedTuple

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ambassador_lib.telemetry.metrics import Metrics
from ambassador_lib.telemetry.stats import Stats


class Statistic(NamedTuple):
    name: str
    read: Callable[[object], int]
    is_gauge: bool = False


class Counted:
    """Counters."""

    def __init__(self) -> None:
        self.total = 0


class Cluster:
    """What gauges are read from, and what has counters."""

    def __init__(self, active: int = 0) -> None:
        self.counters = Counted()
        self.active = active


STATISTICS = (
    Statistic("total", lambda counters: counters.total),  # type: ignore[attr-defined]
    Statistic("active", lambda cluster: cluster.active, is_gauge=True),  # type: ignore[attr-defined]
)


def add(stats: Stats, name: str, cluster: Cluster) -> object:
    return stats.add(name, cluster.counters, cluster)


def test_sources_of_one_name_count_together() -> None:
    """Clients that share a cluster's name share its statistics; other names are other statistics."""
    stats = Stats("cluster", STATISTICS)
    clusters = [Cluster(1), Cluster(2), Cluster(4)]
    for name, cluster in zip(("a", "a", "b"), clusters, strict=True):
        add(stats, name, cluster)
        cluster.counters.total = 10 * cluster.active
    assert stats.read() == {
        "cluster.a.total": 30,
        "cluster.b.total": 40,
        "cluster.a.active": 3,
        "cluster.b.active": 4,
    }


def test_a_source_that_ends_leaves_its_counts() -> None:
    """Once a cluster is not at work any more its gauges are gone; what calls under way still count is told."""
    stats, cluster = Stats("cluster", STATISTICS), Cluster(1)
    source = stats.add("a", cluster.counters, cluster)
    cluster.counters.total = 1
    source.cancel(0)
    cluster.counters.total += 1
    assert stats.read() == {"cluster.a.total": 2}


def test_a_source_that_is_forgotten_leaves_its_counts_and_nothing_else() -> None:
    """A client that was never closed is not kept alive, and no total falls; its counters are folded and let go."""
    stats = Stats("cluster", STATISTICS)
    for _ in range(3):
        cluster = Cluster(1)
        add(stats, "a", cluster)
        cluster.counters.total = 5
        del cluster
        gc.collect()
        assert stats.read()["cluster.a.total"] % 5 == 0
    assert stats.read() == {"cluster.a.total": 15}
    assert len(stats._sources) == 0


def test_sources_do_not_pile_up_where_nobody_reads() -> None:
    """Clients that come and go leave a number a statistic, also where there is no meter provider."""
    stats = Stats("cluster", STATISTICS)
    for _ in range(50):
        add(stats, "a", Cluster())
    gc.collect()
    last = Cluster()
    add(stats, "a", last)
    assert len(stats._sources) == 1


def observed(reader: InMemoryMetricReader) -> dict[tuple[str, object], int | float]:
    told = reader.get_metrics_data()
    return {
        (metric.name, dict(point.attributes or {}).get("envoy.cluster_name")): point.value  # type: ignore[union-attr]
        for resource in (told.resource_metrics if told is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


def test_a_meter_provider_asks_by_envoys_names() -> None:
    """Each statistic is an instrument named as Envoy's exporter names it; a count of nothing is not told."""
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider([reader], shutdown_on_exit=False))
    stats, busy, idle = metrics.stats("cluster", STATISTICS), Cluster(1), Cluster()
    add(stats, "busy", busy)
    add(stats, "idle", idle)
    busy.counters.total = 7
    assert observed(reader) == {
        ("cluster.total", "busy"): 7,
        ("cluster.active", "busy"): 1,
        ("cluster.active", "idle"): 0,
    }


def test_every_reader_is_told_everything() -> None:
    """Counts are read and not taken: two readers see the same."""
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    stats = Metrics(MeterProvider(readers, shutdown_on_exit=False)).stats("cluster", STATISTICS)
    cluster = Cluster(1)
    add(stats, "a", cluster)
    for total in (1, 2):
        cluster.counters.total = total
        seen = [observed(reader) for reader in readers]
        assert seen[0] == seen[1]
        assert seen[0]["cluster.total", "a"] == total


def test_kinds_are_told_once_however_many_clients_ask() -> None:
    """A kind that is known already is the same one, and makes no second set of instruments."""
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider([reader], shutdown_on_exit=False))
    cluster = Cluster(1)
    add(metrics.stats("cluster", STATISTICS), "a", cluster)
    assert metrics.stats("cluster", STATISTICS) is metrics.stats("cluster", STATISTICS)
    cluster.counters.total = 3
    assert observed(reader)["cluster.total", "a"] == 3
