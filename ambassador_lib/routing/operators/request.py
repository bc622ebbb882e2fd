"""The request: its headers, path, query and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

import httpx

from ...call import Call, Header
from ..request_parts import REQUEST_LINE, query_parameter
from .base import Get, Value, constant, headers, size


def _request_header(name: str) -> Get:
    of_call = REQUEST_LINE.get(name)
    if of_call is not None:
        return lambda call, _status, _response: of_call(call)
    key = name.encode()
    return lambda call, _status, _response: call.header(key)


def _request_headers_bytes(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    line = sum(len(name) + len(REQUEST_LINE[name](call)) for name in (":authority", ":method", ":path", ":scheme"))
    return line + size(call.headers)


def _bytes_received(call: Call, _status: int, _response: Sequence[Header]) -> Value:
    recording = getattr(call.body, "recording", None)
    if recording is not None:
        return int(recording.size)
    return sum(map(len, call.body)) if isinstance(call.body, httpx.ByteStream) else 0


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


OF_CALL: dict[str, Get] = {
    "BYTES_RECEIVED": _bytes_received,
    "PROTOCOL": constant(b"HTTP/1.1"),
    "REQUESTED_SERVER_NAME": constant(None),
    "REQUEST_HEADERS_BYTES": _request_headers_bytes,
    "STREAM_ID": lambda call, _s, _r: call.header(b"x-request-id"),
}

WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    "PATH": _path,
    "QUERY_PARAM": _query_parameter,
    "QUERY_PARAMS": _query_parameters,
    "REQ": lambda argument: headers(argument, _request_header),
    "REQUEST_HEADER": lambda argument: headers(argument, _request_header),
    "STREAM_INFO_REQ": lambda argument: headers(argument, _request_header),
}
