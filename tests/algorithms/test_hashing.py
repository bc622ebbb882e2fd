"""Hashes and the tables made of them; placements are those of Envoy 1.40."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ambassador_lib.algorithms.consistent import Table, bounded, maglev, ring
from ambassador_lib.algorithms.hashing import combined, murmur_hash2, xxhash64, xxhash64_of_all

KEYS = ["host-a", "host-b", "host-c"]
HASHES = st.integers(0, 2**64 - 1)
WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=12)


def normalized(weights: list[int]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def test_hashes_are_the_well_known_ones() -> None:
    """xxHash64 of nothing, and MurmurHash2 as GNU's `std::hash` has it."""
    assert xxhash64(b"") == 0xEF46DB3751D8E999
    assert murmur_hash2(b"hello") == 2762169579135187400


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_count(values: list[bytes], source: random.Random) -> None:
    """Several lines of a header make the same hash in any order."""
    shuffled = source.sample(values, len(values))
    assert xxhash64_of_all(shuffled) == xxhash64_of_all(values)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], None),
        ([(None, True)], None),
        ([(5, False)], 5),
        ([(1, False), (1, False)], 3),
        ([(1 << 63, False), (0, False)], 1),
        ([(5, True), (7, False)], 5),
        ([(None, True), (7, False)], 7),
        ([(None, False), (5, True), (7, False)], 5),
    ],
)
def test_parts_are_combined_in_order_until_a_terminal_one(
    parts: list[tuple[int | None, bool]], expected: object
) -> None:
    """What was there is rotated by one bit; a terminal policy ends it once there is a hash."""
    assert combined(parts) == expected


@given(WEIGHTS, HASHES, st.integers(0, 5))
def test_a_table_always_has_a_host(weights: list[int], value: int, skipped: int) -> None:
    """Whatever the hash and however often a pick was not wanted, there is a host."""
    keys = [f"10.0.0.{n}:80" for n in range(len(weights))]
    shares = normalized(weights)
    assert 0 <= ring(keys, shares, minimum=32)(value, skipped) < len(keys)
    assert 0 <= maglev(keys, shares, size=101)(value, skipped) < len(keys)


@given(WEIGHTS)
@example([3, 3, 3, 3, 12, 20, 20, 20, 20, 7, 8, 10])
@example([3, 3, 3, 3, 3, 7, 16, 20, 19, 19, 19, 20])
def test_a_ring_holds_the_hosts_by_weight(weights: list[int]) -> None:
    """Each host has as many entries as its weight asks for, to one entry; rounding may make the ring one longer."""
    keys = [f"h{n}" for n in range(len(weights))]
    shares = normalized(weights)
    pick = ring(keys, shares, minimum=64)
    scale = math.ceil(min(shares) * 64) / min(shares)
    # Not `sum`, which rounds less since Python 3.12: running sums that end above a whole number make one entry more.
    length = math.ceil(list(itertools.accumulate(scale * share for share in shares))[-1])
    assert length - scale < 1.000001
    entries = Counter(pick(0, number) for number in range(length))
    for index, share in enumerate(shares):
        assert abs(entries[index] - scale * share) < 1.000001


def test_a_host_that_leaves_takes_only_its_own_keys_along() -> None:
    """On a ring nobody else's keys move; in a Maglev table few do."""
    values = [xxhash64(b"%d" % n) for n in range(500)]

    def moved(before: Table, after: Table) -> int:
        return sum(before(value, 0) not in (2, after(value, 0)) for value in values)

    assert moved(ring(KEYS, [1 / 3] * 3, minimum=300), ring(KEYS[:2], [1 / 2] * 2, minimum=200)) == 0
    assert moved(maglev(KEYS, [1 / 3] * 3), maglev(KEYS[:2], [1 / 2] * 2)) < 50


def test_the_order_of_hosts_makes_no_other_maglev_table() -> None:
    """Hosts take their places in the order of their keys."""
    there, back = maglev(KEYS, [0.2, 0.3, 0.5]), maglev(KEYS[::-1], [0.5, 0.3, 0.2])
    assert all(KEYS[there(value, 0)] == KEYS[::-1][back(value, 0)] for value in range(0, 2**64, 2**54 + 1))


def test_an_overloaded_host_passes_on_and_the_least_loaded_takes_what_nobody_wants() -> None:
    """Bounded load: within its share the first; else another within its share; else who is least over it."""
    shares = [1 / 3] * 3

    def chosen(active: list[int]) -> int:
        return bounded(0, shares, active.__getitem__, value=7, balance_factor=100)

    assert chosen([1, 0, 0]) == 0
    assert chosen([5, 0, 0]) in (1, 2)
    assert chosen([5, 0, 0]) == chosen([5, 0, 0])
    assert chosen([9, 0, 5]) == 1
