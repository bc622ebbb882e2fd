"""The cluster and the host that the call went to, or those of all its tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...algorithms.natural import natural
from ...call import Call, Header
from .base import Get, Value, without_port


def _upstream_host(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    attempts = call.report.attempts
    return (attempts[-1].endpoint or "").encode() or None if attempts else None


def _upstream_host_name(call: Call, status: int, response: Sequence[Header]) -> Value:
    name = getattr(call.endpoint, "hostname", "")
    return name.encode() if name else _upstream_host(call, status, response)


def _upstream_remote_address(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    attempt = call.attempt
    connected = attempt.connected or attempt.status is not None
    return attempt.endpoint.encode() if connected and attempt.endpoint else None


def _hosts_attempted(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    tried = [a.endpoint for a in call.report.attempts if a.endpoint and (a.connected or a.status is not None)]
    return ",".join(tried).encode() or None


def _upstream_protocol(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    protocol = getattr(call.destination, "protocol", None) if call.attempt.connected else None
    return {"http1": b"HTTP/1.1", "http2": b"HTTP/2"}.get(protocol or "")


def _upstream_server_name(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    name = getattr(call.destination, "sni", None)
    return name.encode() if name else None


def _failure_reason(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    _, bar, reason = call.report.details.partition("|")
    return reason.removesuffix("}").replace(" ", "_").encode() if bar else None


def _attempt_count(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    tries = len(call.report.attempts)
    return tries if call.report.duration is not None else max(1, tries)


def _port(address: Value) -> int | None:
    return natural(address.rpartition(b":")[2].decode()) if isinstance(address, bytes) else None


OF_CALL: dict[str, Get] = {
    "UPSTREAM_CLUSTER": lambda call, _s, _r: (call.report.cluster or "").encode() or None,
    "UPSTREAM_CLUSTER_RAW": lambda call, _s, _r: (call.report.cluster or "").encode() or None,
    "UPSTREAM_HOST": _upstream_host,
    "UPSTREAM_HOSTS_ATTEMPTED": _hosts_attempted,
    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT": without_port(_hosts_attempted)(""),
    "UPSTREAM_HOST_NAME": _upstream_host_name,
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": without_port(_upstream_host_name)(""),
    "UPSTREAM_PROTOCOL": _upstream_protocol,
    "UPSTREAM_REMOTE_ADDRESS": _upstream_remote_address,
    "UPSTREAM_REMOTE_PORT": lambda call, status, response: _port(_upstream_remote_address(call, status, response)),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _attempt_count,
    "UPSTREAM_SERVER_NAME": _upstream_server_name,
    "UPSTREAM_TRANSPORT_FAILURE_REASON": _failure_reason,
}

WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": without_port(_upstream_remote_address),
}
