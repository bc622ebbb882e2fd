"""The order of the layers, in one place; and a policy at work: its stacks, its clusters and what claims a URL.

A request travels its listener's chain top to bottom, then its route's chain, then its cluster's. Layers that a policy
does not use are not in the stack.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from .call import Answer, Call, Handler, Next
from .claims import NOBODY, Claims, Entry, bare_cluster
from .discovered import Discovered, follow_routes
from .discovery import Discovery
from .discovery import start as start_discovery
from .discovery.files import FileWatcher
from .discovery.secrets import SecretStore
from .discovery.subscription import Subscriptions
from .engine.base import Engine
from .engine.transport_sockets import TransportSockets
from .errors import LocalReply, NoRouteError, no_healthy_upstream
from .filters.base import FilterContext
from .filters.chain import FilterChain, TableFilters
from .handlers.admit import Admit
from .handlers.attempt import SendAttempt
from .handlers.balance import Balance
from .handlers.filter_replies import FilterReplies
from .handlers.hedge import Hedge
from .handlers.limits import CircuitBreakers
from .handlers.local_reply import LocalReplies
from .handlers.mirror import MirrorRequests, Shadows
from .handlers.observe import Observe
from .handlers.redirect import InternalRedirect
from .handlers.retry import Retry
from .handlers.rewrite import EndpointRewrite
from .handlers.route import ChooseRoute, route_not_found
from .handlers.router import Router
from .handlers.stream_timeouts import StreamTimeouts
from .handlers.timeout import RouteTimeout
from .live import ClusterAtWork, ListenerAtWork, LiveClusters, LiveListeners
from .policy.model import (
    Cluster,
    HttpConnectionManager,
    Listener,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from .routing.hash_policy import SessionCookie, compile_hash_policy
from .routing.local_reply import LocalReplyRewrite
from .routing.log_filters import LogFilters
from .routing.mirrors import compile_mirrors
from .routing.response_match import compile_predicate
from .routing.retry_rules import compile_rules
from .routing.table import RouteTable
from .runtime.control import ControlThread, Watch
from .runtime.gate import Gate
from .runtime.periodic import repeat
from .telemetry.tracing import Tracing
from .upstream.aggregate import Aggregate
from .upstream.upstream import Upstream

if TYPE_CHECKING:
    from .filters.upstream import UpstreamFilters
    from .options import Options
    from .policy import Policy
    from .routing.compiled import CompiledRoute
    from .routing.hash_policy import HashOf
    from .routing.response_match import ResponseMatch
    from .routing.retry_rules import RetryRules
    from .runtime.base import Random, Runtime
    from .telemetry.access_log import AccessLogs

DEFAULT_IDLE_TIMEOUT = 300.0
MOST_COPIES = 256
"""Mirrored copies under way at once, in a client; more are dropped. A blocking client has a thread for each."""
MOST_RACERS = 1024
"""Hedged tries under way at once, in a client; beyond that calls are not hedged."""
SHADOW = "shadow"
STORAGE_INTERVAL = 1.0
"""Seconds between two looks at a breaker's shared storage."""


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


async def _no_route(call: Call) -> httpx.Response:
    raise NoRouteError(
        f"no listener, virtual host or cluster of the policy claims {call.request.url}",
        reply=LocalReply(404, "", "NR", "route_not_found"),
    )


async def _end(_call: Call) -> httpx.Response:
    raise AssertionError("the innermost handler never goes on")


class Stack:
    """A policy at work over one runtime and one engine; what it consists of is in `live`."""

    def __init__(self, policy: Policy, runtime: Runtime, engine: Engine, options: Options) -> None:
        self._policy = policy
        self._runtime = runtime
        self._engine = engine
        self._options = options
        self._tracing = Tracing(clock=options.clock, random=options.random)
        self._log_filters = LogFilters(policy.runtime, options.random, options.clock)
        self._logs: dict[int, AccessLogs] = {}
        self.files = FileWatcher(clock=options.clock, random=options.random)
        self.subscriptions = Subscriptions(self.files)
        self.secrets = SecretStore(policy.secrets, self.subscriptions, self.files)
        self._live = LiveClusters(self._start_cluster)
        self._copies = runtime.background(MOST_COPIES, "ambassador_lib-mirror")
        self._racers = runtime.background(MOST_RACERS, "ambassador_lib-hedge")
        self.clusters = self._live.upstreams
        self._has_started = False
        self._shadows = self._make_shadows()
        self._listeners = LiveListeners(partial(self._start_listener, rule=1))
        self._bare: dict[str, ListenerAtWork] = {}
        self.nobody = Entry(0, NOBODY, compose(self._outermost(NOBODY.http_connection_manager), _no_route))
        self.find: Callable[[httpx.URL], Entry | None] = Claims((), {}).find
        """Finds the way in for a URL; exchanged whenever what claims URLs changes."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Begin, in Envoy's order: what is written down does not know what is discovered."""
        discovered = Discovered(self._policy, self.subscriptions, self._live, self._listeners)
        for cluster in self._policy.clusters:
            self._live.put(cluster, at_once=True)
        discovered.start_clusters()
        for listener in self._policy.listeners:
            self._listeners.add(listener)
        discovered.start_listeners()
        self._live.warm_up_aggregates()
        self._claim()
        self._live.on_names = self._listeners.on_change = self._claim
        self._has_started = True

    def _claim(self) -> None:
        """Let new calls find what there is now."""
        self._bare = {
            name: self._bare.get(name) or self._start_listener(bare_cluster(name), 2) for name in self.clusters
        }
        # A URL's host is in lower case whatever the application wrote.
        bare = {name.lower(): self._bare[name].entries.entry for name in reversed(self._bare)}
        self.find = Claims([listener.entries for listener in self._listeners], bare).find

    def _start_cluster(self, cluster: Cluster) -> ClusterAtWork:
        options = self._options
        if cluster.aggregate is not None:
            return self._start_aggregate(cluster)
        sockets = TransportSockets.of(cluster, self.secrets)
        upstream = Upstream(
            cluster,
            clock=options.clock,
            random=options.random,
            breaker_listeners=options.breaker_listeners,
            breaker_storage=options.breaker_storage,
            health_checked=self._engine.dials,
            runtime=self._policy.runtime,
        )
        discovery = start_discovery(
            upstream,
            clock=options.clock,
            random=options.random,
            dials=self._engine.dials,
            sockets=sockets,
            subscriptions=self.subscriptions,
        )
        chain, below = self._cluster_chain(upstream, discovery.gate, sockets)
        return ClusterAtWork(
            upstream, discovery, chain, below, self._rules_of(cluster), watch_storage(upstream, options)
        )

    def _start_aggregate(self, cluster: Cluster) -> ClusterAtWork:
        options, gate = self._options, Gate()
        upstream = Aggregate(
            cluster,
            self.clusters.get,
            clock=options.clock,
            random=options.random,
            runtime=self._policy.runtime,
        )
        if self._has_started:
            gate.open()  # there is nothing of its own to wait for
        hash_of = _hash_of(cluster, options.random)
        chain = compose([Balance(upstream, gate, self._runtime, hash_of=hash_of)], self._to_member)
        return ClusterAtWork(upstream, Discovery(gate), chain, self._to_member, self._rules_of(cluster))

    def _rules_of(self, cluster: Cluster) -> RetryRules | None:
        """Return the cluster's own retry policy, which beats the route's."""
        options = cluster.http_protocol_options
        own = options.retry_policy if options is not None else None
        return None if own is None else compile_rules(own, self._policy.runtime)

    def _start_listener(self, listener: Listener, rule: int) -> ListenerAtWork:
        options = self._options
        manager = listener.http_connection_manager
        filters = FilterChain(manager, self._context(listener), _idle_timeout(manager))
        unrouted = compose(filters.unrouted, route_not_found)
        made = ListenerAtWork(
            listener,
            rule,
            partial(ChooseRoute, self.clusters, unrouted, random=options.random),
            partial(self._listener_chain, listener, filters),
            partial(self._compile_routes, listener, filters),
        )
        made.use(manager.route_config or RouteConfiguration())
        if manager.rds is not None:
            made.end_routes = follow_routes(made, self.subscriptions, self.clusters, self._claim)
        return made

    def _compile_routes(
        self, listener: Listener, chain: FilterChain, config: RouteConfiguration
    ) -> tuple[RouteTable, dict[CompiledRoute, Next]]:
        table = RouteTable(
            config,
            runtime=self._policy.runtime,
            random=self._options.random,
            suppress_envoy_headers=_suppressed(listener.http_connection_manager),
            replies=self._replies(listener.http_connection_manager),
            clock=self._options.clock,
        )
        filters = TableFilters(chain, config)
        return table, {route: self._route_chain(route, listener, filters) for route in table.routes}

    # --- the order --------------------------------------------------------------------------------------------------

    def _listener_chain(self, listener: Listener, filters: FilterChain, choose_route: ChooseRoute) -> Next:
        manager = listener.http_connection_manager
        observe, local_replies = self._outermost(manager)
        return compose(
            [
                observe,
                local_replies,
                # Above all that answers in the upstream's place: filters change such replies, too.
                *([FilterReplies(filters.unrouted_responds, local_replies.shape)] if filters else ()),
                # Before routing: what the route may match on is settled here (control headers, path, host).
                Admit(
                    listener,
                    random=self._options.random,
                    tracing=self._tracing,
                    node=self._policy.node,
                    sampling=choose_route.sampling,
                ),
                # Chooses only; goes on with the route's own chain, filters first: they see the original path.
                choose_route,
            ],
            _end,
        )

    def _outermost(self, manager: HttpConnectionManager) -> tuple[Observe, LocalReplies]:
        return (
            # Outermost, so that whatever happens below is told and given back.
            Observe(
                self._runtime, self._tracing, as_response=self._options.as_response, logs=self._access_logs(manager)
            ),
            # Above all that may refuse; below observe, which tells of the reply.
            LocalReplies(
                manager,
                self._replies(manager),
                self._options.clock,
                as_response=self._options.as_response,
                runtime=self._policy.runtime,
            ),
        )

    def _access_logs(self, manager: HttpConnectionManager) -> AccessLogs | None:
        """Return the manager's logs, made once: its files stay open over changes of its routes."""
        if not manager.access_log:
            return None
        if id(manager) not in self._logs:
            from .telemetry.access_log import AccessLogs  # few policies log

            self._logs[id(manager)] = AccessLogs(manager.access_log, self._log_filters, self._options.clock)
        return self._logs[id(manager)]

    def _replies(self, manager: HttpConnectionManager) -> LocalReplyRewrite:
        return LocalReplyRewrite(manager.local_reply_config, self._log_filters, self._options.clock)

    def _route_chain(self, route: CompiledRoute, listener: Listener, filters: TableFilters) -> Next:
        idle = _idle_timeout(listener.http_connection_manager, route)
        # Above the filters, whose delays count.
        bounds = self._stream_timeouts(route, listener.http_connection_manager, idle)
        router = self._router_chain(route, listener, idle)
        chains = {
            weight: compose([*bounds, *handlers], router) for weight, handlers in filters.handlers(route, idle).items()
        }
        unweighted = chains[id(None)]
        if len(chains) == 1:
            return unweighted

        def by_weight(call: Call) -> Answer:
            return unweighted(call) if call.choice is None else chains[id(call.choice.weight)](call)

        return by_weight

    def _router_chain(self, route: CompiledRoute, listener: Listener, idle_timeout: float | None) -> Next:
        options = self._options
        return compose(
            [
                # Below the filters, which see the original path; above the timeout, whose headers it consumes.
                Router(route, listener.http_connection_manager, runtime=self._runtime, as_response=options.as_response),
                # Below the router, whose changes of the response are for the last answer; above the timeout, which
                # starts anew.
                *([InternalRedirect(route.redirects, self._runtime)] if route.redirects is not None else ()),
                # Spans all tries and their back-off.
                RouteTimeout(
                    self._runtime,
                    timeout=route.timeout,
                    idle_timeout=idle_timeout,
                    body_limit=route.body_limit(listener.per_connection_buffer_limit_bytes),
                    max_grpc_timeout=route.max_grpc_timeout,
                ),
                # Above the tries, of which none is mirrored twice; below the rewrites, which copies share.
                *([MirrorRequests(self._shadows, route.mirrors)] if route.mirrors else ()),
                # Makes the tries: everything below runs once for each.
                self._retry(route, listener),
            ],
            self._to_cluster,
        )

    def _retry(self, route: CompiledRoute, listener: Listener) -> Handler:
        options = self._options
        retry = Retry(
            compile_rules(route.retry_policy, self._policy.runtime),
            self._live.rules,
            runtime=self._runtime,
            random=options.random,
            idempotent_only=options.idempotent_only,
            application=options.retry,
        )
        # Internal callers may ask for hedging by a header.
        if route.hedges or listener.http_connection_manager.internal_address_config is not None:
            return Hedge(retry, hedges=route.hedges, runtime=self._runtime, background=self._racers)
        return retry

    def _make_shadows(self) -> Shadows:
        """What copies of calls go through: no filters, nothing that a route says but its timeout."""
        options = self._options
        everything = Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=SHADOW))
        config = RouteConfiguration(
            virtual_hosts=(VirtualHost(name=SHADOW, domains=("*",), routes=(everything,)),), validate_clusters=False
        )
        table = RouteTable(config, runtime=self._policy.runtime, random=options.random, clock=options.clock)
        (route,) = table.routes
        chain = compose(
            [
                RouteTimeout(
                    self._runtime, timeout=None, idle_timeout=DEFAULT_IDLE_TIMEOUT, body_limit=route.body_limit(None)
                ),
                Retry(
                    compile_rules(None, self._policy.runtime),
                    self._live.rules,
                    runtime=self._runtime,
                    random=options.random,
                    idempotent_only=options.idempotent_only,
                    application=None,
                ),
            ],
            self._to_cluster,
        )
        return Shadows(
            chain,
            route,
            self.clusters,
            self._copies,
            runtime=self._runtime,
            random=options.random,
            tracing=self._tracing,
        )

    def _stream_timeouts(
        self, route: CompiledRoute, manager: HttpConnectionManager, idle_timeout: float | None
    ) -> list[Handler]:
        duration = route.stream_duration(manager.max_stream_duration)
        request_timeout = manager.request_timeout or None
        if not (duration.is_told or duration.maximum or request_timeout):
            return []
        return [StreamTimeouts(self._runtime, duration, idle_timeout=idle_timeout, request_timeout=request_timeout)]

    def _to_cluster(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        chain = self._live.chains.get(call.cluster.name)
        if chain is None:  # removed since the call has begun
            raise no_healthy_upstream()
        return chain(call)

    def _to_member(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        below = self._live.below.get(call.endpoint.cluster)
        if below is None:  # removed since the host was picked
            raise no_healthy_upstream()
        return below(call)

    def _cluster_chain(self, upstream: Upstream, gate: Gate, sockets: TransportSockets) -> tuple[Next, Next]:
        """Return the whole chain, and that of a cluster that is part of another, which chooses the host."""
        cluster, engine, runtime = upstream.cluster, self._engine, self._runtime
        protocol = cluster.http_protocol_options.protocol if cluster.http_protocol_options is not None else "http1"
        engine.prepare(protocol)
        mirror: list[Handler] = []
        options = cluster.http_protocol_options
        if options is not None and options.request_mirror_policies:
            mirrors = compile_mirrors(options.request_mirror_policies, self._policy.runtime, self._options.clock)
            mirror.append(MirrorRequests(self._shadows, mirrors))
        breaker: list[Handler] = []
        if upstream.breaker is not None:
            # Above the pick: an open breaker refuses at once, whatever the endpoints' health.
            # Imported here since pybreaker is slow to import, and few clusters have a breaker.
            from .handlers.breaker import Breaker

            breaker.append(Breaker(upstream.breaker, runtime))
        # Above the limits: no host (UH) is told before overflow (UO).
        balance = Balance(upstream, gate, runtime, hash_of=_hash_of(cluster, self._options.random))
        below: list[Handler] = [
            # Below the pick, on which it depends; above the limits, which count per destination.
            EndpointRewrite(cluster, sockets, upstream.limits),
            # Right above the try: a place is held while bytes move and no longer.
            CircuitBreakers(upstream.limits, runtime, multiplexed=protocol == "http2", accounts=engine.dials),
            SendAttempt(
                upstream,
                engine,
                runtime,
                self._tracing,
                is_error=_error_matcher(cluster),
                filters=self._upstream_filters(cluster),
            ),
        ]
        return compose([*mirror, *breaker, balance, *below], _end), compose([*breaker, *below], _end)

    def _upstream_filters(self, cluster: Cluster) -> UpstreamFilters | None:
        """Return what runs once a try; `None` where the router's own filters may."""
        options = cluster.http_protocol_options
        if options is None or not options.http_filters:
            return None
        from .filters.upstream import UpstreamFilters  # few policies have any

        return UpstreamFilters(options.http_filters, self._context(NOBODY))

    def _context(self, listener: Listener) -> FilterContext:
        options, policy = self._options, self._policy
        return FilterContext(
            listener, self._runtime, options.clock, options.random, policy.runtime, policy.node, self.secrets
        )

    # --- its life ---------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """What is in force just now: the policy, and what was discovered."""
        listeners = tuple(listener.in_force for listener in self._listeners)
        return self._policy.in_force(listeners, self._live.in_force)

    async def ready(self, timeout: float) -> None:
        """Wait for every cluster's first resolution and first health checks; `NotReadyError` after `timeout` s."""
        await self._live.ready(self._runtime, timeout)

    async def ended(self) -> None:
        """Wait for a moment until what ran beside calls has ended, after `close`."""
        await self._copies.ended()
        await self._racers.ended()

    def close(self) -> None:
        """End discovery, health checks and mirrored copies; the engine is closed by who owns it."""
        self._copies.cancel()
        self._racers.cancel()
        self.files.stop()  # first: nothing changes any more
        self._live.close()
        for logs in self._logs.values():
            logs.close()


def watch_storage(upstream: Upstream, options: Options) -> list[Watch]:
    """Keep a breaker in step with the storage it shares; each access may be I/O, so the control thread does it."""
    breaker = upstream.breaker
    if breaker is None or not breaker.shares_storage:
        return []

    async def keep_in_step() -> None:
        await repeat(breaker.sync_storage, STORAGE_INTERVAL, options.clock)

    name = f"{upstream.name} breaker storage"
    watch = ControlThread.shared().watch(keep_in_step, name=name, clock=options.clock, random=options.random)
    # A client that is dropped without being closed takes the watch along: it holds the breaker, not the upstream.
    weakref.finalize(upstream, watch.abandon).atexit = False
    return [watch]


def _idle_timeout(manager: HttpConnectionManager, route: CompiledRoute | None = None) -> float | None:
    """Return the stream's idle timeout in seconds, `None` for none."""
    idle = DEFAULT_IDLE_TIMEOUT if manager.stream_idle_timeout is None else manager.stream_idle_timeout
    if route is not None and route.idle_timeout is not None:
        idle = route.idle_timeout
    return idle or None


def _error_matcher(cluster: Cluster) -> ResponseMatch | None:
    """Compile what the cluster counts as an error of its hosts, if it says."""
    options = cluster.http_protocol_options
    own = options.outlier_detection if options is not None else None
    return None if own is None or cluster.outlier_detection is None else compile_predicate(own.error_matcher)


def _hash_of(cluster: Cluster, random: Random) -> HashOf | None:
    """Compile the cluster's own hash policy: the load balancer's, else that of its protocol options."""
    options = cluster.http_protocol_options
    policies = cluster.hash_policy or (options.hash_policy if options is not None else ())
    return compile_hash_policy(policies, SessionCookie(random))


def _suppressed(manager: HttpConnectionManager) -> bool:
    router = manager.http_filters[-1].typed_config if manager.http_filters else None
    return bool(router is not None and router.suppress_envoy_headers)
