"""Copies of requests to other clusters, whose answers nobody sees (`request_mirror_policies`; semantics 1.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..algorithms.overrides import Overrides
from ..call import INFINITY, Answer, Call, Deadline, Next
from ..runtime.breakable import Breakable
from ..runtime.fed import FedBody
from ..telemetry import identity

if TYPE_CHECKING:
    from ..routing.compiled import CompiledRoute
    from ..routing.mirrors import Mirror
    from ..runtime.background import Background
    from ..runtime.base import Random, Runtime
    from ..telemetry.tracing import Tracing
    from ..upstream.upstream import Upstream

GENERATIONS = 8
"""Copies of copies: a cluster's own policies may mirror what was mirrored to it, even to itself."""


class Shadows:
    """Sends copies, each beside the call that it was made of; they end with their route's timeout or with the client.

    `chain` is what a copy goes through: a timeout, the retries that its cluster itself asks for, and the cluster.
    `route` stands in for the call's, whose settings a copy does not take over.
    """

    def __init__(
        self,
        chain: Next,
        route: CompiledRoute,
        clusters: Mapping[str, Upstream],
        background: Background,
        *,
        runtime: Runtime,
        random: Random,
        tracing: Tracing,
    ) -> None:
        self._chain = chain
        self._route = route
        self._clusters = clusters
        self._background = background
        self._runtime = runtime
        self._random = random
        self._tracing = tracing

    def plan(self, call: Call, mirrors: Sequence[Mirror]) -> None:
        """Decide on the copies; they are sent when the call has a host, since a call without one is not mirrored."""
        planned = [
            (mirror, self._clusters[name])
            for mirror in mirrors
            if (name := mirror.wanted(call, self._random)) is not None and name in self._clusters
        ]
        call.on_host = partial(self._start, call, planned) if planned and call.generation < GENERATIONS else None

    def _start(self, call: Call, planned: list[tuple[Mirror, Upstream]]) -> None:
        for mirror, cluster in planned:
            shadow = self._copy(call, mirror, cluster)
            body = self._share_body(call, shadow)
            breakable = Breakable(shadow)

            def break_off(body: FedBody | None = body, breakable: Breakable = breakable) -> None:
                if body is not None:
                    body.break_off()
                breakable.break_off()

            if self._background.start(partial(self._send, shadow), break_off) is None and body is not None:
                body.break_off()

    def _copy(self, call: Call, mirror: Mirror, cluster: Upstream) -> Call:
        shadow = Call(call.request, self._runtime.now(), call.target)
        shadow.method = call.method
        shadow.scheme = call.scheme
        shadow.headers = mirror.headers(call)
        shadow.authority = mirror.authority(call)
        shadow.generation = call.generation + 1
        shadow.internal = True
        shadow.listener = call.listener
        shadow.virtual_host = call.virtual_host
        shadow.route = self._route
        shadow.cluster = cluster
        shadow.suppress_envoy_headers = call.suppress_envoy_headers
        shadow.overrides = Overrides(timeout=0.0 if call.route_timeout == INFINITY else call.route_timeout)
        self._trace(call, shadow, sampled=mirror.trace_sampled)
        return shadow

    def _trace(self, call: Call, shadow: Call, *, sampled: bool | None) -> None:
        tracing = call.listener.http_connection_manager.tracing if call.listener is not None else None
        if call.span is not None:
            self._tracing.follow(call, shadow, sampled=sampled)
        elif tracing is not None:
            identity.follow(shadow, tracing, self._random, sampled=sampled)

    def _share_body(self, call: Call, shadow: Call) -> FedBody | None:
        """Let the copy read the body as the call does, in parallel; a call that ends early ends the upload."""
        recording = getattr(call.body, "recording", None)
        if recording is None:
            shadow.body = call.body
            return None
        body = FedBody(self._runtime.ticket, Deadline())
        for chunk in recording.chunks:
            body.put(chunk)
        if recording.ended:
            body.end()
        recording.followers.append(body)
        call.defer(body.break_off)
        shadow.body = body
        return body

    async def _send(self, shadow: Call) -> None:
        try:
            response = await self._chain(shadow)
            await self._runtime.exhaust(response, shadow.deadline)
        except Exception:  # noqa: BLE001, S110 - whatever becomes of a copy is nobody's concern
            pass
        finally:
            shadow.finish()


class MirrorRequests:
    """Mirrors what comes by: on a route's way, or on a cluster's, whose own policies stand in for the route's."""

    def __init__(self, shadows: Shadows, mirrors: Sequence[Mirror]) -> None:
        self._shadows = shadows
        self._mirrors = mirrors

    def handle(self, call: Call, next: Next) -> Answer:
        if call.attempt.number <= 1:  # a call is mirrored once, however often it is tried
            self._shadows.plan(call, self._mirrors)
        return next(call)
