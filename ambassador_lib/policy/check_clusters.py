"""Envoy's checks of a cluster: endpoints, protocol, health checks, outlier detection."""

from __future__ import annotations

import ipaddress

from . import sources
from .check_balancing import check_balancing
from .check_extra_requests import check_mirrors
from .check_health import check_health_check
from .check_listeners import check_protocol
from .check_routes import check_regexes, check_retry_policy
from .check_sources import check_source
from .findings import Findings
from .model.cluster import Cluster, ClusterLoadAssignment, Endpoint
from .model.core import SocketAddress


def check_cluster(findings: Findings, cluster: Cluster) -> None:
    """Check one cluster."""
    _check_endpoints(findings, cluster)
    _check_eds(findings, cluster)
    _check_provided(findings, cluster)
    _check_dns(findings, cluster)
    _check_transport_socket(findings, cluster)
    _check_health_check_names(findings, cluster)
    if cluster.http_protocol_options is not None:
        options = cluster.http_protocol_options
        if options.http_filters:
            from .check_filters import check_upstream_filters

            check_upstream_filters(findings, options, "http_filters", options.http_filters)
    for health_check in cluster.health_checks:
        check_health_check(findings, health_check, cluster)
    outlier = cluster.outlier_detection
    if outlier is not None and outlier.max_ejection_time is not None:
        base = 30.0 if outlier.base_ejection_time is None else outlier.base_ejection_time
        if outlier.max_ejection_time < base:
            findings.fault(outlier, "max_ejection_time", f"must not be less than base_ejection_time ({base:g}s)")
    if cluster.http_protocol_options is not None:
        if cluster.http_protocol_options.retry_policy is not None:
            check_retry_policy(findings, cluster.http_protocol_options.retry_policy)
        check_mirrors(findings, cluster.http_protocol_options, None)  # Envoy does not look for the clusters, either
    check_balancing(findings, cluster)
    check_regexes(findings, cluster)


def _endpoints(cluster: Cluster) -> list[Endpoint]:
    localities = cluster.load_assignment.endpoints if cluster.load_assignment is not None else ()
    return [item.endpoint for locality in localities for item in locality.lb_endpoints]


def _check_endpoints(findings: Findings, cluster: Cluster) -> None:
    endpoints = _endpoints(cluster)
    if cluster.type == "LOGICAL_DNS":
        localities = cluster.load_assignment.endpoints if cluster.load_assignment is not None else ()
        if len(localities) != 1 or len(localities[0].lb_endpoints) != 1:
            findings.fault(cluster, "load_assignment", "a LOGICAL_DNS cluster has one locality with one endpoint",
                           "use STRICT_DNS for more")  # fmt: skip
    for endpoint in endpoints:
        address, pipe = endpoint.address.socket_address, endpoint.address.pipe
        if pipe is not None and cluster.type != "STATIC":
            message = f"a unix socket needs no resolving: the cluster's type is {cluster.type}"
            findings.fault(endpoint.address, "pipe", message, "set the cluster's type to STATIC")
        if address is None:
            continue
        if cluster.type == "STATIC" and not _is_ip(address.address):
            hint = "set the cluster's type to STRICT_DNS or LOGICAL_DNS"
            findings.fault(address, "address", f"{address.address!r} is not an IP address, as STATIC needs", hint)
        check_protocol(findings, address)
        checked = endpoint.health_check_config.address if endpoint.health_check_config is not None else None
        if checked is not None and checked.socket_address is not None:
            check_protocol(findings, checked.socket_address)
        _check_additional(findings, endpoint, cluster.type)
    if not endpoints and cluster.type not in ("LOGICAL_DNS", "EDS") and cluster.aggregate is None:
        message = f"cluster {cluster.name} has no endpoints: every request to it fails with no healthy upstream"
        findings.warn(cluster, "load_assignment", message)


def _check_provided(findings: Findings, cluster: Cluster) -> None:
    """An aggregate cluster is its own load balancer, and must say so; no other type of cluster here is."""
    if cluster.aggregate is not None and cluster.lb_policy != "CLUSTER_PROVIDED":
        findings.fault(cluster, "lb_policy", "an aggregate cluster needs CLUSTER_PROVIDED")
    elif cluster.aggregate is None and cluster.lb_policy == "CLUSTER_PROVIDED":
        findings.fault(cluster, "lb_policy", "this type of cluster brings no load balancer of its own: name one")


def _check_eds(findings: Findings, cluster: Cluster) -> None:
    config = cluster.eds_cluster_config
    if cluster.type != "EDS":
        policy = cluster.load_assignment.policy if cluster.load_assignment is not None else None
        if policy is not None and policy.endpoint_stale_after is not None:
            findings.warn(policy, "endpoint_stale_after", "no effect: only endpoints that are discovered grow stale")
        if config is not None:
            findings.fault(cluster, "eds_cluster_config", f"the cluster's type is {cluster.type}, not EDS")
        return
    if config is None:
        findings.fault(cluster, "eds_cluster_config", "an EDS cluster needs an eds_cluster_config")
    elif config.eds_config is None:
        findings.fault(config, "eds_config", "required field is missing")
    else:
        check_source(findings, config.eds_config, may_be_missing=sources.is_lenient)
    if cluster.load_assignment is not None:
        findings.warn(cluster, "load_assignment", "no effect: the endpoints of an EDS cluster are discovered")


def _check_additional(findings: Findings, endpoint: Endpoint, kind: str) -> None:
    """Check the other addresses of an endpoint; how Envoy goes about names with more addresses is not known here."""
    if endpoint.additional_addresses and kind not in ("STATIC", "EDS"):
        message = f"additional_addresses in a {kind} cluster are not supported yet"
        findings.fault(endpoint, "additional_addresses", message)
        return
    for more in endpoint.additional_addresses:
        at = more.address.socket_address
        if at is not None and not _is_ip(at.address):
            findings.fault(at, "address", f"{at.address!r} is not an IP address")


def check_assignment(findings: Findings, assignment: ClusterLoadAssignment) -> None:
    """Check endpoints that were discovered: each is an address."""
    for locality in assignment.endpoints:
        for item in locality.lb_endpoints:
            address = item.endpoint.address.socket_address
            if address is not None:
                if not _is_ip(address.address):
                    findings.fault(address, "address", f"{address.address!r} is not an IP address, as EDS needs")
                check_protocol(findings, address)
            _check_additional(findings, item.endpoint, "EDS")


def _check_dns(findings: Findings, cluster: Cluster) -> None:
    rate = cluster.dns_failure_refresh_rate
    resolved = cluster.type in ("STRICT_DNS", "LOGICAL_DNS")
    if resolved and rate is not None and rate.max_interval is not None and rate.max_interval < rate.base_interval:
        findings.fault(rate, "max_interval", "must not be less than base_interval")
    config = cluster.dns_resolution_config
    for resolver in config.resolvers if config is not None else ():
        address: SocketAddress | None = resolver.socket_address
        if address is not None and not _is_ip(address.address):
            findings.fault(address, "address", f"a resolver's address is an IP address, not {address.address!r}")


def _check_transport_socket(findings: Findings, cluster: Cluster) -> None:
    sockets = [cluster.transport_socket, *(match.transport_socket for match in cluster.transport_socket_matches)]
    speaks_tls = False
    for socket in sockets:
        if socket is None or socket.typed_config is None:
            continue
        from .check_tls import check_tls  # 0.1 MB with the messages that it knows
        from .model.tls import RawBuffer, UpstreamTlsContext

        config = socket.typed_config
        if isinstance(config, UpstreamTlsContext):
            speaks_tls = True
            check_tls(findings, config, cluster)
        elif not isinstance(config, RawBuffer):
            findings.fault(socket, "typed_config", f"{type(config).__name__} is not a transport socket")
    options = cluster.http_protocol_options
    if options is None or options.protocol != "auto":
        return
    # With matches the cluster's own socket may be for nobody; Envoy asks no more of them than this.
    if not speaks_tls:
        findings.fault(options, "auto_config", "auto_config chooses by ALPN and needs TLS", "add a transport_socket")


def _check_health_check_names(findings: Findings, cluster: Cluster) -> None:
    seen: set[str] = set()
    for check in cluster.health_checks if len(cluster.health_checks) > 1 else ():
        if not check.name:
            findings.fault(check, "name", "each health check of a cluster with several needs a name")
        elif check.name in seen:
            findings.fault(check, "name", f"a health check named {check.name!r} exists already in this cluster")
        seen.add(check.name)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
