"""The resolver for `dns_resolution_config.resolvers`: asks the configured DNS servers, and knows real TTLs.

dnspython does the protocol; it is imported with the first lookup. As c-ares does for Envoy, `/etc/hosts` comes first
and search domains are those of `/etc/resolv.conf`, unless `no_default_search_domain` is set.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ..policy.model.cluster import DnsResolutionConfig
from ..policy.model.core import SocketAddress
from .resolver import Answer, Family, NoSuchName, ResolveFailed, loopback, unique

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as DnsResolver

TRY_TIMEOUT = 3.0
"""Seconds for one question to one server."""
LOOKUP_TIMEOUT = 12.0
"""Seconds for one name over all servers and tries."""
DNS_PORT = 53

_RECORD_TYPES = {"V4": ("A",), "V6": ("AAAA",), "BOTH": ("AAAA", "A")}


class NameserverResolver:
    """Asks the configured servers, in their order."""

    def __init__(
        self,
        config: DnsResolutionConfig,
        *,
        hosts_file: Path = Path("/etc/hosts"),
        try_timeout: float = TRY_TIMEOUT,
        lookup_timeout: float = LOOKUP_TIMEOUT,
    ) -> None:
        self._config = config
        self._hosts_file = hosts_file
        self._try_timeout = try_timeout
        self._lookup_timeout = lookup_timeout
        self._resolver: DnsResolver | None = None

    async def resolve(self, name: str, family: Family) -> Answer:
        """Ask for A and AAAA records at the same time where both are wanted; one that succeeds is enough."""
        known = in_hosts_file(self._hosts_file, name, family) or loopback(name, family)
        if known:
            return Answer(known)
        questions = [self._ask(name, record_type) for record_type in _RECORD_TYPES[family]]
        outcomes = await asyncio.gather(*questions, return_exceptions=True)
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        if answers:
            addresses = unique([address for answer in answers for address in answer.addresses])
            ttls = [answer.ttl for answer in answers if answer.ttl is not None]
            return Answer(routable_first(addresses), min(ttls, default=None))
        # A failure says less than "no such name" and must not remove hosts, so it counts more.
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        raise next((failure for failure in failures if not isinstance(failure, NoSuchName)), failures[0])

    async def _ask(self, name: str, record_type: str) -> Answer:
        import dns.exception
        import dns.resolver

        try:
            found = await self._dns().resolve(
                name,
                record_type,
                tcp=self._config.use_tcp_for_dns_lookups,
                lifetime=self._lookup_timeout,
                search=not self._config.no_default_search_domain,
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            raise NoSuchName(f"{name} {record_type}: {error}") from error
        except (dns.exception.DNSException, OSError) as error:
            raise ResolveFailed(f"{name} {record_type}: {error}") from error
        # Over a chain of CNAMEs the shortest TTL counts.
        return Answer(tuple(record.address for record in found), float(found.chaining_result.minimum_ttl))

    def _dns(self) -> DnsResolver:
        if self._resolver is None:
            self._resolver = self._new_dns()
        return self._resolver

    def _new_dns(self) -> DnsResolver:
        import dns.asyncresolver
        import dns.nameserver
        import dns.resolver

        try:
            resolver = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(server.address, server.port_value or DNS_PORT) for server in self._servers()
        ]
        resolver.timeout = self._try_timeout
        return resolver

    def _servers(self) -> list[SocketAddress]:
        return [at.socket_address for at in self._config.resolvers if at.socket_address is not None]

    def __repr__(self) -> str:
        servers = ", ".join(f"{server.address}:{server.port_value or DNS_PORT}" for server in self._servers())
        return f"NameserverResolver({servers})"


def in_hosts_file(path: Path, name: str, family: Family) -> tuple[str, ...]:
    """Return the addresses that the hosts file gives `name`; a missing or unreadable file has none."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    wanted = name.rstrip(".").lower()
    found = []
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if wanted in map(str.lower, names) and _is_of(family, address):
            found.append(address)
    return unique(found)


def _is_of(family: Family, address: str) -> bool:
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return False
    return family in ("BOTH", f"V{version}")


def routable_first(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Move addresses that this machine has no route to behind the others (RFC 6724 section 6, rule 1)."""
    if len({":" in address for address in addresses}) < 2:
        return addresses
    return tuple(sorted(addresses, key=lambda address: not _has_route(address)))


def _has_route(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, DNS_PORT))  # UDP: sends nothing, asks the routing table
    except OSError:
        return False
    return True
