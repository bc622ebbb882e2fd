"""One active health check against one host: what is sent over HTTP or TCP, and how the answer is judged.

gRPC is in `grpc_probe`. When checks happen, how often one must pass, and the timeout, are `health_check`'s business.
Source: `HttpHealthCheck` and `TcpHealthCheck` of `envoy.config.core.v3.HealthCheck`, semantics 6.1 and 6.2.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import httpx

from ..algorithms.header_format import Operator, parse
from ..algorithms.health import CheckResult, matches_in_order
from ..call import Deadline, Header
from ..engine.base import Destination, Engine, Exchange
from ..engine.tls_names import string_check
from ..engine.wire import Network, PeerReset, Wire
from ..errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError
from ..policy.model.cluster import Cluster, HealthCheck
from ..policy.model.core import HeaderValueOption, Int64Range
from ..upstream.host import Host

if TYPE_CHECKING:
    from ..engine.tls import TlsSettings

USER_AGENT = "Envoy/HC"
DEFAULT_EXPECTED = (Int64Range(start=200, end=201),)
DEFAULT_RESPONSE_BUFFER_SIZE = 1024
DEFAULT_METHOD = "GET"
CHECKED_CLUSTER = "x-envoy-upstream-healthchecked-cluster"
"""Where a host says which service it is. Source: `HttpHealthCheck.service_name_matcher`."""
MAX_TCP_BUFFER = 1 << 20
"""Bytes kept of a TCP answer that does not match; more of it cannot be an answer."""


class Probe(Protocol):
    """Checks one host. `outlives_timeouts` says that a check that took too long leaves the connection usable."""

    outlives_timeouts: bool

    async def check(self, deadline: Deadline) -> CheckResult:
        """Check once; cancelled when the check's timeout passes."""

    async def close(self) -> None:
        """Drop the connection; the next check dials anew."""


class NetworkParts(Protocol):
    """Where probes get connections from."""

    def engine(self) -> Engine:
        """Return an engine that nobody else uses: to close it is to close one probe's connection."""

    def network(self) -> Network:
        """Return what dials below engines."""


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
        idle_timeout=None,  # the interval between two checks may be long, and the connection is to last
    )
    if tls is None:
        return plain
    sni = host.hostname if tls.auto_host_sni and host.hostname else tls.sni
    return replace(plain, tls=tls, sni=sni, san=sni if tls.auto_sni_san_validation else None)


def _speaks_http2(check: HealthCheck) -> bool:
    http = check.http_health_check
    return check.grpc_health_check is not None or (http is not None and http.codec_client_type == "HTTP2")


class HttpQuestion:
    """What is asked of a host over HTTP, and which answers are good."""

    def __init__(self, config: HealthCheck.HttpHealthCheck, host: Host, cluster: Cluster) -> None:
        self.method = DEFAULT_METHOD if config.method == "METHOD_UNSPECIFIED" else config.method
        self.path = config.path
        self.body = payload(config.send)
        self.authority, self.headers = _request_head(config, host, cluster, len(self.body))
        self._expected = config.expected_statuses or DEFAULT_EXPECTED
        self._retriable = config.retriable_statuses
        self._receive = [payload(part) for part in config.receive]
        matcher = config.service_name_matcher
        self._is_service = None if matcher is None else string_check(matcher)
        size = config.response_buffer_size
        # 0 means no bound; the default is not 0.
        self.kept = (DEFAULT_RESPONSE_BUFFER_SIZE if size is None else size or None) if self._receive else 0

    def judge(self, status: int, headers: httpx.Headers, body: bytes) -> CheckResult:
        """Return what an answer means."""
        # The body comes first, as in Envoy: no status makes up for a wrong one.
        refused = CheckResult.EXCLUDED if "x-envoy-immediate-health-check-fail" in headers else CheckResult.REFUSED
        if not matches_in_order(self._receive, body):
            return refused
        if not _within(self._expected, status):
            return CheckResult.RETRIABLE if _within(self._retriable, status) else refused
        if self._is_service is not None and not self._is_service(headers.get(CHECKED_CLUSTER, "")):
            return CheckResult.REFUSED
        return CheckResult.DEGRADED if "x-envoy-degraded" in headers else CheckResult.PASSED


class HttpProbe:
    """Asks over HTTP."""

    outlives_timeouts = False

    def __init__(self, question: HttpQuestion, target: Destination, parts: NetworkParts, *, reuse: bool) -> None:
        self._question = question
        self._target = target
        self._parts = parts
        self._reuse = reuse
        self._engine: Engine | None = None

    async def check(self, deadline: Deadline) -> CheckResult:
        """Ask once and judge the answer."""
        if self._engine is None:
            self._engine = self._parts.engine()
        try:
            response = await self._engine.send(self._exchange(deadline))
            try:
                body = await self._read(response)
            finally:
                await response.aclose()
        except DeadlineExpired:
            return CheckResult.TIMED_OUT
        except (UpstreamConnectError, UpstreamResetError, httpx.TransportError):
            return CheckResult.UNREACHABLE
        if not self._reuse:
            await self.close()
        return self._question.judge(response.status_code, response.headers, body)

    async def close(self) -> None:
        """Drop the connection."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def _read(self, response: httpx.Response) -> bytes:
        kept = self._question.kept
        body = bytearray()
        # A check is over when the answer is complete, whatever of it is looked at. Raw: Envoy matches the bytes sent.
        async for chunk in response.aiter_raw():
            body += chunk if kept is None else chunk[: max(0, kept - len(body))]
        return bytes(body)

    def _exchange(self, deadline: Deadline) -> Exchange:
        question = self._question
        scheme = "http" if self._target.tls is None else "https"
        return Exchange(
            method=question.method,
            scheme=scheme,
            authority=question.authority,
            target=question.path,
            headers=list(question.headers),
            stream=httpx.ByteStream(question.body),
            destination=self._target,
            deadline=deadline,
            on_connected=_nothing,
            url=httpx.URL(
                scheme=scheme,
                host="localhost" if self._target.is_pipe else self._target.address,
                port=self._target.port,
            ),
            extensions={},
        )


class TcpProbe:
    """Connects and, where there is something to receive, sends and waits for it."""

    outlives_timeouts = False

    def __init__(
        self, config: HealthCheck.TcpHealthCheck, target: Destination, parts: NetworkParts, *, reuse: bool
    ) -> None:
        self._send = payload(config.send)
        self._receive = [payload(part) for part in config.receive]
        self._target = target
        self._parts = parts
        # Without an answer to wait for there is nothing to check but connecting.
        self._reuse = reuse and bool(self._receive)
        self._wire: Wire | None = None

    async def check(self, deadline: Deadline) -> CheckResult:
        """Check once."""
        if self._wire is not None and self._wire.has_hung_up():
            await self.close()
        try:
            wire = self._wire = self._wire or await self._parts.network().dial(self._exchange(deadline))
            result = await self._talk(wire, deadline) if self._receive else CheckResult.PASSED
        except DeadlineExpired:
            result = CheckResult.TIMED_OUT
        except (UpstreamConnectError, UpstreamResetError):
            result = CheckResult.UNREACHABLE
        if not (result.passed and self._reuse):
            await self.close()
        return result

    async def close(self) -> None:
        """Drop the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _talk(self, wire: Wire, deadline: Deadline) -> CheckResult:
        received = b""
        try:
            if self._send:
                await wire.write(self._send, deadline)
            while not matches_in_order(self._receive, received):
                chunk = await wire.read(deadline)
                if not chunk or len(received) > MAX_TCP_BUFFER:
                    return CheckResult.UNREACHABLE
                received += chunk
        except PeerReset:
            return CheckResult.UNREACHABLE
        return CheckResult.PASSED

    def _exchange(self, deadline: Deadline) -> Exchange:
        target = self._target
        return Exchange(
            method="",
            scheme="http",
            authority="",
            target="",
            headers=[],
            stream=httpx.ByteStream(b""),
            destination=target,
            deadline=deadline,
            on_connected=_nothing,
            url=httpx.URL(scheme="http", host=target.address, port=target.port),
            extensions={},
        )


def payload(part: HealthCheck.Payload | None) -> bytes:
    """Return the bytes of a `Payload`; its text is hex. `ValueError` where it is not."""
    if part is None:
        return b""
    return bytes.fromhex(part.text) if part.text is not None else part.binary or b""


def _within(ranges: Sequence[Int64Range], status: int) -> bool:
    return any(part.start <= status < part.end for part in ranges)


def _nothing() -> None:
    """Nobody needs to know when a check's connection is there."""


def authority_of(host: Host, given: str, cluster: Cluster) -> str:
    """Return what a host is called in checks: its own name for them, else the check's, else the cluster's."""
    override = host.health_check_config.hostname if host.health_check_config is not None else ""
    return override or given or cluster.name


def _request_head(
    config: HealthCheck.HttpHealthCheck, host: Host, cluster: Cluster, body_size: int
) -> tuple[str, list[Header]]:
    """Return the authority and the headers of the check's request."""
    headers = {"user-agent": USER_AGENT}
    for name in config.request_headers_to_remove:
        headers.pop(name.lower(), None)
    for option in config.request_headers_to_add:
        add_header(headers, option, host)
    if body_size:
        headers["content-length"] = str(body_size)
    authority = authority_of(host, config.host, cluster)
    return authority, [(name.encode(), value.encode()) for name, value in headers.items()]


def add_header(headers: dict[str, str], option: HeaderValueOption, host: Host) -> None:
    """Add a header as its option says; of command operators, those about the host render to something."""
    name = option.header.key.lower()
    value = "".join(
        _rendered(part, host) if isinstance(part, Operator) else part for part in parse(option.header.value)
    )
    action = option.append_action
    if option.append is not None:  # the deprecated field, where it is set
        action = "APPEND_IF_EXISTS_OR_ADD" if option.append else "OVERWRITE_IF_EXISTS_OR_ADD"
    before = headers.get(name)
    if not value and not option.keep_empty_value:
        return
    if before is None:
        if action != "OVERWRITE_IF_EXISTS":
            headers[name] = value
    elif action == "APPEND_IF_EXISTS_OR_ADD":
        headers[name] = f"{before},{value}"
    elif action != "ADD_IF_ABSENT":
        headers[name] = value


def _rendered(operator: Operator, host: Host) -> str:
    # There is no request of the application's here: operators that ask about it render to nothing.
    known = {"UPSTREAM_HOST": host.key, "PROTOCOL": "HTTP/1.1"}
    if operator.name == "ENVIRONMENT":
        return os.environ.get(operator.argument or "", "-")[: operator.length]
    return known.get(operator.name, "")[: operator.length]
