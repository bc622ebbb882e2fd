"""Hashes of requests and hosts, as Envoy takes them (semantics 7): xxHash64, MurmurHash2, and how parts combine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Hash = int
"""Unsigned, 64 bits."""

_MASK = 2**64 - 1
_MURMUR = 0xC6A4A7935BD1E995
_MURMUR_SEED = 0xC70F6907


def xxhash64(data: bytes, seed: int = 0) -> Hash:
    """Return xxHash64 of `data`."""
    # Not at import: few policies hash.
    from xxhash import xxh64_intdigest

    return xxh64_intdigest(data, seed)


def xxhash64_of_all(values: Sequence[bytes]) -> Hash:
    """Return the hash of several values: each seeds the next, in an order of their own."""
    result = 0
    for value in sorted(values):
        result = xxhash64(value, result)
    return result


def murmur_hash2(data: bytes) -> Hash:
    """Return MurmurHash2 (64 bits, variant A) with the seed of GNU's standard library."""
    length = len(data)
    result = _MURMUR_SEED ^ (length * _MURMUR & _MASK)
    whole = length & ~7
    for start in range(0, whole, 8):
        part = int.from_bytes(data[start : start + 8], "little") * _MURMUR & _MASK
        part = (part ^ part >> 47) * _MURMUR & _MASK
        result = (result ^ part) * _MURMUR & _MASK
    if whole < length:
        result = (result ^ int.from_bytes(data[whole:], "little")) * _MURMUR & _MASK
    result = (result ^ result >> 47) * _MURMUR & _MASK
    return result ^ result >> 47


def combined(parts: Iterable[tuple[Hash | None, bool]]) -> Hash | None:
    """Combine hashes in their order, each with whether it is terminal; `None` where there is none.

    The former are rotated by one bit, so that two equal parts do not cancel out.
    """
    result: Hash | None = None
    for part, terminal in parts:
        if part is not None:
            result = part if result is None else (result << 1 & _MASK | result >> 63) ^ part
        if terminal and result is not None:
            break
    return result
