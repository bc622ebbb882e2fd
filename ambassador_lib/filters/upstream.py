"""The filters of a cluster, or of a router for clusters that have none: they run once a try, below the router.

Source: `HttpProtocolOptions.http_filters`, `Router.upstream_http_filters`; verified on Envoy 1.40. A cluster's filters,
be it the codec alone, take the place of the router's. All tries share the request's headers, so what a filter adds to
one is there for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import httpx

from .._httpx import make_headers
from ..call import Call
from ..policy.model import UpstreamCodec
from .base import FilterContext, Layer, Reply, Scope
from .chain import TableFilters
from .registry import make

if TYPE_CHECKING:
    from ..policy.model import HttpFilter

_KEPT = 1024
"""Routes whose layers are kept; routes that were exchanged are forgotten with all others beyond that."""


class UpstreamFilters:
    """The filters, each made once, and their layers by route and weighted cluster."""

    upstream: object = None

    def __init__(self, filters: Sequence[HttpFilter], context: FilterContext) -> None:
        self.filters = [
            (one, make(one.typed_config, context))
            for one in filters
            if one.typed_config is not None and not isinstance(one.typed_config, UpstreamCodec)
        ]
        self._layers: dict[tuple[object, int], list[Layer]] = {}

    def request(self, call: Call) -> None:
        """Change what the try will send, in the filters' order."""
        for layer in self._of(call):
            change: Callable[[Call], None] | None = layer.change
            if change is not None:
                change(call)

    def respond(self, call: Call, response: httpx.Response) -> None:
        """Change what has come, in the opposite order; retries look at what is left."""
        headers = response.headers.raw
        before = headers.copy()
        reply = Reply(response.status_code, headers, response)
        for layer in reversed(self._of(call)):
            if layer.respond is not None:
                layer.respond(call, reply)
        if headers != before:
            response.headers = make_headers(headers)

    def _of(self, call: Call) -> list[Layer]:
        weight = None if call.choice is None else call.choice.weight
        key = call.route, id(weight)
        layers = self._layers.get(key)
        if layers is None:
            if len(self._layers) >= _KEPT:
                self._layers.clear()
            table = TableFilters(self, call.listener.http_connection_manager.route_config)
            layers = self._layers[key] = table.layers(Scope(call.route, weight))
        return layers
