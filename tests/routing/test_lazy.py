"""Routes that nobody calls cost next to nothing: they are compiled, and get a chain, when first looked at."""

from __future__ import annotations

import random
import threading
import tracemalloc
from typing import Any

import pytest

from ambassador_lib.handlers.route import Ways
from ambassador_lib.policy.model import Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost
from ambassador_lib.routing import compiled
from ambassador_lib.routing.compiled import CompiledRoute
from ambassador_lib.routing.table import RouteTable
from ambassador_lib.runtime.clock import SystemClock

MOST_BYTES = 460
"""What one more route may cost beside its policy: 0.45 KB."""


def table(count: int) -> RouteTable:
    routes = tuple(
        Route(match=RouteMatch(prefix=f"/service-{number}/"), route=RouteAction(cluster="c", timeout=float(number)))
        for number in range(count)
    )
    config = RouteConfiguration(virtual_hosts=(VirtualHost(name="v", domains=("*",), routes=routes),))
    return RouteTable(config, runtime={}, random=random.Random(1), clock=SystemClock())


def test_a_route_is_compiled_by_the_first_look_at_it() -> None:
    """What follows from a route is there when asked for, and nothing of it before."""
    first, second = table(2).routes
    assert first.timeout is None  # 0 s is none
    assert second.timeout == 1.0
    assert type(first) is type(second) is CompiledRoute  # whose attributes are read without detours
    with pytest.raises(AttributeError, match="no attribute 'timeouts'"):
        second.timeouts  # noqa: B018


def test_nobody_sees_a_route_that_is_half_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one thread has begun to compile a route, another that asks for it is told all the same what it says."""
    route = Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster="c", max_grpc_timeout=5.0))
    config = RouteConfiguration(virtual_hosts=(VirtualHost(name="v", domains=("*",), routes=(route,)),))
    (latent,) = RouteTable(config, runtime={}, random=random.Random(1), clock=SystemClock()).routes
    inside, go_on = threading.Event(), threading.Event()
    whole = compiled._whole

    def slow(seconds: float | None) -> int:
        if threading.current_thread() is first:
            inside.set()
            go_on.wait(10)
        return whole(seconds)

    monkeypatch.setattr(compiled, "_whole", slow)
    first = threading.Thread(target=lambda: latent.timeout)
    first.start()
    assert inside.wait(10)
    seen = latent.timeout, latent.max_grpc_timeout
    go_on.set()
    first.join(10)
    assert seen == (latent.timeout, latent.max_grpc_timeout) == (15.0, (5000, 0))


def test_one_more_route_is_small() -> None:
    """A thousand routes cost a table less than 0.45 KB each until they are called."""
    table(10)
    tracemalloc.start()
    try:
        made = [table(10)]
        few = tracemalloc.get_traced_memory()[0]
        routes = table(1010).model.virtual_hosts[0].routes  # the policy's own, which are not the table's
        model = tracemalloc.get_traced_memory()[0] - few
        made.append(
            RouteTable(
                RouteConfiguration(virtual_hosts=(VirtualHost(name="v", domains=("*",), routes=routes),)),
                runtime={},
                random=random.Random(1),
                clock=SystemClock(),
            )
        )
        grown = tracemalloc.get_traced_memory()[0] - few - model
    finally:
        tracemalloc.stop()
    assert len(made[1].routes) == 1010
    assert grown / 1000 < MOST_BYTES


def test_a_chain_is_made_once_though_many_threads_ask() -> None:
    """Whoever comes first makes a route's chain, and all get that one."""
    (route,) = table(1).routes
    start = threading.Barrier(4)

    def make(_: Any) -> Any:
        start.wait(10)
        return object()

    ways, found = Ways(make), list[object]()
    threads = [threading.Thread(target=lambda: found.append(ways[route])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 4 and len(set(map(id, found))) == 1
