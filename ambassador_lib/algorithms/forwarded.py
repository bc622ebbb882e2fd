"""Addresses in `x-forwarded-for`."""

from __future__ import annotations


def trusted_address(hops: int, forwarded_for: bytes) -> bytes | None:
    """Return the address that is `hops` before the last of `x-forwarded-for`; `None` if there are not so many."""
    addresses = [address.strip() for address in forwarded_for.split(b",")] if forwarded_for else []
    return addresses[-1 - hops] if len(addresses) > hops else None
