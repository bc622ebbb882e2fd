"""Short ways to write calls and route tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ambassador_lib.call import Call
from ambassador_lib.policy.model.core import DataSource, HeaderValue, HeaderValueOption
from ambassador_lib.policy.model.route import (
    DirectResponseAction,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from ambassador_lib.routing.compiled import CompiledRoute
from ambassador_lib.routing.table import RouteTable
from ambassador_lib.testing import FakeClock, FakeRandom


class Dice:
    """Randomness that says what it is told to, and counts."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.throws = 0

    def random(self) -> float:
        return self.value / 2**64

    def getrandbits(self, k: int, /) -> int:
        self.throws += 1
        return self.value


def call_to(
    target: str = "/",
    *,
    host: str = "svc.test",
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    scheme: str = "http",
) -> Call:
    """A call as it is when routing begins."""
    call = Call(httpx.Request(method, "http://svc.test/"), 0.0)
    call.target = target
    call.authority = host
    call.scheme = scheme
    call.headers = [(name.encode(), value.encode()) for name, value in headers]
    return call


def route(name: str = "", *, match: RouteMatch | None = None, **fields: Any) -> Route:
    """A route; it matches everything and forwards to cluster `a` unless told otherwise."""
    if not {"route", "redirect", "direct_response", "non_forwarding_action"} & fields.keys():
        fields["route"] = RouteAction(cluster="a")
    return Route(name=name, match=match or RouteMatch(prefix="/"), **fields)


def direct(status: int, body: str | None = None, **fields: Any) -> Route:
    source = None if body is None else DataSource(inline_string=body)
    return route(direct_response=DirectResponseAction(status=status, body=source), **fields)


def virtual_host(*routes: Route, name: str = "v", domains: Sequence[str] = ("*",), **fields: Any) -> VirtualHost:
    return VirtualHost(name=name, domains=tuple(domains), routes=routes, **fields)


def table(
    *hosts: VirtualHost,
    runtime: Mapping[str, Any] | None = None,
    random: Any = None,
    suppress_envoy_headers: bool = False,
    **fields: Any,
) -> RouteTable:
    return RouteTable(
        RouteConfiguration(virtual_hosts=hosts, **fields),
        runtime=runtime or {},
        random=random or FakeRandom(),
        clock=FakeClock(),
        suppress_envoy_headers=suppress_envoy_headers,
    )


def compiled(one: Route, **fields: Any) -> CompiledRoute:
    """The one route of a table."""
    return table(virtual_host(one), **fields).routes[0]


def add(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD", **fields: Any) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=action, **fields)


def values(headers: Sequence[tuple[bytes, bytes]], name: str) -> list[str]:
    return [value.decode() for key, value in headers if key == name.encode()]


def name_of(routes: RouteTable, call: Call) -> str | None:
    """The name of the route that the table finds."""
    found = routes.find(call)[1]
    return None if found is None else found.name
