from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.zones import WHOLE, share_zones

sizes = st.integers(2, 6).flatmap(
    lambda zones: st.tuples(
        st.lists(st.integers(0, 50), min_size=zones, max_size=zones),
        st.lists(st.integers(0, 50), min_size=zones, max_size=zones),
    )
)


@pytest.mark.parametrize(
    ("callers", "hosts", "own", "room"),
    [
        ((1, 1, 1), (2, 2, 2), WHOLE, (0, 0, 0)),
        ((2, 1, 0), (2, 2, 2), 5000, (0, 0, 3333)),
        ((3, 1, 0), (2, 2, 2), 4444, (0, 833, 4166)),
        ((4, 4, 2), (1, 2, 1), 6250, (0, 1000, 1500)),
        ((1, 1), (0, 4), 0, (0, 5000)),
    ],
)
def test_what_the_own_zone_cannot_take_goes_where_there_is_room(
    callers: tuple[int, ...], hosts: tuple[int, ...], own: int, room: tuple[int, ...]
) -> None:
    """Semantics 6.5: the own zone keeps its hosts' share of its callers' share; the rest goes by what is unused."""
    shares = share_zones(callers, hosts, all_callers=sum(callers), has_own=True)
    assert (shares.own, shares.room) == (own, room)


def test_without_hosts_in_the_own_zone_all_goes_elsewhere() -> None:
    """Where no zone is the own one, the first zone takes part in the rest as any other does."""
    shares = share_zones((0, 1), (2, 2), all_callers=2, has_own=False)
    assert (shares.own, shares.room) == (0, (5000, 5000))


def test_a_forced_zone_keeps_all() -> None:
    """`force_local_zone` looks at no share."""
    assert share_zones((9, 0), (1, 9), all_callers=9, has_own=True, is_forced=True).own == WHOLE


@given(sizes)
def test_the_parts_are_parts(given_sizes: tuple[list[int], list[int]]) -> None:
    """What stays is at most everything, and room is never given back from one zone to the next."""
    callers, hosts = given_sizes
    shares = share_zones(callers, hosts, all_callers=sum(callers), has_own=True)
    assert 0 <= shares.own <= WHOLE
    assert shares.room[0] == 0
    assert list(shares.room) == sorted(shares.room)
    assert shares.room[-1] <= WHOLE


@given(sizes, st.integers())
def test_a_chosen_zone_has_hosts(given_sizes: tuple[list[int], list[int]], seed: int) -> None:
    """As long as rounding leaves room, no pick goes to a zone without hosts."""
    callers, hosts = given_sizes
    shares = share_zones(callers, hosts, all_callers=sum(callers), has_own=True)
    draw = random.Random(seed).random
    if shares.own == WHOLE or shares.room[-1]:
        assert all(hosts[shares.choose(draw)] for _ in range(20))


@given(sizes)
def test_load_is_even_over_the_hosts(given_sizes: tuple[list[int], list[int]]) -> None:
    """Where each zone's callers go by their own shares, every zone gets its hosts' part of the load."""
    callers, hosts = ([one + 1 for one in sizes] for sizes in given_sizes)
    load = [0.0] * len(hosts)
    for own, weight in enumerate(callers):
        order = [own, *(zone for zone in range(len(hosts)) if zone != own)]
        shares = share_zones(
            [callers[zone] for zone in order], [hosts[zone] for zone in order], all_callers=sum(callers), has_own=True
        )
        load[own] += weight * shares.own / WHOLE
        left = weight * (1 - shares.own / WHOLE)
        total, before = shares.room[-1], 0
        if not total:  # rounding: the rest is spread blindly
            continue
        for zone, upto in zip(order, shares.room, strict=True):
            load[zone] += left * (upto - before) / total
            before = upto
    for got, count in zip(load, hosts, strict=True):
        assert got / sum(callers) == pytest.approx(count / sum(hosts), abs=0.01)


def test_draws_meet_the_shares() -> None:
    """4444 of 10000 stay; of the rest, a fifth goes where a fifth of the room is."""
    shares = share_zones((3, 1, 0), (2, 2, 2), all_callers=4, has_own=True)
    draw = random.Random(7).random
    counts = Counter(shares.choose(draw) for _ in range(20_000))
    assert counts[0] == pytest.approx(8888, abs=290)
    assert counts[1] == pytest.approx(2222, abs=190)


def test_where_rounding_leaves_no_room_any_zone_will_do() -> None:
    """Envoy's: the rest is then spread over all zones alike."""
    shares = share_zones((1667, 3333), (1, 2), all_callers=5000, has_own=True)
    assert (shares.own, shares.room) == (9997, (0, 0))
    assert [shares.choose(iter([0.9999, at]).__next__) for at in (0.0, 0.9)] == [0, 1]
