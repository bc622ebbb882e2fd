"""The filters of one connection manager, and which of them do what on which route."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ..call import INFINITY, Answer, Call, Handler, Next
from ..policy.model import FilterConfig, HttpConnectionManager, HttpFilter, Router
from .base import Filter, FilterContext, Layer, Respond, Scope

if TYPE_CHECKING:
    from ..policy.model import RouteConfiguration
    from ..routing.compiled import CompiledRoute


class Chain(Protocol):
    """Filters, and what they were configured with."""

    filters: list[tuple[HttpFilter, Filter]]
    upstream: object
    """The router's own filters for clusters that have none."""


class FilterChain:
    """The filters, each made once; false if the router is the only one.

    `unrouted` are the layers for calls that no route claims, `unrouted_responds` what changes their responses.
    """

    def __init__(self, manager: HttpConnectionManager, context: FilterContext, idle_timeout: float | None) -> None:
        self.filters: list[tuple[HttpFilter, Filter]] = [
            (one, _made(one.typed_config, context))
            for one in manager.http_filters
            if one.typed_config is not None and not isinstance(one.typed_config, Router)
        ]
        self.upstream = _upstream(manager, context)
        layers = TableFilters(self, None).layers(Scope(idle_timeout=idle_timeout or INFINITY))
        self.unrouted = _handlers(layers)
        self.unrouted_responds = _responds(layers)

    def __bool__(self) -> bool:
        return bool(self.filters)


class TableFilters:
    """The filters under one route table, whose levels may set something for them; each setting is compiled once."""

    def __init__(self, chain: Chain, table: RouteConfiguration | None) -> None:
        self._filters = chain.filters
        self._upstream = chain.upstream
        self._table = table
        self._prepared: dict[tuple[int, int], Any] = {}

    def handlers(self, route: CompiledRoute, idle_timeout: float | None) -> dict[int, list[Handler]]:
        """Return the handlers for the calls of a route by the id of their weighted cluster, else that of `None`.

        Weighted clusters are told apart where one of them sets something. `idle_timeout` is the stream's in seconds.
        """
        weights = _weights(route)
        if not any(weight.typed_per_filter_config for weight in weights):
            weights = ()
        return {
            id(weight): self._handlers(Scope(route, weight, idle_timeout or INFINITY)) for weight in (None, *weights)
        }

    def layers(self, scope: Scope) -> list[Layer]:
        """Return what the filters do, in their order."""
        return [layer for index in range(len(self._filters)) for layer in self._of(index, scope)]

    def _handlers(self, scope: Scope) -> list[Handler]:
        below: list[Handler] = [] if self._upstream is None else [_TellUpstream(self._upstream)]
        if not self._filters:
            return below
        layers = self.layers(scope)
        return [_TellResponds(_responds(layers)), *_handlers(layers), *below]

    def _of(self, index: int, scope: Scope) -> Iterator[Layer]:
        """Yield the layer of one filter, none where it is off."""
        from ..policy.model.filters import PER_ROUTE  # 0.2 MB, for policies with filters

        http_filter, made = self._filters[index]
        kind = PER_ROUTE.get(type(http_filter.typed_config)) or ()
        disabled, settings = http_filter.disabled, []
        for level in self._levels(scope):
            given = level.typed_per_filter_config.get(http_filter.name)
            if given is None:
                continue
            disabled = isinstance(given, FilterConfig) and given.disabled
            config = given.config if isinstance(given, FilterConfig) else given
            if not disabled and isinstance(config, kind):
                key = id(level), index
                if key not in self._prepared:  # of two threads, one's counts: a setting may be a limit that is shared
                    self._prepared.setdefault(key, made.prepare(config))
                settings.append(self._prepared[key])
        if not disabled:
            yield made.layer(scope, settings)

    def _levels(self, scope: Scope) -> Iterable[Any]:
        """What may set something for filters, the least specific first (Envoy's own answers look nowhere)."""
        route = scope.route
        if route is None or all(model is not route.model for model in route.virtual_host.model.routes):
            return ()
        levels = (self._table, route.virtual_host.model, route.model, scope.weight)
        return [level for level in levels if level is not None]


class _TellResponds:
    """Tells the call what its response will pass on the way back."""

    def __init__(self, responds: tuple[Respond, ...]) -> None:
        self._responds = responds

    def handle(self, call: Call, next: Next) -> Answer:
        call.responds = self._responds
        call.is_clean = False  # filters may bring headers of any name
        return next(call)


class _TellUpstream:
    """Tells the call which filters its tries pass, unless the cluster has its own."""

    def __init__(self, filters: object) -> None:
        self._filters = filters

    def handle(self, call: Call, next: Next) -> Answer:
        call.upstream_filters = self._filters
        return next(call)


class _Handle:
    """A layer's way down as a handler."""

    def __init__(self, layer: Layer) -> None:
        assert layer.handle is not None
        self.handle = layer.handle


def _made(config: Any, context: FilterContext) -> Filter:
    from .registry import make  # with the messages of all filters

    return make(config, context)


def _upstream(manager: HttpConnectionManager, context: FilterContext) -> object:
    filters = manager.router.upstream_http_filters
    if not filters:
        return None
    from .upstream import UpstreamFilters  # stands on this module, and few policies have any

    return UpstreamFilters(filters, context)


def _handlers(layers: Iterable[Layer]) -> list[Handler]:
    return [_Handle(layer) for layer in layers if layer.handle is not None]


def _responds(layers: Iterable[Layer]) -> tuple[Respond, ...]:
    """Return what changes responses, the last filter first."""
    return tuple(layer.respond for layer in layers if layer.respond is not None)[::-1]


def _weights(route: CompiledRoute) -> tuple[Any, ...]:
    action = route.model.route
    return action.weighted_clusters.clusters if action is not None and action.weighted_clusters is not None else ()
