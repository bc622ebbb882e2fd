"""Routes that nobody calls cost next to nothing: they are compiled, and get a chain, when first looked at."""

from __future__ import annotations

import random
import threading
import tracemalloc

import pytest

from ambassador_lib.handlers.route import Way, Ways, route_not_found
from ambassador_lib.policy.model import Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost
from ambassador_lib.routing.compiled import CompiledRoute
from ambassador_lib.routing.table import RouteTable
from ambassador_lib.runtime.clock import SystemClock

from .calls import call_to

MOST_BYTES = 460
"""What one more route may cost beside its policy: 0.45 KB."""


def table(count: int) -> RouteTable:
    routes = tuple(
        Route(match=RouteMatch(prefix=f"/service-{number}/"), route=RouteAction(cluster="c", timeout=float(number)))
        for number in range(count)
    )
    config = RouteConfiguration(virtual_hosts=(VirtualHost(name="v", domains=("*",), routes=routes),))
    return RouteTable(config, runtime={}, random=random.Random(1), clock=SystemClock())


def compiled_routes(table: RouteTable) -> int:
    """How many routes a table has compiled."""
    return sum(len(host._made) for host in table.virtual_hosts)


@pytest.mark.parametrize("count", [2, 1000])
def test_a_route_is_compiled_by_the_first_call_that_it_may_be_for(count: int) -> None:
    """Nothing is made of routes before anybody calls, be they tried one after the other or looked up."""
    routes = table(count)
    assert compiled_routes(routes) == 0
    _, found = routes.find(call_to("/service-1/"))
    assert found is not None and found.timeout == 1.0
    assert compiled_routes(routes) == (2 if count == 2 else 1)
    assert routes.find(call_to("/service-1/"))[1] is found


def test_many_threads_get_the_same_routes() -> None:
    """Whoever comes first makes a virtual host's routes, and all get those."""
    routes, start, found = table(2), threading.Barrier(4), list[object]()

    def look() -> None:
        start.wait(10)
        found.append(routes.find(call_to("/service-1/"))[1])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 4 and set(found) == {routes.virtual_hosts[0].route(1)}


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
    assert len(made[1].virtual_hosts[0].model.routes) == 1010
    assert grown / 1000 < MOST_BYTES


def test_a_chain_is_made_once_though_many_threads_ask() -> None:
    """Whoever comes first makes a route's chain, and all get that one."""
    (route,) = table(1).routes
    start = threading.Barrier(4)

    def make(_: CompiledRoute) -> Way:
        start.wait(10)
        return Way(route_not_found)

    ways, found = Ways(make), list[object]()
    threads = [threading.Thread(target=lambda: found.append(ways[route])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 4 and len(set(map(id, found))) == 1
