"""How names become addresses: the `Resolver` protocol, and lookup families.

The system's resolver is in `system_resolver`, the one for configured DNS servers in `nameservers`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Family = Literal["V4", "V6", "BOTH"]


class NoSuchName(Exception):  # noqa: N818 - an answer, not an error
    """The name does not exist, or has no address of the family (NXDOMAIN, NODATA)."""


class ResolveFailed(Exception):  # noqa: N818 - says what happened, as Envoy's counter `update_failure` does
    """There was no answer: SERVFAIL, REFUSED, a timeout, an unreachable server."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Addresses in the resolver's order, and the seconds they are good for (`None` where nobody knows)."""

    addresses: tuple[str, ...]
    ttl: float | None = None


class Resolver(Protocol):
    """Looks one name up. Runs on the control thread's asyncio loop."""

    async def resolve(self, name: str, family: Family) -> Answer:
        """Return at least one address, or raise `NoSuchName` or `ResolveFailed`."""


_FAMILIES: dict[str, tuple[Family, ...]] = {
    "AUTO": ("V6", "V4"),
    "V4_PREFERRED": ("V4", "V6"),
    "V4_ONLY": ("V4",),
    "V6_ONLY": ("V6",),
    "ALL": ("BOTH",),
}


async def look_up(resolver: Resolver, name: str, dns_lookup_family: str) -> Answer:
    """Resolve `name` as `Cluster.dns_lookup_family` says; IP literals need no lookup.

    With two families the second is asked only where the first gave no address, whatever the reason, and the second's
    outcome counts (semantics 8.2).
    """
    if is_address(name):
        return Answer((name,))
    *first, last = _FAMILIES[dns_lookup_family]
    for family in first:
        try:
            return await _resolve(resolver, name, family)
        except (NoSuchName, ResolveFailed):
            continue
    return await _resolve(resolver, name, last)


async def _resolve(resolver: Resolver, name: str, family: Family) -> Answer:
    answer = await resolver.resolve(name, family)
    if not answer.addresses:
        raise NoSuchName(name)
    return answer


def is_address(name: str) -> bool:
    """Whether `name` is an IP address already."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_LOOPBACK = {"V4": ("127.0.0.1",), "V6": ("::1",), "BOTH": ("::1", "127.0.0.1")}


def loopback(name: str, family: Family) -> tuple[str, ...]:
    """Return the loopback's addresses if `name` means it (RFC 6761 section 6.3): for where nobody else knows them."""
    name = name.lower().removesuffix(".")
    return _LOOPBACK[family] if name == "localhost" or name.endswith(".localhost") else ()


def unique(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses in their order, each once."""
    return tuple(dict.fromkeys(addresses))
