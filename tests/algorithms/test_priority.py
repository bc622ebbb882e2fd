from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.priority import Level, split_load

levels = st.integers(0, 12).flatmap(
    lambda hosts: st.tuples(st.integers(0, hosts), st.integers(0, hosts)).map(
        lambda parts: Level(hosts, min(parts), max(parts) - min(parts))
    )
)


@pytest.mark.parametrize(
    ("healthy", "factor", "split"),
    [
        ((3, 4), 140, (100, 0)),
        ((2, 4), 140, (70, 30)),
        ((1, 4), 140, (35, 65)),
        ((0, 4), 140, (0, 100)),
        ((3, 4), 100, (75, 25)),
    ],
)
def test_load_spills_to_the_next_priority(healthy: tuple[int, int], factor: int, split: tuple[int, int]) -> None:
    """Semantics 6.4: of four hosts each, the best priority takes 1.4 times its health."""
    loads = split_load([Level(4, count) for count in healthy], overprovisioning=factor)
    assert loads.healthy == split
    assert loads.panic == (False, False)


def test_priorities_panic_together() -> None:
    """Semantics 6.4: 25 % and 25 % cannot take the load: both panic, and share by number of hosts."""
    loads = split_load([Level(4, 1), Level(4, 1)])
    assert (loads.healthy, loads.panic) == ((50, 50), (True, True))


def test_when_all_are_down_load_goes_by_the_number_of_hosts() -> None:
    """Total panic looks at hosts alone; what percents leave over goes to the first that has any."""
    loads = split_load([Level(0), Level(2), Level(4)])
    assert (loads.healthy, loads.panic) == ((0, 34, 66), (True, True, True))


@pytest.mark.parametrize(
    ("healthy", "threshold", "panic"),
    [(2, 50, False), (1, 50, True), (0, 50, True), (1, 0, False), (0, 0, False), (2, 80, True), (3, 80, False)],
)
def test_one_priority_panics_below_the_threshold(healthy: int, threshold: int, panic: bool) -> None:
    """Semantics 6.3, of four hosts: exactly 50 % is no panic, 0 switches it off, and three of four never panic."""
    loads = split_load([Level(4, healthy)], panic_threshold=threshold)
    assert (loads.healthy, loads.panic) == ((100,), (panic,))


@pytest.mark.parametrize(
    ("given_levels", "healthy", "degraded"),
    [
        ([Level(2, 1, 1), Level(2, 2)], (70, 30), (0, 0)),
        ([Level(4, 2, 2)], (70,), (30,)),
        ([Level(4, 1, 3)], (35,), (65,)),
        ([Level(4, 0, 4)], (0,), (100,)),
        ([Level(4, 3, 1)], (100,), (0,)),
    ],
)
def test_degraded_hosts_take_what_the_healthy_leave(
    given_levels: list[Level], healthy: tuple[int, ...], degraded: tuple[int, ...]
) -> None:
    """Semantics 6.4: the healthy shares of all priorities come first; degraded hosts are available."""
    loads = split_load(given_levels)
    assert (loads.healthy, loads.degraded) == (healthy, degraded)
    assert not any(loads.panic)


def test_excluded_hosts_are_in_no_percentage() -> None:
    """One healthy host of four is no panic when two of the four are draining."""
    assert split_load([Level(4, 1, 0, 2)]).panic == (False,)
    assert split_load([Level(4, 1)]).panic == (True,)


@given(st.lists(levels, min_size=1, max_size=5), st.integers(0, 100), st.integers(100, 300))
def test_the_whole_load_is_always_given_out(given_levels: list[Level], threshold: int, factor: int) -> None:
    """Loads are never negative and sum up to 100; a priority in panic is below its threshold."""
    loads = split_load(given_levels, overprovisioning=factor, panic_threshold=threshold)
    assert sum(loads.healthy) + sum(loads.degraded) == 100
    assert min(*loads.healthy, *loads.degraded) >= 0
    for level, panic in zip(given_levels, loads.panic, strict=True):
        assert not panic or level.below(threshold)


@given(st.lists(levels, min_size=1, max_size=5))
def test_only_priorities_with_hosts_get_load(given_levels: list[Level]) -> None:
    """An empty priority gets nothing unless all are empty."""
    loads = split_load(given_levels)
    if any(level.hosts for level in given_levels):
        for level, healthy, degraded in zip(given_levels, loads.healthy, loads.degraded, strict=True):
            assert level.hosts or healthy + degraded == 0
