"""The parts of a request that conditions, operators and hashes look at, as Envoy has them."""

from __future__ import annotations

from collections.abc import Callable

from ..call import Call
from .joined import REQUEST_HEADERS


def scheme_of(call: Call) -> str:
    """Return `:scheme` as Envoy has it: a valid `x-forwarded-proto` beats the listener's own scheme."""
    proto = (call.header(b"x-forwarded-proto") or b"").lower()
    return proto.decode() if proto in (b"http", b"https") else call.scheme


REQUEST_LINE: dict[str, Callable[[Call], bytes]] = {
    ":authority": lambda call: call.authority.encode("latin-1"),
    ":method": lambda call: call.method.encode(),
    ":path": lambda call: call.target.encode("latin-1"),
    ":scheme": lambda call: scheme_of(call).encode(),
    "host": lambda call: call.authority.encode("latin-1"),
}
"""Names that conditions and command operators use like headers."""


def call_values(name: str) -> Callable[[Call], list[bytes]]:
    """Return how to get all values of a request header."""
    of_call = REQUEST_LINE.get(name)
    if of_call is not None:
        return lambda call: [of_call(call)]
    key = name.encode()
    if key in REQUEST_HEADERS:

        def joined(call: Call) -> list[bytes]:
            values = [value for header, value in call.headers if header == key]
            return values if len(values) < 2 else [b",".join(filter(None, values))]

        return joined
    return lambda call: [value for header, value in call.headers if header == key]


def cookies_of(call: Call) -> dict[bytes, bytes]:
    """Return the call's cookies; the first of a name counts, and quotes around a value do not."""
    found: dict[bytes, bytes] = {}
    for name, line in call.headers:
        if name == b"cookie":
            for pair in line.split(b";"):
                key, mark, value = pair.strip().partition(b"=")
                if mark:
                    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
                        value = value[1:-1]
                    found.setdefault(key, value)
    return found


def query_parameter(target: str, name: str) -> str | None:
    """Return the first value of a query parameter as it was written, `None` if there is none."""
    for parameter in target.partition("?")[2].split("&"):
        key, _, value = parameter.partition("=")
        if key == name:
            return value
    return None
