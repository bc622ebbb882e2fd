"""What the operators are made of: the type of a value, of a function of the call, and what several need."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...algorithms.header_format import Operator
from ...algorithms.natural import natural
from ...call import Call, Header

Value = bytes | int | float | Mapping[str, Any] | tuple[Any, ...] | None
"""`None`: not set. Numbers keep their type, so that JSON can show them as such."""

Get = Callable[[Call, int, Sequence[Header]], Value]
"""Of a call; the response's status and headers are `0` and `()` while the request is on its way."""


def constant(value: Value) -> Get:
    """Stand for the same value whatever the call."""
    return lambda _call, _status, _response: value


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


def headers(argument: str, of: Callable[[str], Get]) -> Get:
    """Stand for the first header that is there, of those that the argument names."""
    return _first(tuple(of(name) for name in Operator("", argument).alternatives()))


def size(headers: Sequence[Header]) -> int:
    """Bytes of all names and values."""
    return sum(len(name) + len(value) for name, value in headers)


def without_port(get: Get) -> Callable[[str], Get]:
    """Stand for addresses without their ports; the argument, where there is one, is the length of a network."""

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
