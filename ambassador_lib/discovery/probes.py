"""The probe that a health check asks for, and where it goes: over HTTP, gRPC or TCP.

When checks happen, how often one must pass, and the timeout, are `health_check`'s business.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..algorithms.health import CheckResult
from ..call import Deadline
from ..engine.base import Destination
from ..policy.model.cluster import Cluster, HealthCheck
from ..upstream.host import Host
from .http_probe import HttpProbe, HttpQuestion
from .tcp_probe import TcpProbe

if TYPE_CHECKING:
    from ..engine.tls import TlsSettings
    from .probe_parts import NetworkParts


class Probe(Protocol):
    """Checks one host. `outlives_timeouts` says that a check that took too long leaves the connection usable."""

    outlives_timeouts: bool

    async def check(self, deadline: Deadline) -> CheckResult:
        """Check once; cancelled when the check's timeout passes."""

    async def close(self) -> None:
        """Drop the connection; the next check dials anew."""


def probe_for(check: HealthCheck, host: Host, cluster: Cluster, tls: TlsSettings | None, parts: NetworkParts) -> Probe:
    """Return the probe that `check` asks for."""
    target = destination(check, host, cluster, tls)
    reuse = check.reuse_connection is not False
    if check.grpc_health_check is not None:
        from .grpc_probe import GrpcProbe

        return GrpcProbe(check.grpc_health_check, check.timeout, host, cluster, target, parts, reuse=reuse)
    if check.http_health_check is not None:
        return HttpProbe(HttpQuestion(check.http_health_check, host, cluster), target, parts, reuse=reuse)
    return TcpProbe(check.tcp_health_check or HealthCheck.TcpHealthCheck(), target, parts, reuse=reuse)


def destination(check: HealthCheck, host: Host, cluster: Cluster, tls: TlsSettings | None) -> Destination:
    """Return where and how the host is checked, over the host's transport socket."""
    address, port = host.address, host.port
    config = host.health_check_config
    if config is not None:
        if config.address is not None and config.address.socket_address is not None:
            address, port = config.address.socket_address.address, config.address.socket_address.port_value
        port = config.port_value or port
    plain = Destination(
        pool=f"{cluster.name}/health-check",
        address=address,
        port=port,
        alternates=host.alternates if (address, port) == (host.address, host.port) else (),
        connect_timeout=check.timeout + 1,  # never the first to pass: the check's own timeout spans connecting, too
        protocol="http2" if _speaks_http2(check) else "http1",
        tcp_keepalive=cluster.tcp_keepalive,
        idle_timeout=None,  # the interval between two checks may be long, and the connection is to last
    )
    if tls is None:
        return plain
    sni = host.hostname if tls.auto_host_sni and host.hostname else tls.sni
    return replace(plain, tls=tls, sni=sni, san=sni if tls.auto_sni_san_validation else None)


def _speaks_http2(check: HealthCheck) -> bool:
    http = check.http_health_check
    return check.grpc_health_check is not None or (http is not None and http.codec_client_type == "HTTP2")
