"""Consistent hashing: Ketama's ring, Maglev's table, and bounded load (semantics 7).

Both tables are made of hosts' keys and weights alone, so that every client of the same hosts makes the same ones.
"""

from __future__ import annotations

import bisect
import math
import random
from array import array
from collections.abc import Callable, Iterator, Sequence

from .hashing import Hash, murmur_hash2, xxhash64

DEFAULT_MINIMUM_RING = 1024
DEFAULT_MAXIMUM_RING = 8 * 1024 * 1024
DEFAULT_TABLE_SIZE = 65537

Table = Callable[[Hash, int], int]
"""From a hash and the number of picks before that were not wanted to an index of the hosts."""


def ring(
    keys: Sequence[str],
    weights: Sequence[float],
    *,
    minimum: int = DEFAULT_MINIMUM_RING,
    maximum: int = DEFAULT_MAXIMUM_RING,
    murmur: bool = False,
) -> Table:
    """Make a ring of at least `minimum` entries, more where weights ask for it; `weights` sum to 1.

    A pick that was not wanted is followed by the next entry of the ring.
    """
    digest = murmur_hash2 if murmur else xxhash64
    least = min(weights)
    scale = min(math.ceil(least * minimum) / least, float(maximum))
    entries: list[tuple[Hash, int]] = []
    # Running sums, as Envoy's: a host's share need not be a whole number of entries.
    current = target = 0.0
    for index, (key, weight) in enumerate(zip(keys, weights, strict=True)):
        target += scale * weight
        prefix = f"{key}_".encode()
        number = 0
        while current < target:
            entries.append((digest(b"%s%d" % (prefix, number)), index))
            number += 1
            current += 1
    entries.sort(key=_hash_of)
    hashes = array("Q", map(_hash_of, entries))
    owners = [index for _, index in entries]
    count = len(owners)

    def pick(value: Hash, skipped: int) -> int:
        return owners[(bisect.bisect_left(hashes, value) % count + skipped) % count]

    return pick


def _hash_of(entry: tuple[Hash, int]) -> Hash:
    return entry[0]


def maglev(keys: Sequence[str], weights: Sequence[float], *, size: int = DEFAULT_TABLE_SIZE) -> Table:
    """Make a table of `size` (prime) places; `weights` sum to 1.

    Hosts take places in turns, in the order of their keys, the lighter ones less often. A pick that was not wanted
    turns the bits of the hash.
    """
    order = sorted(range(len(keys)), key=lambda index: (keys[index].encode(), index))
    most = max(weights)
    table = array("i", [-1]) * size
    at = [xxhash64(keys[index].encode()) % size for index in order]
    skips = [xxhash64(keys[index].encode(), 1) % (size - 1) + 1 if size > 1 else 0 for index in order]
    due = [0.0] * len(order)
    free, turn = size, 0
    while free:
        turn += 1
        for position, index in enumerate(order):
            if turn * weights[index] < due[position]:
                continue
            due[position] += most
            place, skip = at[position], skips[position]
            while table[place] >= 0:
                place += skip
                if place >= size:
                    place -= size
            table[place] = index
            place += skip
            at[position] = place - size if place >= size else place
            free -= 1
            if not free:
                break

    def pick(value: Hash, skipped: int) -> int:
        if skipped:
            value ^= 2**64 - skipped
        return table[value % size]

    return pick


def bounded(
    first: int,
    weights: Sequence[float],
    active: Callable[[int], int],
    *,
    value: Hash,
    balance_factor: int,
) -> int:
    """Return `first`, or another host where that one has more than its share of the requests in flight.

    `active` tells the requests of a host; `balance_factor` is percent of the average. The others are asked in an order
    of the hash's own. Where all are over their share, the least loaded serves.
    """
    slots = ((sum(active(index) for index in range(len(weights))) + 1) * balance_factor + 99) // 100

    def overload(index: int) -> float:
        return active(index) / max(1, math.ceil(slots * weights[index]))

    best, least = first, overload(first)
    if least <= 1.0:
        return first
    for other in _shuffled(len(weights), value):
        if other == first:
            continue
        load = overload(other)
        if load <= 1.0:
            return other
        if load < least:
            best, least = other, load
    return best


def _shuffled(count: int, seed: Hash) -> Iterator[int]:
    """Yield 0 to `count`-1 in the order that C++'s Mersenne Twister gives them for this seed."""
    draw = _mersenne_twister(seed)
    indices = list(range(count))
    for position in range(count):
        rest = count - position
        width = 2**32 // rest
        number = rest
        while number >= rest:
            number = draw() // width
        other = position + number
        indices[position], indices[other] = indices[other], indices[position]
        yield indices[position]


def _mersenne_twister(seed: int) -> Callable[[], int]:
    """Return `std::mt19937(seed)`: Python's own generator, seeded as C++ seeds it."""
    state = [seed & 0xFFFFFFFF]
    for index in range(1, 624):
        last = state[-1]
        state.append((1812433253 * (last ^ last >> 30) + index) & 0xFFFFFFFF)
    generator = random.Random()
    generator.setstate((3, (*state, 624), None))
    return lambda: generator.getrandbits(32)
