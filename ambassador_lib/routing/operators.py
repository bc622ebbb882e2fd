"""What each command operator stands for: one small function of the call each (semantics 11.3).

`algorithms/header_format.py` parses, `format.py` makes text or JSON of what is returned here.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httpx

from ..algorithms.forwarded import trusted_address
from ..algorithms.grpc_status import NAMES, grpc_status, is_grpc
from ..algorithms.header_format import UNITS, UNKNOWN, UNSET, Operator
from ..algorithms.natural import natural
from ..algorithms.response_flags import LONG_FLAGS
from ..call import Call, Header
from .match import REQUEST_LINE, query_parameter

if TYPE_CHECKING:
    from ..runtime.base import Clock

Value = bytes | int | float | Mapping[str, Any] | tuple[Any, ...] | None
"""`None`: not set. Numbers keep their type, so that JSON can show them as such."""

Get = Callable[[Call, int, Sequence[Header]], Value]
"""Of a call; the response's status and headers are `0` and `()` while the request is on its way."""

LOOPBACK = "127.0.0.1"
"""Whom Envoy would see calling: an application on the same machine."""

_TIME = re.compile(r"%(?:%|E([1-9])S|E(z)|([1-9])?(f)|(s))")
_LAYOUT = "%Y-%m-%dT%H:%M:%S.%3fZ"
_LOCAL_LAYOUT = "%Y-%m-%dT%H:%M:%S.%3f%z"


def getter(operator: Operator, clock: Clock) -> Get:
    """Return what finds the operator's value."""
    name, argument = operator.name, operator.argument or ""
    if name in UNSET or name in UNKNOWN:
        return _constant(None)
    if (of_call := _OF_CALL.get(name)) is not None:
        return of_call
    if (timed := _TIMED.get(name)) is not None:
        return timed(argument, clock)
    return _WITH_ARGUMENT[name](argument)


def _constant(value: Value) -> Get:
    return lambda _call, _status, _response: value


# --- headers ----------------------------------------------------------------------------------------------------------


def _first(getters: tuple[Get, ...]) -> Get:
    """Find the first header that is there, even if it is empty."""
    if len(getters) == 1:
        return getters[0]

    def get(call: Call, status: int, response: Sequence[Header]) -> Value:
        for of in getters:
            value = of(call, status, response)
            if value is not None:
                return value
        return None

    return get


def _headers(argument: str, of: Callable[[str], Get]) -> Get:
    return _first(tuple(of(name) for name in Operator("", argument).alternatives()))


def _request_header(name: str) -> Get:
    of_call = REQUEST_LINE.get(name)
    if of_call is not None:
        return lambda call, _status, _response: of_call(call)
    key = name.encode()
    return lambda call, _status, _response: call.header(key)


def _response_header(name: str) -> Get:
    if name == ":status":
        return lambda _call, status, _response: b"%d" % status if status else None
    key = name.encode()

    def get(_call: Call, _status: int, response: Sequence[Header]) -> Value:
        return next((value for header, value in response if header.lower() == key), None)

    return get


def _request_headers_bytes(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    line = sum(len(name) + len(REQUEST_LINE[name](call)) for name in (":authority", ":method", ":path", ":scheme"))
    return line + _size(call.headers)


def _response_headers_bytes(_call: Call, status: int, response: Sequence[Header]) -> Value:
    return len(":status") + 3 + _size(response) if status else 0


def _size(headers: Sequence[Header]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


# --- the response -----------------------------------------------------------------------------------------------------


def response_code(call: Call, status: int, _response: Sequence[Header] = ()) -> int:
    """Return the code on record: Envoy's local replies are mutated before theirs is, and have 0 until then."""
    if call.code is not None:
        return call.code
    return status if call.attempt.status is not None else 0


def _response_flags(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    return ",".join(call.report.flags).encode() or b"-"


def _response_flags_long(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    return ",".join(LONG_FLAGS.get(flag, flag) for flag in call.report.flags).encode() or b"-"


def _response_code_details(argument: str) -> Get:
    keeps_spaces = argument == "ALLOW_WHITESPACES"

    def get(call: Call, status: int, _response: Sequence[Header]) -> Value:
        details = call.report.details
        if not details and status and call.attempt.status is not None:
            details = "via_upstream"
        return (details if keeps_spaces else details.replace(" ", "_")).encode() or None

    return get


def grpc_status_of(call: Call, status: int, response: Sequence[Header]) -> int | None:
    """Return the gRPC status that a response tells: its header's, or what stands for its HTTP status."""
    told = next((value for name, value in response if name.lower() == b"grpc-status"), None)
    if told is not None:
        return natural(told.decode("latin-1"))
    return grpc_status(response_code(call, status))


def _grpc_number(call: Call, status: int, response: Sequence[Header]) -> Value:
    return grpc_status_of(call, status, response) if is_grpc(call.header(b"content-type")) else None


def _grpc_name(call: Call, status: int, response: Sequence[Header]) -> Value:
    number = _grpc_number(call, status, response)
    if not isinstance(number, int):
        return None
    return (NAMES[number] if number < len(NAMES) else str(number)).encode()


# --- the upstream -----------------------------------------------------------------------------------------------------


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


def _without_port(get: Get) -> Callable[[str], Get]:
    def with_length(argument: str) -> Get:
        length = natural(argument) if argument else None

        def bare(call: Call, status: int, response: Sequence[Header]) -> Value:
            address = get(call, status, response)
            if not isinstance(address, bytes):
                return address
            host = b",".join(one.rpartition(b":")[0].strip(b"[]") or one for one in address.split(b","))
            return host if length is None else _network(host.decode(), length)

        return bare

    return with_length


def _network(address: str, length: int) -> bytes | None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(ipaddress.ip_network(f"{address}/{min(length, found.max_prefixlen)}", strict=False)).encode()


# --- the caller -------------------------------------------------------------------------------------------------------


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


def _bytes_received(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    recording = getattr(call.body, "recording", None)
    if recording is not None:
        return int(recording.size)
    return sum(map(len, call.body)) if isinstance(call.body, httpx.ByteStream) else 0


def _trace_part(name: str, width: int) -> Get:
    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        if call.span is None:
            return None
        return f"{getattr(call.span.span.get_span_context(), name):0{width}x}".encode()

    return get


_LOCAL: Get = _local_address
_DIRECT: Get = _constant(f"{LOOPBACK}:0".encode())

_OF_CALL: dict[str, Get] = {
    "ACCESS_LOG_TYPE": lambda call, _s, _r: b"NotSet" if call.report.duration is None else b"DownstreamEnd",
    "BYTES_RECEIVED": _bytes_received,
    "BYTES_RETRANSMITTED": _constant(0),
    "BYTES_SENT": lambda call, _s, _r: call.bytes_sent,
    "CONNECTION_TERMINATION_DETAILS": _constant(None),
    "CUSTOM_FLAGS": _constant(b""),
    "DOWNSTREAM_CX_RTT": _constant(0),
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": _constant(b"Normal"),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": _LOCAL,
    "DOWNSTREAM_DIRECT_LOCAL_PORT": _local_port,
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _DIRECT,
    "DOWNSTREAM_LOCAL_ADDRESS": _LOCAL,
    "DOWNSTREAM_LOCAL_PORT": _local_port,
    "DOWNSTREAM_REMOTE_ADDRESS": _trusted_address,
    "GRPC_STATUS": _grpc_name,
    "GRPC_STATUS_NUMBER": _grpc_number,
    "LISTENER_NAME": lambda call, _s, _r: (call.report.listener or "").encode() or None,
    "LOCAL_REPLY_BODY": lambda call, _s, _r: call.local_body,
    "PACKETS_RETRANSMITTED": _constant(0),
    "PROTOCOL": _constant(b"HTTP/1.1"),
    "REQUESTED_SERVER_NAME": _constant(None),
    "REQUEST_HEADERS_BYTES": _request_headers_bytes,
    "RESPONSE_CODE": response_code,
    "RESPONSE_FLAGS": _response_flags,
    "RESPONSE_FLAGS_LONG": _response_flags_long,
    "RESPONSE_HEADERS_BYTES": _response_headers_bytes,
    "RESPONSE_TRAILERS_BYTES": _constant(0),
    "ROUTE_NAME": lambda call, _s, _r: (call.report.route or "").encode() or None,
    "SPAN_ID": _trace_part("span_id", 16),
    "STREAM_ID": lambda call, _s, _r: call.header(b"x-request-id"),
    "TRACE_ID": _trace_part("trace_id", 32),
    "UPSTREAM_CLUSTER": lambda call, _s, _r: (call.report.cluster or "").encode() or None,
    "UPSTREAM_CLUSTER_RAW": lambda call, _s, _r: (call.report.cluster or "").encode() or None,
    "UPSTREAM_HOST": _upstream_host,
    "UPSTREAM_HOSTS_ATTEMPTED": _hosts_attempted,
    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT": _without_port(_hosts_attempted)(""),
    "UPSTREAM_HOST_NAME": _upstream_host_name,
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": _without_port(_upstream_host_name)(""),
    "UPSTREAM_PROTOCOL": _upstream_protocol,
    "UPSTREAM_REMOTE_ADDRESS": _upstream_remote_address,
    "UPSTREAM_REMOTE_PORT": lambda call, status, response: _port(_upstream_remote_address(call, status, response)),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _attempt_count,
    "UPSTREAM_SERVER_NAME": _upstream_server_name,
    "UPSTREAM_TRANSPORT_FAILURE_REASON": _failure_reason,
}


def _port(address: Value) -> int | None:
    return natural(address.rpartition(b":")[2].decode()) if isinstance(address, bytes) else None


# --- the path ---------------------------------------------------------------------------------------------------------


def _path(argument: str) -> Get:
    """`PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)`: the path before a rewrite, after it, or the former if there is one."""
    query, _, which = argument.partition(":")
    which = which.partition(":")[0]

    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        path = None if which == "PATH" else call.header(b"x-envoy-original-path")
        if not path:
            if which == "ORIG":
                return None
            path = call.target.encode("latin-1")
        return path.partition(b"?")[0] if query == "NQ" else path

    return get


def _query_parameter(name: str) -> Get:
    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        value = query_parameter(call.target, name)
        return None if value is None else unquote_to_bytes(value.encode("latin-1"))

    return get


def _query_parameters(argument: str) -> Get:
    decoded = argument == "DECODED"

    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        _, mark, query = call.target.partition("?")
        raw = query.encode("latin-1")
        return (unquote_to_bytes(raw) if decoded else raw) if mark else None

    return get


# --- times ------------------------------------------------------------------------------------------------------------


def _at(layout: str, clock: Clock, *, local: bool, start: bool) -> Get:
    """Format a moment: strftime plus `%s`, fractions `%3f`, and absl's `%E3S` and `%Ez`."""
    layout = layout or (_LOCAL_LAYOUT if local else _LAYOUT)

    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        at = clock.time() - (clock.monotonic() - call.started if start else 0.0)
        seconds, nanoseconds = divmod(round(at * 1e9), 10**9)
        moment = datetime.fromtimestamp(seconds, UTC)
        return _formatted(layout, moment.astimezone() if local else moment, seconds, f"{nanoseconds:09d}").encode()

    return get


def _formatted(layout: str, moment: datetime, seconds: int, digits: str) -> str:
    def replace(found: re.Match[str]) -> str:
        precision, zone, fraction, is_fraction, epoch = found.groups()
        if precision:
            return f"{moment:%S}.{digits[: int(precision)]}"
        if zone:
            offset = f"{moment:%z}"
            return f"{offset[:3]}:{offset[3:5]}"
        if is_fraction:
            return digits[: int(fraction or 9)]
        return str(seconds) if epoch else "%%"

    return moment.strftime(_TIME.sub(replace, layout))


def _seconds(call: Call, point: str, clock: Clock) -> float | None:
    """Return when something happened, in seconds since the call began; `None` if it has not, or nobody knows."""
    attempt, report = call.attempt, call.report
    if point == "DS_RX_BEG":
        return 0.0
    if point in ("DS_RX_END", "US_TX_END"):
        reached = point == "DS_RX_END" or attempt.connected
        return call.request_ended - call.started if reached and call.request_ended is not None else None
    if point in ("US_RX_BEG", "DS_TX_BEG"):
        if attempt.status is None:
            return None
        return clock.monotonic() - call.started if attempt.duration is None else attempt.started + attempt.duration
    if point in ("US_RX_END", "DS_TX_END"):
        return report.duration if point == "DS_TX_END" or attempt.status is not None else None
    return None


def _between(start: str, end: str, unit: str) -> Callable[[str, Clock], Get]:
    scale = UNITS[unit]

    def timed(_argument: str, clock: Clock) -> Get:
        def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
            began, ended = _seconds(call, start, clock), _seconds(call, end, clock)
            if began is None or ended is None or ended < began:
                return None
            return int((ended - began) * scale + 1e-6)

        return get

    return timed


def _duration(_argument: str, clock: Clock) -> Get:
    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        took = call.report.duration
        return int((clock.monotonic() - call.started if took is None else took) * 1000 + 1e-6)

    return get


def _common_duration(argument: str, clock: Clock) -> Get:
    start, end, *unit = argument.split(":")
    return _between(start, end, unit[0] if unit else "ms")("", clock)


_TIMED: dict[str, Callable[[str, Clock], Get]] = {
    "COMMON_DURATION": _common_duration,
    "DURATION": _duration,
    "EMIT_TIME": lambda layout, clock: _at(layout, clock, local=False, start=False),
    "EMIT_TIME_LOCAL": lambda layout, clock: _at(layout, clock, local=True, start=False),
    "REQUEST_DURATION": _between("DS_RX_BEG", "DS_RX_END", "ms"),
    "REQUEST_TX_DURATION": _between("DS_RX_BEG", "US_TX_END", "ms"),
    "RESPONSE_DURATION": _between("DS_RX_BEG", "US_RX_BEG", "ms"),
    "RESPONSE_TX_DURATION": _between("US_RX_BEG", "US_RX_END", "ms"),
    "START_TIME": lambda layout, clock: _at(layout, clock, local=False, start=True),
    "START_TIME_LOCAL": lambda layout, clock: _at(layout, clock, local=True, start=True),
}


# --- metadata ---------------------------------------------------------------------------------------------------------

_OWNERS: dict[str, Callable[[Call], Any]] = {
    "CLUSTER": lambda call: getattr(call.cluster, "cluster", None),
    "LISTENER": lambda call: call.listener,
    "ROUTE": lambda call: getattr(call.route, "model", None),
    "UPSTREAM_HOST": lambda call: call.endpoint,
    "VIRTUAL_HOST": lambda call: getattr(call.virtual_host, "model", None),
}


def _metadata(argument: str) -> Get:
    kind, _, path = argument.partition(":")
    owner = _OWNERS.get(kind)
    keys = path.split(":") if path else []
    if owner is None:
        return _constant(None)  # no filter here sets any

    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        metadata = getattr(owner(call), "metadata", None)
        found: Any = getattr(metadata, "filter_metadata", None)
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return found.encode() if isinstance(found, str) else found

    return get


_WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    "CLUSTER_METADATA": lambda argument: _metadata(f"CLUSTER:{argument}"),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": _without_port(_LOCAL),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _without_port(_DIRECT),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _without_port(_LOCAL),
    "DOWNSTREAM_PEER_CERT_V_END": lambda _argument: _constant(None),
    "DOWNSTREAM_PEER_CERT_V_START": lambda _argument: _constant(None),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _without_port(_trusted_address),
    "DYNAMIC_METADATA": lambda argument: _metadata(f"DYNAMIC:{argument}"),
    # Environment and host name are taken once, when the policy is compiled, as Envoy does.
    "ENVIRONMENT": lambda argument: _constant(os.environ.get(argument, "-").encode()),
    "HOSTNAME": lambda _argument: _constant(socket.gethostname().encode()),
    "METADATA": _metadata,
    "PATH": _path,
    "QUERY_PARAM": _query_parameter,
    "QUERY_PARAMS": _query_parameters,
    "REQ": lambda argument: _headers(argument, _request_header),
    "REQUEST_HEADER": lambda argument: _headers(argument, _request_header),
    "RESP": lambda argument: _headers(argument, _response_header),
    "RESPONSE_CODE_DETAILS": _response_code_details,
    "RESPONSE_HEADER": lambda argument: _headers(argument, _response_header),
    "RESPONSE_TRAILER": lambda _argument: _constant(None),
    "STREAM_INFO_REQ": lambda argument: _headers(argument, _request_header),
    "TRAILER": lambda _argument: _constant(None),
    "UPSTREAM_METADATA": lambda argument: _metadata(f"UPSTREAM_HOST:{argument}"),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _without_port(_upstream_remote_address),
}
