"""Who calls, and where it would have connected: its listener."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...algorithms.forwarded import trusted_address
from ...call import Call, Header
from .base import Get, Value, constant, without_port

LOOPBACK = "127.0.0.1"
"""Whom Envoy would see calling: an application on the same machine."""


def _trusted_address(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    """The caller's address, as the connection manager believes it to be (semantics 1.2)."""
    manager = None if call.listener is None else call.listener.http_connection_manager
    found = None
    if manager is not None:
        hops = manager.xff_num_trusted_hops
        if manager.use_remote_address:  # our own address stands last, unless it is not to be appended
            hops = hops - int(manager.skip_xff_append) if hops else -1
        forwarded = call.header(b"x-forwarded-for") or b""
        found = trusted_address(hops, forwarded) if hops >= 0 else None
    trusted = LOOPBACK if not found else found.decode("latin-1")
    return (f"[{trusted}]:0" if ":" in trusted else f"{trusted}:0").encode()


def _local_address(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    """Where the application would have connected: the listener's address, loopback for any."""
    at = call.listener.address.socket_address if call.listener is not None else None
    if at is None:
        return None
    address = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}.get(at.address, at.address)  # noqa: S104 - compared
    return (f"[{address}]:{at.port_value}" if ":" in address else f"{address}:{at.port_value}").encode()


def _local_port(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    at = call.listener.address.socket_address if call.listener is not None else None
    return None if at is None else int(at.port_value)


_LOCAL: Get = _local_address
_DIRECT: Get = constant(f"{LOOPBACK}:0".encode())

OF_CALL: dict[str, Get] = {
    "BYTES_RETRANSMITTED": constant(0),
    "CONNECTION_TERMINATION_DETAILS": constant(None),
    "DOWNSTREAM_CX_RTT": constant(0),
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": constant(b"Normal"),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": _LOCAL,
    "DOWNSTREAM_DIRECT_LOCAL_PORT": _local_port,
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _DIRECT,
    "DOWNSTREAM_LOCAL_ADDRESS": _LOCAL,
    "DOWNSTREAM_LOCAL_PORT": _local_port,
    "DOWNSTREAM_REMOTE_ADDRESS": _trusted_address,
    "LISTENER_NAME": lambda call, _s, _r: (call.report.listener or "").encode() or None,
    "PACKETS_RETRANSMITTED": constant(0),
}

WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": without_port(_LOCAL),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": without_port(_DIRECT),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": without_port(_LOCAL),
    "DOWNSTREAM_PEER_CERT_V_END": lambda _argument: constant(None),
    "DOWNSTREAM_PEER_CERT_V_START": lambda _argument: constant(None),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": without_port(_trusted_address),
}
