"""The order of the layers, in one place; and a policy at work: its stacks, its clusters and what claims a URL.

A request travels `listener_chain` top to bottom, then its route's chain, then its cluster's. Layers that a policy does
not use are not in the stack.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from ._httpx import origin_of
from .call import Call, Deadline, Handler, Next
from .discovery import Discovery
from .discovery import start as start_discovery
from .engine.base import Engine
from .engine.tls import TlsSettings
from .errors import NotReadyError
from .handlers.admit import Admit
from .handlers.attempt import SendAttempt
from .handlers.balance import Balance
from .handlers.limits import CircuitBreakers
from .handlers.local_reply import LocalReplies
from .handlers.observe import Observe
from .handlers.retry import Retry
from .handlers.rewrite import EndpointRewrite
from .handlers.route import ChooseRoute
from .handlers.router import Router
from .handlers.timeout import RouteTimeout
from .policy.model import (
    Address,
    Cluster,
    HttpConnectionManager,
    Listener,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    SocketAddress,
    UpstreamTlsContext,
    VirtualHost,
)
from .routing.retry_rules import compile_rules
from .routing.table import RouteTable
from .runtime.control import ControlThread, Watch
from .runtime.periodic import repeat
from .telemetry.tracing import Tracing
from .upstream.upstream import Upstream

if TYPE_CHECKING:
    from .options import Options
    from .policy import Policy
    from .routing.compiled import CompiledRoute
    from .runtime.base import Runtime

DEFAULT_IDLE_TIMEOUT = 300.0
STORAGE_INTERVAL = 1.0
"""Seconds between two looks at a breaker's shared storage."""
_CACHED_URLS = 1024

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - addresses to compare with, nothing listens


@dataclass(frozen=True, slots=True)
class Entry:
    """A way into the stack: the listener (or virtual host, or bare cluster) that claims a URL.

    `rule` is the contract's: 1, the URL is a listener's address; 2, its host is a virtual host's or a cluster's name.
    """

    rule: int
    listener: Listener
    chain: Next

    def handle(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        """Carry one call out."""
        call.listener = self.listener
        call.report.listener = self.listener.name or None
        return self.chain(call)


@dataclass(frozen=True, slots=True)
class _Listener:
    """A listener's routes and the ways to them: `entry` by its address, the others by the name of a virtual host.

    A host that is claimed without its port (`by_host`) is that virtual host's whatever port the Host header carries.
    """

    table: RouteTable
    entry: Entry
    by_host: Entry

    @property
    def by_name(self) -> Entry:
        return Entry(2, self.entry.listener, self.entry.chain)


def compose(handlers: Sequence[Handler], last: Next) -> Next:
    """Bind the handlers, outermost first, around `last`; a call then only calls."""
    chain = last
    for handler in reversed(handlers):
        chain = _bind(handler, chain)
    return chain


def _bind(handler: Handler, next: Next) -> Next:
    handle = handler.handle

    def bound(call: Call) -> Coroutine[Any, Any, httpx.Response]:
        return handle(call, next)

    return bound


async def _end(_call: Call) -> httpx.Response:
    raise AssertionError("the innermost handler never goes on")


class Stack:
    """A policy at work over one runtime and one engine."""

    def __init__(self, policy: Policy, runtime: Runtime, engine: Engine, options: Options) -> None:
        self._policy = policy
        self._runtime = runtime
        self._engine = engine
        self._options = options
        self._tracing = Tracing(clock=options.clock, random=options.random)
        self._found: dict[tuple[str, str, int | None], Entry | None] = {}
        self.clusters: dict[str, Upstream] = {}
        self._discoveries: dict[str, Discovery] = {}
        self._watches: list[Watch] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        tls = {cluster.name: _tls_of(cluster) for cluster in self._policy.clusters}
        for cluster in self._policy.clusters:
            upstream = Upstream(
                cluster,
                clock=self._options.clock,
                random=self._options.random,
                breaker_listeners=self._options.breaker_listeners,
                breaker_storage=self._options.breaker_storage,
                health_checked=self._engine.dials,
            )
            self.clusters[cluster.name] = upstream
            self._discoveries[cluster.name] = start_discovery(
                upstream, clock=self._options.clock, random=self._options.random, dials=self._engine.dials
            )
            self._watches += watch_storage(upstream, self._options)
        self._chains = {name: self._cluster_chain(self.clusters[name], tls[name]) for name in self.clusters}
        self._cluster_rules = {
            cluster.name: compile_rules(cluster.http_protocol_options.retry_policy)
            for cluster in self._policy.clusters
            if cluster.http_protocol_options is not None and cluster.http_protocol_options.retry_policy is not None
        }
        self._listeners = [self._listener(listener, 1) for listener in self._policy.listeners]
        # A URL's host is in lower case whatever the application wrote.
        self._by_cluster_name = {name.lower(): self._listener(_bare(name), 2).entry for name in reversed(self.clusters)}

    # --- the order --------------------------------------------------------------------------------------------------

    def _listener(self, listener: Listener, rule: int) -> _Listener:
        manager = listener.http_connection_manager
        config = manager.route_config or RouteConfiguration()
        table = RouteTable(
            config,
            runtime=self._policy.runtime,
            random=self._options.random,
            suppress_envoy_headers=_suppressed(manager),
            clock=self._options.clock,
        )
        chains = {route: self._route_chain(route, listener) for route in table.routes}
        return _Listener(
            table,
            Entry(rule, listener, self._listener_chain(listener, ChooseRoute(table, chains))),
            Entry(2, listener, self._listener_chain(listener, ChooseRoute(table.ignoring_port(), chains))),
        )

    def _listener_chain(self, listener: Listener, choose_route: ChooseRoute) -> Next:
        manager = listener.http_connection_manager
        return compose(
            [
                # Outermost, so that whatever happens below is told and given back.
                Observe(self._runtime, self._tracing, as_response=self._options.as_response),
                # Above all that may refuse; below observe, which tells of the reply.
                LocalReplies(manager, self._options.clock, as_response=self._options.as_response),
                # Before routing: what the route may match on is settled here (control headers, path, host).
                Admit(listener, random=self._options.random, tracing=self._tracing),
                # Chooses only; goes on with the route's own chain. The policy's filters will stand between, and see
                # the original path.
                choose_route,
            ],
            _end,
        )

    def _route_chain(self, route: CompiledRoute, listener: Listener) -> Next:
        options, manager = self._options, listener.http_connection_manager
        idle = DEFAULT_IDLE_TIMEOUT if manager.stream_idle_timeout is None else manager.stream_idle_timeout
        idle = idle if route.idle_timeout is None else route.idle_timeout
        return compose(
            [
                # Below the filters, which see the original path; above the timeout, whose headers it consumes.
                Router(
                    route,
                    self.clusters,
                    runtime=self._runtime,
                    random=options.random,
                    as_response=options.as_response,
                    suppress_envoy_headers=_suppressed(manager),
                ),
                # Spans all tries and their back-off.
                RouteTimeout(
                    self._runtime,
                    timeout=route.timeout,
                    idle_timeout=idle or None,
                    body_limit=route.body_limit(listener.per_connection_buffer_limit_bytes),
                ),
                # Makes the tries: everything below runs once for each.
                Retry(
                    compile_rules(route.retry_policy),
                    self._cluster_rules,
                    runtime=self._runtime,
                    random=options.random,
                    idempotent_only=options.idempotent_only,
                    application=options.retry,
                ),
            ],
            self._to_cluster,
        )

    def _to_cluster(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        return self._chains[call.cluster.name](call)

    def _cluster_chain(self, upstream: Upstream, tls: TlsSettings | None) -> Next:
        cluster, engine, runtime = upstream.cluster, self._engine, self._runtime
        protocol = cluster.http_protocol_options.protocol if cluster.http_protocol_options is not None else "http1"
        engine.prepare(protocol)
        handlers: list[Handler] = []
        if upstream.breaker is not None:
            # Above the pick: an open breaker refuses at once, whatever the endpoints' health.
            # Imported here since pybreaker is slow to import, and few clusters have a breaker.
            from .handlers.breaker import Breaker

            handlers.append(Breaker(upstream.breaker, runtime))
        handlers += [
            # Above the limits: no host (UH) is told before overflow (UO).
            Balance(upstream, self._discoveries[cluster.name].gate, runtime),
            # Below the pick, on which it depends; above the limits, which count per destination.
            EndpointRewrite(cluster, tls, upstream.limits),
            # Right above the try: a place is held while bytes move and no longer.
            CircuitBreakers(upstream.limits, runtime, multiplexed=protocol == "http2", accounts=engine.dials),
            SendAttempt(upstream, engine, runtime, self._tracing),
        ]
        return compose(handlers, _end)

    # --- what claims a URL ------------------------------------------------------------------------------------------

    def find(self, url: httpx.URL) -> Entry | None:
        """Return the way in for a URL, `None` where nothing claims it (contract: which listener a URL belongs to)."""
        key = origin_of(url)
        try:
            return self._found[key]
        except KeyError:
            if len(self._found) >= _CACHED_URLS:
                self._found.clear()
            entry = self._found[key] = self._search(url)
            return entry

    def _search(self, url: httpx.URL) -> Entry | None:
        host = url.host.lower()
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
        for listener in self._listeners:
            if _listens(listener.entry.listener, host, port):
                return listener.entry
        names = (host,) if url.port is None else (f"{host}:{url.port}", host)
        for listener in self._listeners:
            for name in names:
                if listener.table.claims(name):
                    return listener.by_host if name is host else listener.by_name
        return next(filter(None, map(self._by_cluster_name.get, reversed(names))), None)

    # --- its life ---------------------------------------------------------------------------------------------------

    async def ready(self, timeout: float) -> None:
        """Wait for every cluster's first resolution and first health checks; `NotReadyError` after `timeout` s."""
        deadline = Deadline(self._runtime.now() + timeout)
        for name, discovery in self._discoveries.items():
            if discovery.gate.is_open:
                continue
            ticket = self._runtime.ticket()
            discovery.gate.add(ticket)
            try:
                if not await ticket.wait(deadline):
                    raise NotReadyError(f"cluster {name!r} was not ready within {timeout:g} s")
            finally:
                discovery.gate.discard(ticket)

    def close(self) -> None:
        """End discovery and health checks; the engine is closed by who owns it."""
        for watch in self._watches:
            watch.cancel(0)
        for discovery in self._discoveries.values():
            discovery.stop()


def watch_storage(upstream: Upstream, options: Options) -> list[Watch]:
    """Keep a breaker in step with the storage it shares; each access may be I/O, so the control thread does it."""
    breaker = upstream.breaker
    if breaker is None or not breaker.shares_storage:
        return []

    async def keep_in_step() -> None:
        await repeat(breaker.sync_storage, STORAGE_INTERVAL, options.clock)

    name = f"{upstream.name} breaker storage"
    return [ControlThread.shared().watch(keep_in_step, name=name, clock=options.clock, random=options.random)]


def _listens(listener: Listener, host: str, port: int | None) -> bool:
    """Contract, rule 1: a wildcard or loopback listener answers to every loopback name on its port."""
    address = listener.address.socket_address
    if address is None or address.port_value != port:
        return False
    if address.address in _ANY or address.address in LOOPBACK or address.address.startswith("127."):
        return host in LOOPBACK or host == address.address
    return host == address.address


def _bare(cluster: str) -> Listener:
    """Contract, rule 2: a bare cluster name gets Envoy's defaults, 15 s and no retries."""
    route = Route(match=RouteMatch(prefix=""), route=RouteAction(cluster=cluster))
    config = RouteConfiguration(virtual_hosts=(VirtualHost(name=cluster, domains=("*",), routes=(route,)),))
    manager = HttpConnectionManager(stat_prefix=cluster, route_config=config)
    address = Address(socket_address=SocketAddress(address=cluster))
    return Listener(name="", address=address, http_connection_manager=manager)


def _suppressed(manager: HttpConnectionManager) -> bool:
    router = manager.http_filters[-1].typed_config if manager.http_filters else None
    return bool(router is not None and router.suppress_envoy_headers)


def _tls_of(cluster: Cluster) -> TlsSettings | None:
    socket = cluster.transport_socket
    if socket is None or not isinstance(socket.typed_config, UpstreamTlsContext):
        return None
    protocol = cluster.http_protocol_options.protocol if cluster.http_protocol_options is not None else "http1"
    return TlsSettings.build(socket.typed_config, protocol=protocol)
