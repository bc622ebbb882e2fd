"""A policy at work: started in Envoy's order, changed while calls run, and closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import httpx

from .call import Call
from .claims import NOBODY, Claims, bare_cluster
from .discovered import Discovered, follow_routes
from .discovery import Discovery
from .discovery import start as start_discovery
from .engine.transport_sockets import TransportSockets
from .entrance import Entry
from .errors import LocalReply, NoRouteError, PolicyError
from .filters.chain import FilterChain, TableFilters
from .handlers.route import ChooseRoute, Way, Ways, route_not_found
from .live import ClusterAtWork, Ends, ListenerAtWork, LiveClusters, LiveListeners
from .parts import Parts
from .policy.model import Cluster, Listener, RouteConfiguration
from .routing.compiled import idle_timeout
from .routing.retry_rules import compile_rules
from .routing.table import RouteTable
from .runtime.gate import Gate
from .stack import Stack, compose
from .upstream.aggregate import Aggregate
from .upstream.breaker_storage import watch_storage
from .upstream.upstream import Upstream

if TYPE_CHECKING:
    from .engine.base import Engine
    from .engine.wire import Network
    from .options import Options
    from .policy import Policy
    from .routing.retry_rules import RetryRules
    from .runtime.base import Runtime
    from .upstream.plan import Locality
    from .upstream.zones import FindPeers


async def _no_route(call: Call) -> httpx.Response:
    raise NoRouteError(
        f"no listener, virtual host or cluster of the policy claims {call.request.url}",
        reply=LocalReply(404, "", "NR", "route_not_found"),
    )


class PolicyAtWork:
    """A policy over one runtime and one engine; what it consists of just now is in `clusters` and behind `find`."""

    def __init__(self, policy: Policy, runtime: Runtime, engine: Engine, options: Options) -> None:
        self._policy = policy
        self._runtime = runtime
        self._options = options
        self.parts = Parts(policy, runtime, engine, options)
        self._live = LiveClusters(self._start_cluster)
        self._listeners = LiveListeners(partial(self._start_listener, rule=1))
        self._bare: dict[str, ListenerAtWork] = {}
        self._stack = Stack(self.parts, self._live)
        self._has_started = False
        self.clusters = self._live.upstreams
        self.nobody = Entry(0, NOBODY, compose(self._stack.outermost(NOBODY.http_connection_manager), _no_route))
        self.find: Callable[[httpx.URL], Entry | None] = Claims((), {}).find
        """Finds the way in for a URL; exchanged whenever what claims URLs changes."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Begin, in Envoy's order: what is written down does not know what is discovered."""
        discovered = Discovered(self._policy, self.parts.subscriptions, self._live, self._listeners)
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

    # --- clusters ---------------------------------------------------------------------------------------------------

    def _start_cluster(self, written: Cluster) -> ClusterAtWork:
        if written.aggregate is not None:
            return self._start_aggregate(written)
        options, parts, around = self._options, self.parts, self._options.surroundings
        cluster: Cluster | None = written
        if around is not None:  # a mock under the client answers for any cluster
            cluster = around.cluster(written) if parts.engine.dials else around.mocked(written)
        if cluster is None:
            return self._start_refused(written)
        speaks_tls = cluster.transport_socket is not None or cluster.transport_socket_matches
        sockets = TransportSockets.of(cluster, parts.secrets if speaks_tls else None)
        upstream = Upstream(
            cluster,
            clock=options.clock,
            random=options.random,
            breaker_listeners=options.breaker_listeners,
            breaker_storage=options.breaker_storage,
            health_checked=parts.engine.dials,
            runtime=self._policy.runtime,
            zone=self._zone_for(cluster),
        )
        discovery = start_discovery(
            upstream,
            clock=options.clock,
            random=options.random,
            dials=parts.engine.dials,
            sockets=sockets,
            subscriptions=parts.subscriptions,
            control=options.control,
            resolver=None if around is None else around.resolver(cluster),
            network=self._probe_network(),
        )
        chain, below, first = self._stack.cluster_chain(upstream, discovery.gate, sockets)
        watches: list[Ends] = [
            *watch_storage(upstream, options.clock, options.random, options.control),
            parts.stats.add(upstream.name, upstream.counters, upstream),
        ]
        return ClusterAtWork(upstream, discovery, chain, below, self._rules_of(cluster), first, watches, written)

    def _probe_network(self) -> Callable[[], Network] | None:
        """Return what makes the network of health checks where it is not the usual one."""
        around = self._options.surroundings
        network = None if around is None else around.network(blocking=False)
        return None if network is None else lambda: network

    def _start_refused(self, written: Cluster) -> ClusterAtWork:
        """A cluster for which the surroundings have nothing: no host is looked for, and calls of it end the test."""
        around, gate = self._options.surroundings, Gate()
        assert around is not None, "nobody else refuses clusters"
        gate.open()
        upstream = Upstream(Cluster(name=written.name), clock=self._options.clock, random=self._options.random)

        async def refuse(_call: Call) -> httpx.Response:
            around.refuse(written.name)

        return ClusterAtWork(upstream, Discovery(gate), refuse, refuse, written=written)

    def _zone_for(self, cluster: Cluster) -> tuple[Locality, FindPeers] | None:
        """Return where the application is and who is like it, for clusters other than its own."""
        manager, node = self._policy.cluster_manager, self._policy.node
        name = manager.local_cluster_name if manager is not None else ""
        if not name or name == cluster.name or node is None or node.locality is None:
            return None
        own = node.locality
        return (own.region, own.zone, own.sub_zone), partial(self.clusters.get, name)

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
        chain, below = self._stack.aggregate_chain(upstream, gate)
        told = self.parts.stats.add(upstream.name, upstream.counters, upstream)
        return ClusterAtWork(upstream, Discovery(gate), chain, below, self._rules_of(cluster), watches=[told])

    def _rules_of(self, cluster: Cluster) -> RetryRules | None:
        """Return the cluster's own retry policy, which beats the route's."""
        options = cluster.http_protocol_options
        own = options.retry_policy if options is not None else None
        return None if own is None else compile_rules(own, self._policy.runtime)

    # --- listeners --------------------------------------------------------------------------------------------------

    def _start_listener(self, listener: Listener, rule: int) -> ListenerAtWork:
        manager = listener.http_connection_manager
        filters = FilterChain(manager, self.parts.filter_context(listener), idle_timeout(manager))
        unrouted = Way(compose(filters.unrouted, route_not_found))
        made = ListenerAtWork(
            listener,
            rule,
            partial(ChooseRoute, self.clusters, unrouted, random=self._options.random),
            partial(self._stack.listener_chain, listener, filters, self.parts.access_logs(manager)),
            partial(self._compile_routes, listener, filters),
        )
        made.use(manager.route_config or RouteConfiguration())
        if manager.rds is not None:
            made.end_routes = follow_routes(made, self.parts.subscriptions, self.clusters, self._claim)
        return made

    def _compile_routes(
        self, listener: Listener, chain: FilterChain, config: RouteConfiguration
    ) -> tuple[RouteTable, Ways]:
        manager = listener.http_connection_manager
        table = RouteTable(
            config,
            runtime=self._policy.runtime,
            random=self._options.random,
            suppress_envoy_headers=manager.router.suppress_envoy_headers,
            replies=self.parts.replies(manager),
            clock=self._options.clock,
        )
        filters, stack = TableFilters(chain, config), self._stack
        return table, Ways(lambda route: stack.route_way(route, listener, filters))

    # --- its life ---------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """What is in force just now: the policy, and what was discovered."""
        listeners = tuple(listener.in_force for listener in self._listeners)
        return self._policy.in_force(listeners, self._live.in_force)

    @property
    def listeners(self) -> Sequence[Listener]:
        """The listeners of `policy`; what they say of routes is what is written down."""
        return [listener.listener for listener in self._listeners]

    @property
    def discovery_errors(self) -> Mapping[str, PolicyError]:
        """Why files that are followed could not be used, by their path."""
        return dict(self.parts.subscriptions.errors)

    async def ready(self, timeout: float) -> None:
        """Wait for every cluster's first resolution and first health checks; `NotReadyError` after `timeout` s."""
        await self._live.ready(self._runtime, timeout)

    async def ended(self) -> None:
        """Wait for a moment until what ran beside calls has ended, after `close`."""
        await self.parts.ended()

    def close(self) -> None:
        """End discovery, health checks and mirrored copies; the engine is closed by who owns it."""
        self.parts.stop()  # first: nothing changes any more
        self._live.close()
        self.parts.close_logs()
