"""Health checks over gRPC and HTTP/2: what is asked, and which answers are good."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from ambassador_lib.algorithms.health import CheckResult
from ambassador_lib.policy.model.cluster import Endpoint, HealthCheck
from ambassador_lib.policy.model.core import HeaderValue, HeaderValueOption, Int64Range, StringMatcher

from .test_probes import PATIENCE, TIMES, HttpUpstream, http, probe, reply, text

PASSED, REFUSED, UNREACHABLE = CheckResult.PASSED, CheckResult.REFUSED, CheckResult.UNREACHABLE
SERVING = b"\0\0\0\0\x02\x08\x01"


def grpc(*, reuse: bool | None = None, **fields: Any) -> HealthCheck:
    return HealthCheck(grpc_health_check=HealthCheck.GrpcHealthCheck(**fields), reuse_connection=reuse, **TIMES)


class GrpcUpstream:
    """Answers each call with these headers, body and trailers; keeps what was asked."""

    def __init__(
        self,
        body: bytes = SERVING,
        *,
        status: str = "200",
        kind: str = "application/grpc",
        grpc_status: str | None = "0",
        resets: bool = False,
    ) -> None:
        self.head = [(":status", status), ("content-type", kind)]
        self.body = body
        self.trailers = [] if grpc_status is None else [("grpc-status", grpc_status)]
        self.resets = resets
        self.asked: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="ascii"))
        state.initiate_connection()
        writer.write(state.data_to_send())
        while data := await reader.read(65536):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.asked.append(dict(event.headers))  # type: ignore[arg-type]  # decoded
                elif isinstance(event, h2.events.DataReceived):
                    self.bodies.append(event.data)
                elif isinstance(event, h2.events.StreamEnded):
                    self._answer(state, event.stream_id)
            writer.write(state.data_to_send())
        writer.close()

    def _answer(self, state: h2.connection.H2Connection, stream: int) -> None:
        if self.resets:
            state.reset_stream(stream)
            return
        state.send_headers(stream, self.head)
        state.send_data(stream, self.body, end_stream=not self.trailers)
        if self.trailers:
            state.send_headers(stream, self.trailers, end_stream=True)


def test_what_a_check_asks(kit: Any) -> None:
    """`Health/Check` with the cluster's name as authority, an empty service and the timeout."""
    upstream = GrpcUpstream()
    assert probe(kit, grpc(), upstream.serve) == [PASSED]
    assert upstream.asked == [
        {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "billing",
            ":path": "/grpc.health.v1.Health/Check",
            "content-type": "application/grpc",
            "te": "trailers",
            "user-agent": "Envoy/HC",
            "grpc-timeout": f"{PATIENCE * 1000:.0f}m",
        }
    ]
    assert b"".join(upstream.bodies) == bytes(5)


def test_the_policy_shapes_the_call(kit: Any) -> None:
    """Service, authority and metadata are the policy's; an endpoint's own name wins."""
    upstream = GrpcUpstream()
    metadata = (HeaderValueOption(header=HeaderValue(key="X-Tenant", value="%UPSTREAM_HOST%")),)
    check = grpc(service_name="s" * 200, authority="hc.test", initial_metadata=metadata)
    assert probe(kit, check, upstream.serve) == [PASSED]
    config = Endpoint.HealthCheckConfig(hostname="mine.test")
    assert probe(kit, check, upstream.serve, config=config) == [PASSED]
    assert [asked[":authority"] for asked in upstream.asked] == ["hc.test", "mine.test"]
    assert upstream.asked[0]["x-tenant"].startswith("127.0.0.1:")
    assert upstream.bodies[0] == b"\0\0\0\0\xcb\x0a\xc8\x01" + b"s" * 200


@pytest.mark.parametrize(
    "upstream",
    [
        GrpcUpstream(b"\0\0\0\0\x02\x08\x02"),
        GrpcUpstream(b"\0\0\0\0\0"),
        GrpcUpstream(b""),
        GrpcUpstream(b"\x01\0\0\0\x02\x08\x01"),
        GrpcUpstream(b"\0\0\0\0\x09\x08\x01"),
        GrpcUpstream(SERVING + SERVING),
        GrpcUpstream(b"\0\0\0\0\x02\x08\xff"),
        GrpcUpstream(b"\0\0\0\0\x02\x0f\x01"),
        GrpcUpstream(b"x" * 16_000),
        GrpcUpstream(grpc_status="12"),
        GrpcUpstream(grpc_status=None),
        GrpcUpstream(status="503"),
        GrpcUpstream(kind="text/plain"),
    ],
)
def test_whatever_else_is_answered_is_a_refusal(kit: Any, upstream: GrpcUpstream) -> None:
    """Only one whole message that says SERVING, under status OK, is good; all else fails the host at once."""
    assert probe(kit, grpc(), upstream.serve) == [REFUSED]


def test_unknown_fields_do_no_harm(kit: Any) -> None:
    """A message of a later version is understood."""
    body = b"\x12\x01x" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x08\x01"
    assert probe(kit, grpc(), GrpcUpstream(bytes(4) + bytes([len(body)]) + body).serve) == [PASSED]


def test_no_answer_counts_towards_the_threshold(kit: Any) -> None:
    """A refused port, a closed connection and a reset stream are failures of the network."""
    assert probe(kit, grpc(), None) == [UNREACHABLE]
    assert probe(kit, grpc(), GrpcUpstream(resets=True).serve) == [UNREACHABLE]


@pytest.mark.parametrize(("reuse", "connections"), [(None, 1), (False, 3)])
def test_the_connection_is_kept(kit: Any, reuse: bool | None, connections: int) -> None:
    """Checks share a connection unless `reuse_connection` is false."""
    upstream = GrpcUpstream()
    assert probe(kit, grpc(reuse=reuse), upstream.serve, rounds=3) == [PASSED] * 3
    assert upstream.connections == connections


def test_http_checks_over_http2(kit: Any) -> None:
    """`codec_client_type: HTTP2` asks the same over HTTP/2."""
    upstream = GrpcUpstream(b"", grpc_status=None)
    assert probe(kit, http(codec_client_type="HTTP2"), upstream.serve) == [PASSED]
    assert upstream.asked[0] == {
        ":method": "GET", ":scheme": "http", ":authority": "billing", ":path": "/hc", "user-agent": "Envoy/HC",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "result"),
    [
        ((), REFUSED),
        (("x-envoy-upstream-healthchecked-cluster: billing-eu",), PASSED),
        (("x-envoy-upstream-healthchecked-cluster: other",), REFUSED),
    ],
)
def test_the_service_must_be_the_right_one(kit: Any, headers: tuple[str, ...], result: CheckResult) -> None:
    """`service_name_matcher` compares what the host says it is."""
    check = http(service_name_matcher=StringMatcher(prefix="billing"))
    assert probe(kit, check, HttpUpstream(reply(200, b"", *headers)).serve) == [result]


def test_a_wrong_body_is_refused_whatever_the_status(kit: Any) -> None:
    """The body is judged first: a status that would count towards the threshold does not make up for it."""
    upstream = HttpUpstream(reply(503, b"no", "x-envoy-immediate-health-check-fail: 1"))
    ranges = {"retriable_statuses": (Int64Range(start=500, end=504),)}
    assert probe(kit, http(**ranges), upstream.serve) == [CheckResult.RETRIABLE]
    assert probe(kit, http(**ranges, receive=(text("ok"),)), upstream.serve) == [CheckResult.EXCLUDED]
