"""Chooses the virtual host and the route; what follows from it is the router's business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..call import Answer, Call, Next
from ..errors import LocalReply, NoRouteError

if TYPE_CHECKING:
    from ..routing.compiled import CompiledRoute
    from ..routing.table import RouteTable


class ChooseRoute:
    """Listener -> virtual host -> route; goes on with that route's own chain. No route: 404 NR."""

    def __init__(self, table: RouteTable, chains: Mapping[CompiledRoute, Next]) -> None:
        self._table = table
        self._chains = chains

    def handle(self, call: Call, next: Next) -> Answer:
        call.virtual_host, route = self._table.find(call)
        if route is None:
            raise NoRouteError(
                f"no route of {call.report.listener or 'the policy'} matches {call.authority}{call.target}",
                reply=LocalReply(404, "", "NR", "route_not_found"),
            )
        call.route = route
        call.report.route = route.name or None
        return self._chains[route](call)
