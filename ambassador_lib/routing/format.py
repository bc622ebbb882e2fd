"""Header values with command operators (`%REQ(x)%`), compiled to a function of the call.

What is unknown renders empty (semantics 1.6), other than in the access log. `algorithms/header_format.py` parses.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from ..algorithms.header_format import Operator, parse
from ..call import Call, Header
from .match import REQUEST_LINE, query_parameter

if TYPE_CHECKING:
    from ..runtime.base import Clock

Render = Callable[[Call, int, Sequence[Header]], bytes]
"""Renders for a call; the response's status and headers are `0` and `()` while the request is on its way."""

LOOPBACK = "127.0.0.1"
"""Whom Envoy would see calling: an application on the same machine."""

_FRACTION = re.compile(r"%([1-9])?f")


def compile_value(value: str, clock: Clock) -> bytes | Render:
    """Compile a header value: bytes if it holds no operator, else a function."""
    parts = [part.encode() if isinstance(part, str) else _operator(part, clock) for part in parse(value)]
    if all(isinstance(part, bytes) for part in parts):
        return b"".join(part for part in parts if isinstance(part, bytes))
    renders = [_constant(part) if isinstance(part, bytes) else part for part in parts]
    if len(renders) == 1:
        return renders[0]
    return lambda call, status, response: b"".join([render(call, status, response) for render in renders])


def _constant(text: bytes) -> Render:
    return lambda _call, _status, _response: text


def _operator(operator: Operator, clock: Clock) -> Render:
    render = _render(operator, clock)
    length = operator.length
    if length is None:
        return render
    return lambda call, status, response: render(call, status, response)[:length]


def _render(operator: Operator, clock: Clock) -> Render:
    if operator.name == "START_TIME":
        return _start_time(operator.argument or "", clock)
    with_argument = _WITH_ARGUMENT.get(operator.name)
    return _OF_CALL[operator.name] if with_argument is None else with_argument(operator)


# Headers.

Get = Callable[[Call, int, Sequence[Header]], bytes | None]
"""The value of a header, `None` if it is not there."""


def _first(getters: tuple[Get, ...]) -> Render:
    """Render the first header that is there, even if it is empty."""

    def render(call: Call, status: int, response: Sequence[Header]) -> bytes:
        for get in getters:
            value = get(call, status, response)
            if value is not None:
                return value
        return b""

    return render


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

    def get(_call: Call, _status: int, response: Sequence[Header]) -> bytes | None:
        return next((value for header, value in response if header.lower() == key), None)

    return get


# What the call knows.


def _response_code(call: Call, status: int, _response: Sequence[Header]) -> bytes:
    # Envoy's local replies are mutated before their code is on record, and render 0.
    return b"%d" % status if call.attempt.status is not None else b"0"


def _response_flags(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
    return ",".join(call.report.flags).encode() or b"-"


def _response_code_details(call: Call, status: int, _response: Sequence[Header]) -> bytes:
    details = call.report.details
    if not details and status and call.attempt.status is not None:
        details = "via_upstream"
    return details.replace(" ", "_").encode()


def _upstream_host(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
    attempts = call.report.attempts
    return (attempts[-1].endpoint or "").encode() if attempts else b""


def _cluster(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
    return (call.report.cluster or "").encode()


def _route_name(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
    return (call.report.route or "").encode()


def _attempt_count(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
    return b"%d" % max(1, len(call.report.attempts))


def _request_id(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
    return call.header(b"x-request-id") or b""


def _trusted_address(call: Call) -> bytes:
    """The caller's address: without `use_remote_address` the last one that `x-forwarded-for` brings (semantics 1.2)."""
    listener = call.listener
    if listener is not None and not listener.http_connection_manager.use_remote_address:
        last = (call.header(b"x-forwarded-for") or b"").rpartition(b",")[2].strip()
        if last:
            return last
    return LOOPBACK.encode()


_OF_CALL: dict[str, Render] = {
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _constant(f"{LOOPBACK}:0".encode()),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _constant(LOOPBACK.encode()),
    "DOWNSTREAM_REMOTE_ADDRESS": lambda call, _status, _response: _trusted_address(call) + b":0",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda call, _status, _response: _trusted_address(call),
    "PROTOCOL": _constant(b"HTTP/1.1"),
    "RESPONSE_CODE": _response_code,
    "RESPONSE_CODE_DETAILS": _response_code_details,
    "RESPONSE_FLAGS": _response_flags,
    "ROUTE_NAME": _route_name,
    "STREAM_ID": _request_id,
    "UPSTREAM_CLUSTER": _cluster,
    "UPSTREAM_CLUSTER_RAW": _cluster,
    "UPSTREAM_HOST": _upstream_host,
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _attempt_count,
}


def _path(argument: str) -> Render:
    """`PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)`: the path before a rewrite, after it, or the former if there is one."""
    query, _, which = argument.partition(":")

    def render(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
        path = b"" if which == "PATH" else call.header(b"x-envoy-original-path") or b""
        if not path and which != "ORIG":
            path = call.target.encode("latin-1")
        return path.partition(b"?")[0] if query == "NQ" else path

    return render


def _start_time(layout: str, clock: Clock) -> Render:
    """`START_TIME(layout)`: strftime plus `%s` and fractions `%3f`; ISO with milliseconds unless given."""
    layout = layout or "%Y-%m-%dT%H:%M:%S.%3fZ"

    def render(call: Call, _status: int, _response: Sequence[Header]) -> bytes:
        started = clock.time() - (clock.monotonic() - call.started)
        seconds, nanoseconds = divmod(round(started * 1e9), 10**9)
        digits = f"{nanoseconds:09d}"
        text = _FRACTION.sub(lambda found: digits[: int(found.group(1) or 9)], layout).replace("%s", str(seconds))
        return datetime.fromtimestamp(seconds, UTC).strftime(text).encode()

    return render


def _query_parameter(name: str) -> Render:
    return lambda call, _status, _response: unquote_to_bytes(query_parameter(call.target, name) or "")


_WITH_ARGUMENT: dict[str, Callable[[Operator], Render]] = {
    # Environment and host name are taken once, when the policy is compiled, as Envoy does.
    "ENVIRONMENT": lambda operator: _constant(os.environ.get(operator.argument or "", "-").encode()),
    "HOSTNAME": lambda _operator: _constant(socket.gethostname().encode()),
    "PATH": lambda operator: _path(operator.argument or ""),
    "QUERY_PARAM": lambda operator: _query_parameter(operator.argument or ""),
    "REQ": lambda operator: _first(tuple(map(_request_header, operator.alternatives()))),
    "RESP": lambda operator: _first(tuple(map(_response_header, operator.alternatives()))),
}
