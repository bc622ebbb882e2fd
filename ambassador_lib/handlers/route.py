"""Chooses the virtual host, the route and its cluster; what follows from it is the router's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ..call import Answer, Call, Next
from ..errors import LocalReply, NoRouteError, Redirected
from ..routing.redirects import Redirection

if TYPE_CHECKING:
    from ..policy.model import Tracing
    from ..routing.compiled import CompiledRoute
    from ..routing.table import RouteTable
    from ..runtime.base import Random
    from ..upstream.upstream import Upstream


class Chains(dict["CompiledRoute", Next]):
    """Each route's own chain, made with its first call: a policy may have a thousand that nobody calls."""

    def __init__(self, make: Callable[[CompiledRoute], Next]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, route: CompiledRoute) -> Next:
        return self.setdefault(route, self._make(route))  # of two threads, the first one's counts


@dataclass(frozen=True, slots=True)
class Routes:
    """A route table and each route's own chain."""

    table: RouteTable
    chains: Mapping[CompiledRoute, Next]


class ChooseRoute:
    """Listener -> virtual host -> route -> cluster; goes on with that route's own chain, or with `unrouted`.

    `routes` may be exchanged at any time, by one assignment: a call reads it once.
    """

    routes: Routes

    def __init__(self, clusters: Mapping[str, Upstream], unrouted: Next, *, random: Random) -> None:
        self._clusters = clusters
        self._unrouted = unrouted
        self._random = random

    def handle(self, call: Call, next: Next) -> Answer:
        routes = self.routes
        call.virtual_host, route = routes.table.find(call)
        if route is None:
            return self._unrouted(call)
        if route.redirects is not None:
            return self._follow_redirects(call, route, routes)
        return self._go(call, route, routes)

    def sampling(self, call: Call) -> Tracing | None:
        """Return what the call's route has to say of tracing, before the route is chosen."""
        table = self.routes.table
        if not table.has_tracing:
            return None
        _, route = table.find(call)
        return None if route is None else route.tracing

    async def _follow_redirects(self, call: Call, route: CompiledRoute, routes: Routes) -> httpx.Response:
        """Choose again, among the same routes, as often as an answer sends the call elsewhere."""
        call.redirection = Redirection(call.scheme)
        call.find_route = routes.table.find
        while True:
            try:
                return await self._go(call, route, routes)
            except Redirected:
                route = call.route
                call.start_again()

    def _go(self, call: Call, route: CompiledRoute, routes: Routes) -> Answer:
        call.route = route
        report = call.report
        report.route = route.name or None
        # Once a call and before the filters: they may be set by weighted cluster, and change what it hangs on.
        choice = call.choice = route.pick_cluster(call, self._random)
        if choice is not None:
            cluster = call.cluster = self._clusters.get(choice.cluster)
            if cluster is not None:
                report.cluster = cluster.name
        return routes.chains[route](call)


async def route_not_found(call: Call) -> httpx.Response:
    """Answer a call that no route claims: 404 NR, and only after the filters."""
    raise NoRouteError(
        f"no route of {call.report.listener or 'the policy'} matches {call.authority}{call.target}",
        reply=LocalReply(404, "", "NR", "route_not_found"),
    )
