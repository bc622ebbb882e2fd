"""A route table: authority -> virtual host -> first route that matches."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from .._native import mypyc_attr
from ..policy.model.route import Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost
from .compiled import CompiledRoute, CompiledVirtualHost, Settings
from .domains import Domains
from .match import only_prefix
from .normalize import without_port
from .path_index import PathIndex
from .respond import TlsRedirect, forwarded_proto

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..call import Call
    from ..runtime.base import Clock, Random
    from .local_reply import LocalReplyRewrite

SHADOW = "shadow"
_INDEX_FROM = 8
"""Routes from which on looking paths up beats trying one route after the other."""


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)  # it is copied; either alone forgets all
class RouteTable:
    """A `RouteConfiguration` compiled; immutable and without state, so any thread may ask it."""

    def __init__(
        self,
        config: RouteConfiguration,
        *,
        runtime: Mapping[str, Any],
        random: Random,
        suppress_envoy_headers: bool = False,
        replies: LocalReplyRewrite | None = None,
        clock: Clock,
    ) -> None:
        settings = Settings(
            config, runtime, random, clock, suppress_envoy_headers=suppress_envoy_headers, replies=replies
        )
        hosts = [_Host(CompiledVirtualHost(model, settings), settings) for model in config.virtual_hosts]
        self.model = config
        self.virtual_hosts = tuple(host.compiled for host in hosts)
        self._hosts = hosts
        self.has_tracing = any(route.tracing is not None for model in config.virtual_hosts for route in model.routes)
        self._ignore_port = config.ignore_port_in_host_matching
        self._host_header = config.vhost_header.lower().encode()
        self._domains: Domains[_Host] = Domains(
            (domain, host) for host, model in zip(hosts, config.virtual_hosts, strict=True) for domain in model.domains
        )
        self._only = None if self._host_header else self._domains.only

    @property
    def routes(self) -> tuple[CompiledRoute, ...]:
        """All routes that `find` can return, redirects to https included."""
        return tuple(route for host in self._hosts for route in host.all_routes())

    def find(self, call: Call) -> tuple[CompiledVirtualHost | None, CompiledRoute | None]:
        """Choose the virtual host by the call's authority, then its first route that matches."""
        host = self._only
        if host is None:
            host = self._domains.find(self._name(self._named(call).lower()))
            if host is None or (self._host_header and call.header(self._host_header) is None):
                return None, None
        if host.tls_redirect is not None and host.wants_tls(call):
            return host.compiled, host.tls_redirect
        if host.index is None:
            few = host.few
            if few is None:
                few = host.look_at_few()
            target = call.target
            for prefix, route in few:
                if route.matches(call) if prefix is None else target.startswith(prefix):
                    return host.compiled, route
            return host.compiled, None
        for route in host.index.candidates(call.target):
            if route.is_prefix_only or route.matches(call):
                return host.compiled, route
        return host.compiled, None

    def _named(self, call: Call) -> str:
        """Return the name that a virtual host is searched by; Envoy finds none where the header for it is missing."""
        if not self._host_header:
            return call.authority
        return (call.header(self._host_header) or b"").decode("latin-1")

    def ignoring_port(self) -> RouteTable:
        """Return the same table, but the port in an authority does not count (`ignore_port_in_host_matching`)."""
        twin = copy.copy(self)
        twin._ignore_port = True  # noqa: SLF001 - its own copy
        return twin

    def claims(self, name: str) -> bool:
        """Tell whether a domain other than a bare `*` matches `name`, a host or `host:port` in lower case."""
        return self._domains.find_named(self._name(name)) is not None

    def _name(self, authority: str) -> str:
        return without_port(authority) if self._ignore_port else authority

    def __repr__(self) -> str:
        count = sum(len(model.routes) for model in self.model.virtual_hosts)
        return f"<RouteTable {self.model.name!r}: {len(self.virtual_hosts)} virtual hosts, {count} routes>"


class _Host:
    """A virtual host as the table searches it."""

    __slots__ = ("_ignores", "compiled", "few", "index", "tls_redirect")

    def __init__(self, compiled: CompiledVirtualHost, settings: Settings) -> None:
        self.compiled = compiled
        self.index: PathIndex | None = None
        self.few: tuple[tuple[str | None, CompiledRoute], ...] | None = None
        """The routes where they are tried one after the other, each with the prefix that is all it asks for, if so;
        `None` until somebody calls the host."""
        routes = compiled.model.routes
        self._ignores = settings.config.ignore_path_parameters_in_path_matching
        if len(routes) >= _INDEX_FROM and not self._ignores:
            self.index = PathIndex(routes, compiled.route)
        self.tls_redirect: CompiledRoute | None = None
        if compiled.model.require_tls in ("ALL", "EXTERNAL_ONLY"):
            everything = Route(match=RouteMatch(prefix=""))
            self.tls_redirect = CompiledRoute(everything, compiled, settings, answer=TlsRedirect())

    def look_at_few(self) -> tuple[tuple[str | None, CompiledRoute], ...]:
        """Make `few`; two threads make the same."""
        ignores = self._ignores
        few = tuple((None if ignores else only_prefix(one.model.match), one) for one in self.compiled.routes)
        self.few = few
        return few

    def all_routes(self) -> tuple[CompiledRoute, ...]:
        routes = self.compiled.routes
        return routes if self.tls_redirect is None else (*routes, self.tls_redirect)

    def wants_tls(self, call: Call) -> bool:
        """Source: `VirtualHost.require_tls`; what counts is `x-forwarded-proto`, not the connection."""
        if forwarded_proto(call) == "https":
            return False
        return self.compiled.model.require_tls == "ALL" or not call.internal


def shadow_route(*, runtime: Mapping[str, Any], random: Random, clock: Clock) -> CompiledRoute:
    """Return the route of mirrored copies, which have none of their own: Envoy's defaults."""
    everything = Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=SHADOW))
    host = VirtualHost(name=SHADOW, domains=("*",), routes=(everything,))
    config = RouteConfiguration(virtual_hosts=(host,), validate_clusters=False)
    (route,) = RouteTable(config, runtime=runtime, random=random, clock=clock).routes
    return route
