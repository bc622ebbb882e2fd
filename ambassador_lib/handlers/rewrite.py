"""What depends on the chosen endpoint: `auto_host_rewrite`, the TLS server name, the destination dialled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..call import Answer, Call, Next
from ..engine.base import MAX_HEAD_SIZE, MAX_HEADERS, MAX_STREAMS, Destination
from ..routing.normalize import strip_any_host_port
from ..routing.rewrite import rewrite_host

if TYPE_CHECKING:
    from ..engine.tls import TlsSettings
    from ..engine.transport_sockets import TransportSockets
    from ..policy.model import Cluster
    from ..routing.compiled import CompiledRoute
    from ..upstream.host import Host
    from ..upstream.limits import Limits


class EndpointRewrite:
    """Evaluated again for every try, since a retry may go to another endpoint (semantics 3.6)."""

    def __init__(self, cluster: Cluster, sockets: TransportSockets, limits: dict[str, Limits]) -> None:
        self._cluster = cluster
        self._sockets = None if sockets.is_plain else sockets
        self._limits = limits
        options = cluster.http_protocol_options
        self._protocol = options.protocol if options is not None else "http1"
        self._max_requests = (options.max_requests_per_connection or 0) if options is not None else 0
        self._idle_timeout = options.idle_timeout if options is not None else None
        self._max_age = (options.max_connection_duration or None) if options is not None else None
        self._max_headers = (options.max_headers_count if options is not None else None) or MAX_HEADERS
        head_kb = options.max_response_headers_kb if options is not None else None
        self._max_head_size = MAX_HEAD_SIZE if head_kb is None else head_kb * 1024
        self._proper_case = options is not None and options.proper_case_words
        self._max_streams = (options.max_concurrent_streams if options is not None else None) or MAX_STREAMS
        self._auto_sni = options is not None and options.auto_sni
        self._auto_san = options is not None and options.auto_san_validation
        self._sni_header = options.override_auto_sni_header.lower().encode() if options is not None else b""

    def handle(self, call: Call, next: Next) -> Answer:
        self.direct(call)
        return next(call)

    def direct(self, call: Call) -> None:
        """Say where the try goes, and by what name."""
        host: Host = call.endpoint
        route: CompiledRoute = call.route
        if route.auto_host_rewrite and host.hostname:
            rewrite_host(call, host.hostname)
        tls = sni = san = None
        if self._sockets is not None and (tls := self._sockets.choose(host.metadata)) is not None:
            sni, san = self._server_name(call, host, tls)
        key = route.priority if tls is None else (route.priority, tls, sni, san)
        made = host.destinations  # before the host is looked at: what is forgotten meanwhile takes this with it
        if made is None:
            made = host.dialled()
        destination = made.get(key)
        if destination is None:
            destination = made[key] = self._destination(host, route.priority, tls, sni, san)
        call.destination = destination

    def _server_name(self, call: Call, host: Host, tls: TlsSettings) -> tuple[str | None, str | None]:
        """SNI, and the name that the certificate must carry (semantics 10)."""
        sni: str | None = tls.sni or None
        if tls.auto_host_sni and host.hostname:
            sni = host.hostname
        name = None
        if self._auto_sni or self._auto_san:
            name = (call.header(self._sni_header) or b"").decode("latin-1") if self._sni_header else ""
            name = strip_any_host_port(name or call.authority).strip("[]")
        if self._auto_sni and name is not None and not _is_address(name):
            sni = name
        if self._auto_san:
            return sni, name
        return sni, sni if tls.auto_sni_san_validation else None

    def _destination(
        self, host: Host, priority: str, tls: TlsSettings | None, sni: str | None, san: str | None
    ) -> Destination:
        cluster = self._cluster
        return Destination(
            pool=f"{cluster.name}/{priority}",
            address=host.address,
            port=host.port,
            alternates=host.alternates,
            tls=tls,
            sni=sni,
            san=san,
            protocol=self._protocol,
            connect_timeout=5.0 if cluster.connect_timeout is None else cluster.connect_timeout,
            max_requests=self._max_requests,
            max_age=self._max_age,
            max_headers=self._max_headers,
            max_head_size=self._max_head_size,
            proper_case=self._proper_case,
            max_streams=self._max_streams,
            tcp_keepalive=cluster.tcp_keepalive,
            idle_timeout=3600.0 if self._idle_timeout is None else self._idle_timeout or None,
            gauge=self._limits[priority].host(host.key),
        )


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()
