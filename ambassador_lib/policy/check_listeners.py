"""Envoy's checks of a listener, its connection manager and its route table."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from .check_extra_requests import check_mirrors, mirror_runtime_keys
from .check_routes import check_mutations, check_regexes, check_retry_policy, check_route, levels
from .check_sources import check_source
from .findings import Findings
from .model.core import Address, CidrRange, SocketAddress
from .model.listener import HttpConnectionManager, Listener, Router
from .model.route import RouteConfiguration, VirtualHost


def check_listener(findings: Findings, listener: Listener, clusters: frozenset[str] | None) -> None:
    """Check a listener; `clusters` are the names that routes may use, `None` if they are not all known."""
    for place in (listener.address, *(additional.address for additional in listener.additional_addresses)):
        _check_address(findings, place)
    if listener.bind_to_port is False:
        findings.warn(
            listener, "bind_to_port", "no URL's address names this listener, only its virtual hosts' names do"
        )
    manager = listener.http_connection_manager
    if not _has_the_router_alone(manager):
        from .check_filters import check_filters

        check_filters(findings, manager)
    if manager.strip_matching_host_port and manager.strip_any_host_port:
        message = "strip_matching_host_port and strip_any_host_port exclude one another"
        findings.fault(manager, "strip_any_host_port", message)
    if manager.internal_address_config is not None and manager.internal_address_config.unix_sockets:
        message = "no effect: no call arrives over a unix socket"
        findings.warn(manager.internal_address_config, "unix_sockets", message)
    for range_ in manager.internal_address_config.cidr_ranges if manager.internal_address_config else ():
        _check_range(findings, range_)
    if manager.rds is not None:
        check_source(findings, manager.rds.config_source)
    if _has_logs(manager):
        from .check_logs import check_logs

        check_logs(findings, manager)
    if manager.route_config is not None:
        check_route_table(findings, manager.route_config, clusters)


def _has_the_router_alone(manager: HttpConnectionManager) -> bool:
    """Tell whether there is nothing to check of filters; all that they can be configured with is 0.3 MB of classes."""
    if len(manager.http_filters) != 1:
        return False
    (only,) = manager.http_filters
    router = only.typed_config
    is_bare = isinstance(router, Router) and not (router.upstream_http_filters or only.disabled or only.is_optional)
    table = manager.route_config
    return is_bare and not (table is not None and any(level.typed_per_filter_config for level in levels(table)))


def _has_logs(manager: HttpConnectionManager) -> bool:
    return bool(manager.access_log) or manager.local_reply_config is not None


def _check_address(findings: Findings, place: Address) -> None:
    address = place.socket_address
    if place.pipe is not None:
        message = "a listener on a unix socket is not supported: no URL names it"
        findings.fault(place, "pipe", message, "give it an IP address and a port")
    if address is not None and not _is_ip(address.address):
        findings.fault(address, "address", f"a listener's address is an IP address, not {address.address!r}")
    if address is not None:
        check_protocol(findings, address)


def check_protocol(findings: Findings, address: SocketAddress) -> None:
    """Check that an address that HTTP is spoken over is a TCP one; only DNS resolvers may be asked over UDP."""
    if address.protocol != "TCP":
        findings.fault(address, "protocol", f"{address.protocol} is not supported")


def runtime_keys(listener: Listener) -> Iterator[str]:
    """Yield the runtime keys that the listener and its filters and logs read; one with a final dot is a family."""
    manager = listener.http_connection_manager
    if not _has_the_router_alone(manager):
        from .check_filters import filter_runtime_keys

        yield from filter_runtime_keys(manager)
    if _has_logs(manager):
        from .check_logs import log_runtime_keys

        yield from log_runtime_keys(manager)
    table = manager.route_config
    if table is not None:
        yield from mirror_runtime_keys(table)
    for route in (route for host in (table.virtual_hosts if table else ()) for route in host.routes):
        if route.match.runtime_fraction is not None:
            yield route.match.runtime_fraction.runtime_key
        weighted = route.route.weighted_clusters if route.route is not None else None
        if weighted is not None and weighted.runtime_key_prefix:
            yield from (f"{weighted.runtime_key_prefix}.{cluster.name}" for cluster in weighted.clusters)


def _check_range(findings: Findings, range_: CidrRange) -> None:
    try:
        ipaddress.ip_address(range_.address_prefix)
    except ValueError:
        findings.fault(range_, "address_prefix", f"{range_.address_prefix!r} is not an IP address")


def check_route_table(findings: Findings, table: RouteConfiguration, clusters: frozenset[str] | None) -> None:
    """Check a route table; `clusters` are the names that its routes may use, `None` if any."""
    check_mutations(findings, table)
    _check_domains(findings, table.virtual_hosts)
    validated = None if table.validate_clusters is False else clusters
    check_mirrors(findings, table, validated)
    limit = table.max_direct_response_body_size_bytes
    for host in table.virtual_hosts:
        check_mutations(findings, host)
        check_mirrors(findings, host, validated)
        if host.retry_policy is not None:
            check_retry_policy(findings, host.retry_policy)
        for route in host.routes:
            check_route(findings, route, validated, 4096 if limit is None else limit)
    check_regexes(findings, table)


def _check_domains(findings: Findings, hosts: Iterable[VirtualHost]) -> None:
    domains: set[str] = set()
    for host in hosts:
        for index, domain in enumerate(host.domains):
            if domain.lower() in domains:
                findings.fault(host, "domains", f"the domain {domain!r} is taken already", index=index)
            domains.add(domain.lower())


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
