"""The order of the layers, top to bottom, with the reason for each place beside it.

A request travels its listener's chain, then its route's chain, then its cluster's. Layers that a policy does not use
are not in the stack.
"""

from __future__ import annotations

from collections.abc import Coroutine, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import httpx

from .call import Answer, Call, Handler, Next
from .claims import NOBODY
from .errors import no_healthy_upstream
from .handlers.admit import Admit
from .handlers.attempt import SendAttempt
from .handlers.balance import Balance
from .handlers.filter_replies import FilterReplies
from .handlers.limits import CircuitBreakers
from .handlers.local_reply import LocalReplies
from .handlers.observe import Observe
from .handlers.redirect import InternalRedirect
from .handlers.retry import Retry
from .handlers.rewrite import EndpointRewrite
from .handlers.route import Way
from .handlers.router import Router
from .handlers.stream_timeouts import StreamTimeouts
from .handlers.timeout import RouteTimeout
from .one_try import OneTry, Tries
from .routing.compiled import DEFAULT_IDLE_TIMEOUT, idle_timeout
from .routing.hash_policy import cluster_hash
from .routing.mirrors import compile_mirrors
from .routing.response_match import cluster_errors
from .routing.retry_rules import compile_rules
from .routing.table import shadow_route
from .straight import straight

if TYPE_CHECKING:
    import tenacity

    from .engine.transport_sockets import TransportSockets
    from .filters.chain import FilterChain, TableFilters
    from .filters.upstream import UpstreamFilters
    from .handlers.breaker import Breaker
    from .handlers.hedge import Hedge
    from .handlers.mirror import Shadows
    from .handlers.route import ChooseRoute
    from .live import LiveClusters
    from .parts import Parts
    from .policy.model import Cluster, HttpConnectionManager, Listener, RetryPolicy
    from .routing.compiled import CompiledRoute
    from .routing.mirrors import Mirror
    from .runtime.gate import Gate
    from .telemetry.access_log import AccessLogs
    from .upstream.aggregate import Aggregate
    from .upstream.upstream import Upstream


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


def _by_weight(chains: Mapping[int, Next]) -> Next:
    """Go on with the chain of the weighted cluster that was chosen, which are told by their ids."""
    unweighted = chains[id(None)]

    def chosen(call: Call) -> Answer:
        return unweighted(call) if call.choice is None else chains[id(call.choice.weight)](call)

    return chosen


class Stack:
    """Makes the chains of a policy's listeners, routes and clusters; a route's goes on with its cluster's by name."""

    joins = True
    """Whether layers with nothing unusual between them are one coroutine: those that every call passes once, and those
    of a try. Else each has its own, as a stopwatch wants it."""

    def __init__(self, parts: Parts, clusters: LiveClusters) -> None:
        self._parts = parts
        self._policy = parts.policy
        self._runtime = parts.runtime
        self._engine = parts.engine
        self._options = parts.options
        self._clusters = clusters
        self._tries_by_settings: WeakValueDictionary[Hashable, Next] = WeakValueDictionary()
        """For as long as there is a route that goes that way."""

    # --- once a request: a listener's chain -------------------------------------------------------------------------

    def listener_chain(
        self, listener: Listener, filters: FilterChain, logs: AccessLogs | None, choose_route: ChooseRoute
    ) -> Next:
        """Return the way in, down to the choice of a route, which knows the next chain."""
        # Outermost, then above all that may refuse.
        observe, local_replies = self.outermost(listener.http_connection_manager, logs)
        # Before routing: what the route may match on is settled here (control headers, path, host).
        admit = Admit(
            listener,
            random=self._options.random,
            tracing=self._parts.tracing,
            node=self._policy.node,
            sampling=choose_route.sampling,
        )
        # Last, the choice of a route: it goes on with that route's own way, filters first, which see the original path.
        if self.joins and not filters:
            return straight(observe, local_replies, admit, choose_route)
        # Above all that answers in the upstream's place: filters change such replies, too.
        replies = [FilterReplies(filters.unrouted_responds, local_replies.shape)] if filters else []
        return compose([observe, local_replies, *replies, admit, choose_route], _end)

    def outermost(self, manager: HttpConnectionManager, logs: AccessLogs | None = None) -> tuple[Observe, LocalReplies]:
        """Return the two layers that every call passes, be it claimed by anything or not."""
        options, parts = self._options, self._parts
        return (
            # Outermost, so that whatever happens below is told and given back.
            Observe(self._runtime, parts.tracing, as_response=options.as_response, logs=logs),
            # Above all that may refuse; below observe, which tells of the reply.
            LocalReplies(
                manager,
                parts.replies(manager),
                options.clock,
                as_response=options.as_response,
                runtime=self._policy.runtime,
            ),
        )

    # --- once a request: a route's chain ----------------------------------------------------------------------------

    def route_way(self, route: CompiledRoute, listener: Listener, filters: TableFilters) -> Way:
        """Return the way from the choice of a route to that of a cluster: the filters, then the router."""
        manager, runtime = listener.http_connection_manager, self._runtime
        idle = idle_timeout(manager, route)
        # Above the filters, whose delays count.
        bounds = self._stream_timeouts(route, manager, idle)
        by_weight = filters.handlers(route, idle)
        # Below the filters, which see the original path; above the timeout, whose headers it consumes.
        router = Router(route, manager, runtime=runtime, as_response=self._options.as_response)
        # Below the router, whose changes of the response are for the last answer; above the timeout, which starts anew.
        redirect = [InternalRedirect(route.redirects, runtime)] if route.redirects is not None else []
        below = compose(redirect, self._shared_tries(route, listener, idle))
        if self.joins and not bounds and not route.answers and not any(by_weight.values()):
            return Way(below, router)
        chains = {weight: compose([*bounds, *handlers, router], below) for weight, handlers in by_weight.items()}
        return Way(chains[id(None)] if len(chains) == 1 else _by_weight(chains))

    def _stream_timeouts(
        self, route: CompiledRoute, manager: HttpConnectionManager, idle: float | None
    ) -> list[Handler]:
        duration = route.stream_duration(manager.max_stream_duration)
        request_timeout = manager.request_timeout or None
        if not (duration.is_told or duration.maximum or request_timeout):
            return []
        return [StreamTimeouts(self._runtime, duration, idle_timeout=idle, request_timeout=request_timeout)]

    def _shared_tries(self, route: CompiledRoute, listener: Listener, idle: float | None) -> Next:
        """Return the way of the tries, the same for all routes that say the same of them.

        There are many routes and few such sayings: a call then finds in the processor's caches what the one before it
        has left there, whichever route that took.
        """
        internal = listener.http_connection_manager.internal_address_config is not None
        body_limit = route.body_limit(listener.per_connection_buffer_limit_bytes)
        key = (
            route.timeout, idle, body_limit, route.max_grpc_timeout, route.mirrors, route.retry_policy, route.hedges,
            internal,
        )  # fmt: skip
        chain = self._tries_by_settings.get(key)
        if chain is None:
            timeout = RouteTimeout(
                self._runtime,
                timeout=route.timeout,
                idle_timeout=idle,
                body_limit=body_limit,
                max_grpc_timeout=route.max_grpc_timeout,
            )
            chain = self._tries_by_settings[key] = self._tries_chain(
                # Spans all tries and their back-off.
                timeout,
                # Above the tries, of which none is mirrored twice; below the rewrites, which copies share.
                self._mirroring(route.mirrors) if route.mirrors else [],
                # Makes the tries: everything below runs once for each.
                self._tries(route, asks_by_header=internal),
            )
        return chain

    def _tries_chain(self, timeout: RouteTimeout, between: list[Handler], tries: Handler) -> Next:
        if between or not isinstance(tries, Retry) or not self.joins:
            return compose([timeout, *between, tries], self._to_cluster)
        return Tries(timeout, tries, self._clusters.firsts, runtime=self._runtime, again=self._to_cluster).handle

    def _tries(self, route: CompiledRoute, *, asks_by_header: bool) -> Retry | Hedge:
        options = self._options
        retry = self._retry(route.retry_policy, idempotent_only=options.idempotent_only, application=options.retry)
        # Internal callers may ask for hedging by a header.
        if route.hedges or asks_by_header:
            from .handlers.hedge import Hedge

            return Hedge(retry, hedges=route.hedges, runtime=self._runtime, background=self._parts.racers)
        return retry

    def _retry(
        self, policy: RetryPolicy | None, *, idempotent_only: bool, application: tenacity.BaseRetrying | None
    ) -> Retry:
        return Retry(
            compile_rules(policy, self._policy.runtime),
            self._clusters.rules,
            runtime=self._runtime,
            random=self._options.random,
            idempotent_only=idempotent_only,
            application=application,
        )

    def _mirroring(self, mirrors: Sequence[Mirror]) -> list[Handler]:
        from .handlers.mirror import MirrorRequests

        return [MirrorRequests(self._shadows, mirrors)]

    @cached_property
    def _shadows(self) -> Shadows:
        """What copies of calls go through: no filters, nothing that a route says but its timeout."""
        from .handlers.mirror import Shadows

        options, parts, runtime = self._options, self._parts, self._runtime
        route = shadow_route(runtime=self._policy.runtime, random=options.random, clock=options.clock)
        chain = self._tries_chain(
            RouteTimeout(runtime, timeout=None, idle_timeout=DEFAULT_IDLE_TIMEOUT, body_limit=route.body_limit(None)),
            [],
            # The application's own retries are for what it asked for itself.
            self._retry(None, idempotent_only=options.idempotent_only, application=None),
        )
        return Shadows(
            chain,
            route,
            self._clusters.upstreams,
            parts.copies,
            runtime=runtime,
            random=options.random,
            tracing=parts.tracing,
        )

    # --- once a try: a cluster's chain ------------------------------------------------------------------------------

    def _to_cluster(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        chain = self._clusters.chains.get(call.cluster.name)
        if chain is None:  # removed since the call has begun
            raise no_healthy_upstream()
        return chain(call)

    def cluster_chain(
        self, upstream: Upstream, gate: Gate, sockets: TransportSockets
    ) -> tuple[Next, Next, OneTry | None]:
        """Return the whole chain, that of a cluster that is part of another, which chooses the host, and what makes a
        call's first try."""
        cluster, engine, runtime = upstream.cluster, self._engine, self._runtime
        protocol = cluster.http_protocol_options.protocol if cluster.http_protocol_options is not None else "http1"
        engine.prepare(protocol)
        # Above the breaker, since copies are for other clusters.
        mirror = self._cluster_mirror(cluster)
        # Above the pick: an open breaker refuses at once, whatever the endpoints' health.
        breaker = self._breaker(upstream)
        # Above the limits: no host (UH) is told before overflow (UO).
        balance = Balance(upstream, gate, runtime, hash_of=cluster_hash(cluster, self._options.random))
        # Below the pick, on which it depends; above the limits, which count per destination.
        rewrite = EndpointRewrite(cluster, sockets, upstream.limits)
        # Right above the try: a place is held while bytes move and no longer.
        limits = CircuitBreakers(upstream.limits, runtime, multiplexed=protocol == "http2", accounts=engine.dials)
        attempt = SendAttempt(
            upstream,
            engine,
            runtime,
            self._parts.tracing,
            self._parts.metrics,
            is_error=cluster_errors(cluster),
            filters=self._upstream_filters(cluster),
        )
        joined = partial(OneTry, attempt, runtime=runtime, again=self._to_cluster)
        if not self.joins:
            above: list[Handler] = [] if breaker is None else [breaker]
            last: list[Handler] = [rewrite, limits, joined()]
            return compose([*mirror, *above, balance, *last], _end), compose([*above, *last], _end), None
        below = joined(limits=limits, rewrite=rewrite, breaker=breaker)
        whole = joined(limits=limits, rewrite=rewrite, breaker=breaker, balance=balance)
        return compose(mirror, whole.handle), below.handle, None if mirror else whole

    def _cluster_mirror(self, cluster: Cluster) -> list[Handler]:
        options = cluster.http_protocol_options
        if options is None or not options.request_mirror_policies:
            return []
        mirrors = compile_mirrors(options.request_mirror_policies, self._policy.runtime, self._options.clock)
        return self._mirroring(mirrors)

    def _breaker(self, upstream: Upstream) -> Breaker | None:
        if upstream.breaker is None:
            return None
        from .handlers.breaker import Breaker  # pybreaker is slow to import, and few clusters have a breaker

        return Breaker(upstream.breaker, self._runtime)

    def _upstream_filters(self, cluster: Cluster) -> UpstreamFilters | None:
        """Return what runs once a try; `None` where the router's own filters may."""
        options = cluster.http_protocol_options
        if options is None or not options.http_filters:
            return None
        from .filters.upstream import UpstreamFilters  # few policies have any

        return UpstreamFilters(options.http_filters, self._parts.filter_context(NOBODY))

    def aggregate_chain(self, upstream: Aggregate, gate: Gate) -> tuple[Next, Next]:
        """Return the chain of a cluster that consists of others, and its part below the choice of a host."""
        hash_of = cluster_hash(upstream.cluster, self._options.random)
        return compose([Balance(upstream, gate, self._runtime, hash_of=hash_of)], self._to_member), self._to_member

    def _to_member(self, call: Call) -> Coroutine[Any, Any, httpx.Response]:
        below = self._clusters.below.get(call.endpoint.cluster)
        if below is None:  # removed since the host was picked
            raise no_healthy_upstream()
        return below(call)
