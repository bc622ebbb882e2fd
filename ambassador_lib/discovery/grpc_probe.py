"""One gRPC health check against one host: `grpc.health.v1.Health/Check` over HTTP/2.

Source: `envoy.config.core.v3.HealthCheck.GrpcHealthCheck`; the two messages of the service are small enough to be
written and read by hand (a string in field 1, an enum in field 1).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import httpx

from ..algorithms.health import CheckResult
from ..call import Deadline, Header
from ..engine.base import Destination, Exchange
from ..policy.model.cluster import Cluster, HealthCheck
from ..upstream.host import Host
from .probe_parts import USER_AGENT, EngineProbe, NetworkParts, add_header, authority_of, question

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/grpc.health.v1.Health/Check"
SERVING = 1
FRAME = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""
MAX_ANSWER = 64 * 1024


class GrpcProbe(EngineProbe):
    """Asks over gRPC. Whatever a host answers but SERVING is a refusal: unhealthy at once."""

    outlives_timeouts = True

    def __init__(
        self,
        config: HealthCheck.GrpcHealthCheck,
        timeout: float,
        host: Host,
        cluster: Cluster,
        target: Destination,
        parts: NetworkParts,
        *,
        reuse: bool,
    ) -> None:
        super().__init__(target, parts, reuse=reuse)
        self._authority = authority_of(host, config.authority, cluster)
        self._headers = _headers(config, timeout, host)
        service = config.service_name.encode()
        message = b"\x0a" + _varint(len(service)) + service if service else b""
        self._message = FRAME.pack(0, len(message)) + message

    async def _judge(self, response: httpx.Response) -> CheckResult:
        kind = response.headers.get("content-type", "")
        if response.status_code != 200 or not kind.startswith("application/grpc"):
            return CheckResult.REFUSED
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                return CheckResult.REFUSED
        trailers: list[Header] = response.extensions.get("trailers", [])
        status = dict(trailers).get(b"grpc-status", response.headers.get("grpc-status", "").encode())
        return CheckResult.PASSED if status == b"0" and _is_serving(bytes(body)) else CheckResult.REFUSED

    def _exchange(self, deadline: Deadline) -> Exchange:
        return question(
            self._target,
            deadline,
            method="POST",
            authority=self._authority,
            path=PATH,
            headers=list(self._headers),
            body=self._message,
        )


def _headers(config: HealthCheck.GrpcHealthCheck, timeout: float, host: Host) -> list[Header]:
    headers = {"content-type": "application/grpc", "te": "trailers", "user-agent": USER_AGENT}
    for option in config.initial_metadata:
        add_header(headers, option, host)
    headers["transfer-encoding"] = "chunked"  # so that no length is announced; HTTP/2 itself has no such header
    headers["grpc-timeout"] = f"{min(round(timeout * 1000), 99_999_999)}m"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _is_serving(body: bytes) -> bool:
    """Whether the body is one message, and its status SERVING."""
    if len(body) < FRAME.size:
        return False
    compressed, size = FRAME.unpack_from(body)
    if compressed or len(body) != FRAME.size + size:
        return False
    try:
        return dict(_fields(body[FRAME.size :])).get(1, 0) == SERVING
    except ValueError:
        return False


def _fields(message: bytes) -> Iterator[tuple[int, int]]:
    """Yield number and value of each field of kind varint."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield key >> 3, value
        elif kind == 2:
            size, at = _read_varint(message, at)
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("no such kind of field")
    if at > len(message):
        raise ValueError("the last field is cut off")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if not message[at - 1] & 0x80:
            return value, at
    raise ValueError("a number is cut off, or too long")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
