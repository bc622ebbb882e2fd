"""The response: its headers, code, flags and gRPC status."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...algorithms.grpc_status import NAMES, grpc_status, is_grpc
from ...algorithms.natural import natural
from ...algorithms.response_flags import LONG_FLAGS
from ...call import Call, Header
from .base import Get, Value, constant, headers, size


def _response_header(name: str) -> Get:
    if name == ":status":
        return lambda _call, status, _response: b"%d" % status if status else None
    key = name.encode()

    def get(_call: Call, _status: int, response: Sequence[Header]) -> Value:
        return next((value for header, value in response if header.lower() == key), None)

    return get


def _response_headers_bytes(_call: Call, status: int, response: Sequence[Header]) -> Value:
    return len(":status") + 3 + size(response) if status else 0


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


OF_CALL: dict[str, Get] = {
    "BYTES_SENT": lambda call, _s, _r: call.bytes_sent,
    "CUSTOM_FLAGS": constant(b""),
    "GRPC_STATUS": _grpc_name,
    "GRPC_STATUS_NUMBER": _grpc_number,
    "LOCAL_REPLY_BODY": lambda call, _s, _r: call.local_body,
    "RESPONSE_CODE": response_code,
    "RESPONSE_FLAGS": _response_flags,
    "RESPONSE_FLAGS_LONG": _response_flags_long,
    "RESPONSE_HEADERS_BYTES": _response_headers_bytes,
    "RESPONSE_TRAILERS_BYTES": constant(0),
}

WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    "RESP": lambda argument: headers(argument, _response_header),
    "RESPONSE_CODE_DETAILS": _response_code_details,
    "RESPONSE_HEADER": lambda argument: headers(argument, _response_header),
    "RESPONSE_TRAILER": lambda _argument: constant(None),
    "TRAILER": lambda _argument: constant(None),
}
