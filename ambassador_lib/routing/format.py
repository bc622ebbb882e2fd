"""Header values with command operators (`%REQ(x)%`), compiled to a function of the call.

What is unknown renders empty (semantics 1.6), other than in the access log. `algorithms/header_format.py` parses.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Protocol

from ..algorithms.header_format import Operator, parse
from ..call import Call, Header
from .match import query_parameter

Render = Callable[[Call, int, Sequence[Header]], bytes]
"""Renders for a call; the response's status and headers are `0` and `()` while the request is on its way."""

LOOPBACK = "127.0.0.1"
"""Whom Envoy would see calling: an application on the same machine."""

_FRACTION = re.compile(r"%([1-9])?f")


class WallClock(Protocol):
    """The part of the injected clock that START_TIME needs."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...


def compile_value(value: str, clock: WallClock = time) -> bytes | Render:
    """Compile a header value: bytes if it holds no operator, else a function."""
    parts = [part.encode() if isinstance(part, str) else _operator(part, clock) for part in parse(value)]
    if all(isinstance(part, bytes) for part in parts):
        return b"".join(part for part in parts if isinstance(part, bytes))
    renders = [_constant(part) if isinstance(part, bytes) else part for part in parts]
    if len(renders) == 1:
        return renders[0]
    return lambda call, status, response: b"".join([render(call, status, response) for render in renders])


def _constant(text: bytes) -> Render:
    return lambda call, status, response: text


def _operator(operator: Operator, clock: WallClock) -> Render:
    render = _render(operator, clock)
    length = operator.length
    if length is None:
        return render
    return lambda call, status, response: render(call, status, response)[:length]


def _render(operator: Operator, clock: WallClock) -> Render:
    name, argument = operator.name, operator.argument or ""
    if name == "REQ":
        return _first(tuple(map(_request_header, operator.alternatives())))
    if name == "RESP":
        return _first(tuple(map(_response_header, operator.alternatives())))
    if name == "START_TIME":
        return _start_time(argument, clock)
    if name == "PATH":
        return _path(argument)
    if name == "QUERY_PARAM":
        return lambda call, status, response: (query_parameter(call.target, argument) or "").encode("latin-1")
    if name == "ENVIRONMENT":
        return _constant(os.environ.get(argument, "").encode())
    if name == "HOSTNAME":
        return _constant(socket.gethostname().encode())
    return _OF_CALL[name]


# Headers.


def _first(getters: tuple[Render, ...]) -> Render:
    if len(getters) == 1:
        return getters[0]
    first, second = getters
    return lambda call, status, response: first(call, status, response) or second(call, status, response)


def _request_header(name: str) -> Render:
    if name == ":path":
        return lambda call, status, response: call.target.encode("latin-1")
    if name == ":method":
        return lambda call, status, response: call.method.encode()
    if name == ":scheme":
        return lambda call, status, response: call.scheme.encode()
    if name in (":authority", "host"):
        return lambda call, status, response: call.authority.encode("latin-1")
    key = name.encode()
    return lambda call, status, response: call.header(key) or b""


def _response_header(name: str) -> Render:
    if name == ":status":
        return lambda call, status, response: b"%d" % status if status else b""
    key = name.encode()

    def render(call: Call, status: int, response: Sequence[Header]) -> bytes:
        for header, value in response:
            if header.lower() == key:
                return value
        return b""

    return render


# What the call knows.


def _response_code(call: Call, status: int, response: Sequence[Header]) -> bytes:
    # Envoy's local replies are mutated before their code is on record, and render 0.
    return b"%d" % status if call.attempt.status is not None else b"0"


def _response_flags(call: Call, status: int, response: Sequence[Header]) -> bytes:
    return ",".join(call.report.flags).encode() or b"-"


def _response_code_details(call: Call, status: int, response: Sequence[Header]) -> bytes:
    details = call.report.details
    if not details and status and call.attempt.status is not None:
        details = "via_upstream"
    return details.replace(" ", "_").encode()


def _upstream_host(call: Call, status: int, response: Sequence[Header]) -> bytes:
    attempts = call.report.attempts
    return (attempts[-1].endpoint or "").encode() if attempts else b""


def _cluster(call: Call, status: int, response: Sequence[Header]) -> bytes:
    return (call.report.cluster or "").encode()


def _route_name(call: Call, status: int, response: Sequence[Header]) -> bytes:
    return (call.report.route or "").encode()


def _attempt_count(call: Call, status: int, response: Sequence[Header]) -> bytes:
    return b"%d" % max(1, len(call.report.attempts))


def _request_id(call: Call, status: int, response: Sequence[Header]) -> bytes:
    return call.header(b"x-request-id") or b""


_OF_CALL: dict[str, Render] = {
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _constant(f"{LOOPBACK}:0".encode()),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _constant(LOOPBACK.encode()),
    "DOWNSTREAM_REMOTE_ADDRESS": _constant(f"{LOOPBACK}:0".encode()),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _constant(LOOPBACK.encode()),
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

    def render(call: Call, status: int, response: Sequence[Header]) -> bytes:
        path = b"" if which == "PATH" else call.header(b"x-envoy-original-path") or b""
        if not path and which != "ORIG":
            path = call.target.encode("latin-1")
        return path.partition(b"?")[0] if query == "NQ" else path

    return render


def _start_time(layout: str, clock: WallClock) -> Render:
    """`START_TIME(layout)`: strftime plus `%s` and fractions `%3f`; ISO with milliseconds unless given."""
    layout = layout or "%Y-%m-%dT%H:%M:%S.%3fZ"

    def render(call: Call, status: int, response: Sequence[Header]) -> bytes:
        started = clock.time() - (clock.monotonic() - call.started)
        seconds, nanoseconds = divmod(round(started * 1e9), 10**9)
        digits = f"{nanoseconds:09d}"
        text = _FRACTION.sub(lambda found: digits[: int(found.group(1) or 9)], layout).replace("%s", str(seconds))
        return datetime.fromtimestamp(seconds, timezone.utc).strftime(text).encode()

    return render
