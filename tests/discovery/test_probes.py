"""Health checks over real sockets: what is sent, and how answers are judged."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme

from ambassador_lib.algorithms.health import CheckResult
from ambassador_lib.call import Deadline
from ambassador_lib.discovery.health_check import _probes_of
from ambassador_lib.discovery.probe_parts import payload
from ambassador_lib.discovery.static import static_hosts
from ambassador_lib.engine.transport_sockets import TransportSockets
from ambassador_lib.policy.model.cluster import Endpoint, HealthCheck, TransportSocket
from ambassador_lib.policy.model.core import (
    Address,
    DataSource,
    HeaderValue,
    HeaderValueOption,
    Int64Range,
    SocketAddress,
    StringMatcher,
)
from ambassador_lib.policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    UpstreamTlsContext,
)
from ambassador_lib.runtime.clock import SystemClock

PATIENCE = 10.0
PASSED, DEGRADED, REFUSED = CheckResult.PASSED, CheckResult.DEGRADED, CheckResult.REFUSED
RETRIABLE, UNREACHABLE = CheckResult.RETRIABLE, CheckResult.UNREACHABLE
TIMES = {"timeout": PATIENCE, "interval": 1.0, "unhealthy_threshold": 1, "healthy_threshold": 1}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(path: str = "/hc", *, reuse: bool | None = None, **fields: Any) -> HealthCheck:
    config = HealthCheck.HttpHealthCheck(path=path, **fields)
    return HealthCheck(http_health_check=config, reuse_connection=reuse, **TIMES)


def tcp(*, reuse: bool | None = None, **fields: Any) -> HealthCheck:
    return HealthCheck(tcp_health_check=HealthCheck.TcpHealthCheck(**fields), reuse_connection=reuse, **TIMES)


def text(part: str) -> HealthCheck.Payload:
    return HealthCheck.Payload(text=part.encode().hex())


class HttpUpstream:
    """Answers every request with `answer`; keeps requests and counts connections."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[list[str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            lines = head.decode().strip().split("\r\n")
            self.requests.append(lines)
            length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
            self.bodies.append(await reader.readexactly(length))
            writer.write(self.answer)
            if not self.answer:
                break
        writer.close()


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def probe(
    kit: Any, check: HealthCheck, serve: Serve | None, *, rounds: int = 1, tls: Any = None, **options: Any
) -> list[CheckResult]:
    """Check a host that `serve` answers for (`None`: that refuses), so many times."""
    server_tls = options.pop("server_tls", None)
    socket = TransportSocket(name="tls", typed_config=tls) if tls is not None else None

    async def main() -> list[CheckResult]:
        conversations: list[asyncio.Future[None]] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversations.append(asyncio.current_task())
            try:
                await (serve or _closing)(reader, writer)
                await writer.wait_closed()
            except OSError:
                return
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server_tls)
        port = server.sockets[0].getsockname()[1]
        if serve is None:
            server.close()
            await server.wait_closed()
        config = options.get("config")
        endpoint = kit.endpoint("127.0.0.1", port, hostname="ep.test", health_check_config=config)
        if options.get("elsewhere"):
            of_address = options["elsewhere"] == "port of the address"
            where = Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port if of_address else 9))
            config = Endpoint.HealthCheckConfig(port_value=0 if of_address else port, address=where)
            endpoint = kit.endpoint("127.0.0.9", 9, health_check_config=config)
        cluster = kit.cluster([endpoint], name="billing", transport_socket=socket, health_checks=(check,))
        upstream = kit.upstream(cluster)
        upstream.update_hosts(static_hosts(cluster), kit.clock.now)
        made = _probes_of(upstream, SystemClock(), TransportSockets.of(cluster))(check, upstream.hosts[0])
        try:
            async with asyncio.timeout(PATIENCE):
                return [await made.check(Deadline(SystemClock().monotonic() + PATIENCE)) for _ in range(rounds)]
        finally:
            await made.close()
            server.close()
            if conversations:
                await asyncio.wait(conversations, timeout=PATIENCE)

    return asyncio.run(main())


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_what_a_check_asks(kit: Any) -> None:
    """GET on the path, the cluster's name as host, Envoy's user agent; neither endpoint name nor address."""
    upstream = HttpUpstream(reply(200))
    assert probe(kit, http("/ready?x=1"), upstream.serve) == [PASSED]
    (first, *headers), *_ = upstream.requests
    assert first == "GET /ready?x=1 HTTP/1.1"
    assert sorted(line.lower() for line in headers) == ["host: billing", "user-agent: envoy/hc"]


def test_the_policy_shapes_the_request(kit: Any) -> None:
    """Method, host, added and removed headers and a body are the policy's."""
    upstream = HttpUpstream(reply(200))
    added = (
        HeaderValueOption(header=HeaderValue(key="X-Hc", value="50%%|%REQ(x)%|%PROTOCOL%")),
        HeaderValueOption(header=HeaderValue(key="x-hc", value="again")),
        HeaderValueOption(header=HeaderValue(key="x-hc", value="no"), append_action="ADD_IF_ABSENT"),
        HeaderValueOption(header=HeaderValue(key="x-new", value="no"), append_action="OVERWRITE_IF_EXISTS"),
        HeaderValueOption(header=HeaderValue(key="x-empty")),
    )
    check = http(
        host="hc.test",
        method="POST",
        send=text("ping"),
        request_headers_to_add=added,
        request_headers_to_remove=("User-Agent",),
    )
    assert probe(kit, check, upstream.serve) == [PASSED]
    (first, *headers), *_ = upstream.requests
    assert first == "POST /hc HTTP/1.1"
    wanted = ["content-length: 4", "host: hc.test", "x-hc: 50%||HTTP/1.1,again"]
    assert sorted(line.replace("Host", "host") for line in headers) == wanted
    assert upstream.bodies == [b"ping"]


def test_an_endpoint_can_name_its_own_host(kit: Any) -> None:
    """`health_check_config.hostname` wins over the check's host."""
    upstream = HttpUpstream(reply(200))
    config = Endpoint.HealthCheckConfig(hostname="mine.test")
    assert probe(kit, http(host="hc.test"), upstream.serve, config=config) == [PASSED]
    assert "host: mine.test" in [line.lower() for line in upstream.requests[0]]


@pytest.mark.parametrize("elsewhere", ["port of the address", "port of its own"])
def test_an_endpoint_can_be_checked_elsewhere(kit: Any, elsewhere: str) -> None:
    """`health_check_config.address` says where; its port gives way to `port_value`."""
    assert probe(kit, http(), HttpUpstream(reply(200)).serve, elsewhere=elsewhere) == [PASSED]


RANGES = {
    "expected_statuses": (Int64Range(start=200, end=204), Int64Range(start=404, end=405)),
    "retriable_statuses": (Int64Range(start=500, end=504),),
}


@pytest.mark.parametrize(
    ("fields", "status", "result"),
    [
        ({}, 200, PASSED),
        ({}, 204, REFUSED),
        ({}, 503, REFUSED),
        (RANGES, 203, PASSED),
        (RANGES, 204, REFUSED),
        (RANGES, 404, PASSED),
        (RANGES, 503, RETRIABLE),
        (RANGES, 504, REFUSED),
    ],
)
def test_statuses(kit: Any, fields: Any, status: int, result: CheckResult) -> None:
    """200 is good unless the policy has ranges, whose ends do not belong to them."""
    assert probe(kit, http(**fields), HttpUpstream(reply(status)).serve) == [result]


def test_degraded(kit: Any) -> None:
    """`x-envoy-degraded` on a good answer makes a degraded host."""
    upstream = HttpUpstream(reply(200, b"", "x-envoy-degraded: 1"))
    assert probe(kit, http(), upstream.serve) == [DEGRADED]


@pytest.mark.parametrize(
    ("body", "size", "result"),
    [
        (b"all is well", None, PASSED),
        (b"well, all is", None, REFUSED),
        (b"." * 1020 + b"all is well", None, REFUSED),
        (b"." * 1020 + b"all is well", 2000, PASSED),
        (b"." * 5000 + b"all is well", 0, PASSED),
    ],
)
def test_bodies(kit: Any, body: bytes, size: int | None, result: CheckResult) -> None:
    """`receive` is matched in order, in the first `response_buffer_size` bytes; 0 means all of them."""
    check = http(receive=(text("all"), text("well")), response_buffer_size=size)
    assert probe(kit, check, HttpUpstream(reply(200, body)).serve) == [result]


@pytest.mark.parametrize("answer", [b"", b"NOT HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"])
def test_broken_answers(kit: Any, answer: bytes) -> None:
    """A closed connection, garbage, a body that breaks off: unreachable."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    assert probe(kit, http(), serve) == [UNREACHABLE]


@pytest.mark.parametrize("check", [http(), tcp()])
def test_refused_connections(kit: Any, check: HealthCheck) -> None:
    """Nobody listens: unreachable."""
    assert probe(kit, check, None) == [UNREACHABLE]


@pytest.mark.parametrize(("reuse", "connections"), [(None, 1), (True, 1), (False, 3)])
def test_reuse_of_connections(kit: Any, reuse: bool | None, connections: int) -> None:
    """Checks share a connection unless `reuse_connection` is false."""
    upstream = HttpUpstream(reply(200))
    assert probe(kit, http(reuse=reuse), upstream.serve, rounds=3) == [PASSED] * 3
    assert upstream.connections == connections


def test_a_server_that_closes_between_checks(kit: Any) -> None:
    """A kept connection that the server has closed is replaced, not held against the host."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(200, b"", "connection: close"))
        writer.close()

    assert probe(kit, http(), serve, rounds=3) == [PASSED] * 3


class TcpUpstream:
    """Greets, then answers what it gets, a byte at a time."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.received: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while data := await reader.read(100):
            self.received.append(data)
            for byte in self.answer:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            if not self.answer:
                break
        writer.close()


def test_tcp_connecting_is_enough(kit: Any) -> None:
    """Without payloads a check passes as soon as it is connected."""
    upstream = TcpUpstream(b"")
    assert probe(kit, tcp(), upstream.serve, rounds=2) == [PASSED] * 2
    assert upstream.received == []


@pytest.mark.parametrize(("reuse", "connections"), [(None, 1), (False, 2)])
def test_tcp_payloads(kit: Any, reuse: bool | None, connections: int) -> None:
    """What is received must hold all parts in order; more around them is fine."""
    upstream = TcpUpstream(b"+PONG now\r\n")
    check = tcp(send=text("PING"), receive=(text("PONG"), text("now")), reuse=reuse)
    assert probe(kit, check, upstream.serve, rounds=2) == [PASSED] * 2
    assert upstream.received == [b"PING", b"PING"]
    assert upstream.connections == connections


def test_tcp_sends_no_binary(kit: Any) -> None:
    """As in Envoy a TCP check sends its text alone; what the upstream says by itself is heard."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"PONG")
        received.append(await reader.read(100))
        writer.close()

    check = tcp(send=HealthCheck.Payload(binary=b"PING"), receive=(text("PONG"),), reuse=False)
    assert probe(kit, check, serve) == [PASSED]
    assert received == [b""]


def test_tcp_wrong_answers(kit: Any) -> None:
    """A connection that ends before the parts have come is a failure."""
    assert probe(kit, tcp(send=text("PING"), receive=(text("PONG"),)), TcpUpstream(b"").serve) == [UNREACHABLE]


def test_payloads_are_hex_or_binary() -> None:
    """`text` is hex, and nothing else will do."""
    assert payload(HealthCheck.Payload(text="505a")) == b"PZ"
    assert payload(HealthCheck.Payload(binary=b"\x00")) == b"\x00"
    assert payload(None) == b""
    with pytest.raises(ValueError, match="non-hexadecimal"):
        payload(HealthCheck.Payload(text="xyz"))


def tls_pair(san: str) -> tuple[ssl.SSLContext, UpstreamTlsContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("billing.test").configure_cert(server)
    pem = authority.cert_pem.bytes()
    names = (SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(exact=san)),)
    validation = CertificateValidationContext(
        trusted_ca=DataSource(inline_bytes=pem), match_typed_subject_alt_names=names
    )
    return server, UpstreamTlsContext(common_tls_context=CommonTlsContext(validation_context=validation))


@pytest.mark.parametrize(("san", "result"), [("billing.test", PASSED), ("other.test", UNREACHABLE)])
@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_checks_go_over_the_transport_socket(kit: Any, kind: str, san: str, result: CheckResult) -> None:
    """TLS, its trust and its names are the cluster's for checks, too."""
    server_tls, context = tls_pair(san)
    check = http() if kind == "http" else tcp()
    serve = HttpUpstream(reply(200)).serve
    assert probe(kit, check, serve, tls=context, server_tls=server_tls) == [result]
