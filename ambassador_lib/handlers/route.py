"""Chooses the virtual host and the route; what follows from it is the router's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..call import Answer, Call, Next
from ..errors import LocalReply, NoRouteError

if TYPE_CHECKING:
    from ..routing.compiled import CompiledRoute
    from ..routing.table import RouteTable


@dataclass(frozen=True, slots=True)
class Routes:
    """A route table and each route's own chain."""

    table: RouteTable
    chains: Mapping[CompiledRoute, Next]


class ChooseRoute:
    """Listener -> virtual host -> route; goes on with that route's own chain. No route: 404 NR.

    `routes` may be exchanged at any time, by one assignment: a call reads it once.
    """

    routes: Routes

    def handle(self, call: Call, next: Next) -> Answer:
        routes = self.routes
        call.virtual_host, route = routes.table.find(call)
        if route is None:
            raise NoRouteError(
                f"no route of {call.report.listener or 'the policy'} matches {call.authority}{call.target}",
                reply=LocalReply(404, "", "NR", "route_not_found"),
            )
        call.route = route
        call.report.route = route.name or None
        return routes.chains[route](call)
