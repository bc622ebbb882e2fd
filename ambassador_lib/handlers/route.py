"""Chooses the virtual host, the route and its cluster; what follows from it is the router's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

import httpx

from ..call import Answer, Call, Handler, Next
from ..errors import AmbassadorError, LocalReply, NoRouteError, Redirected
from ..routing.redirects import Redirection

if TYPE_CHECKING:
    from ..policy.model import Tracing
    from ..routing.compiled import CompiledRoute
    from ..routing.table import RouteTable
    from ..runtime.base import Random
    from ..upstream.serving import Serving
    from ..upstream.upstream import Upstream


class Halves(Handler, Protocol):
    """A layer whose `handle` does nothing but this in turn: whoever does it himself saves a coroutine."""

    def request(self, call: Call) -> None:
        """Do what is done on the way down."""

    def failed(self, call: Call, error: AmbassadorError) -> None:
        """Look at an error of the way down, or of what is below."""

    def response(self, call: Call, response: httpx.Response) -> None:
        """Do what is done on the way back."""


class Way:
    """What comes after the choice of a route: a chain and, where nothing stands between the two, the layer above it
    apart, so that whoever chooses can run its halves without a coroutine of its own."""

    __slots__ = ("above", "chain")

    def __init__(self, chain: Next, above: Halves | None = None) -> None:
        self.chain = chain
        self.above = above

    def go(self, call: Call) -> Answer:
        """Go that way."""
        return self.chain(call) if self.above is None else self.above.handle(call, self.chain)


class Ways(dict["CompiledRoute", Way]):
    """Each route's own way, made with its first call: a policy may have a thousand that nobody calls."""

    def __init__(self, make: Callable[[CompiledRoute], Way]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, route: CompiledRoute) -> Way:
        return self.setdefault(route, self._make(route))  # of two threads, the first one's counts


class Routes:
    """A route table and each route's own way; never changed."""

    __slots__ = ("table", "ways")

    def __init__(self, table: RouteTable, ways: Mapping[CompiledRoute, Way]) -> None:
        self.table = table
        self.ways = ways


class ChooseRoute:
    """Listener -> virtual host -> route -> cluster; goes on with that route's own way, or with `unrouted`.

    `routes` may be exchanged at any time, by one assignment: a call reads it once.
    """

    routes: Routes

    def __init__(self, clusters: dict[str, Upstream], unrouted: Way, *, random: Random) -> None:
        self._clusters = clusters
        self._unrouted = unrouted
        self._random = random

    def handle(self, call: Call, next: Next) -> Answer:
        return self.way_of(call).go(call)

    def way_of(self, call: Call) -> Way:
        """Choose the route and the cluster, and return the way there."""
        routes = self.routes
        call.virtual_host, route = routes.table.find(call)
        if route is None:
            return self._unrouted
        if route.redirects is not None:
            return Way(partial(self._follow_redirects, route=route, routes=routes))
        return self._take(call, route, routes)

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
                return await self._take(call, route, routes).go(call)
            except Redirected:
                route = call.route
                call.start_again()

    def _take(self, call: Call, route: CompiledRoute, routes: Routes) -> Way:
        call.route = route
        report = call.report
        report.route = route.name or None
        # Once a call and before the filters: they may be set by weighted cluster, and change what it hangs on.
        choice = route.choice
        if choice is None:
            choice = route.pick_cluster(call, self._random)
        call.choice = choice
        if choice is not None:
            cluster: Serving | None = self._clusters.get(choice.cluster)
            call.cluster = cluster
            if cluster is not None:
                report.cluster = cluster.name
        return routes.ways[route]


async def route_not_found(call: Call) -> httpx.Response:
    """Answer a call that no route claims: 404 NR, and only after the filters."""
    raise NoRouteError(
        f"no route of {call.report.listener or 'the policy'} matches {call.authority}{call.target}",
        reply=LocalReply(404, "", "NR", "route_not_found"),
    )
