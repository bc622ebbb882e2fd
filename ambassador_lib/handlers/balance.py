"""Which endpoint serves this try."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..call import Answer, Call, Next
from ..errors import expired, no_healthy_upstream

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..runtime.gate import Gate
    from ..upstream.upstream import Upstream


class Balance:
    """A fresh pick from the cluster's current snapshot for every try; none: 503 UH."""

    def __init__(self, upstream: Upstream, gate: Gate, runtime: Runtime) -> None:
        self._upstream = upstream
        self._gate = gate
        self._runtime = runtime

    def handle(self, call: Call, next: Next) -> Answer:
        return self._pick(call, next) if self._gate.is_open else self._wait_and_pick(call, next)

    def _pick(self, call: Call, next: Next) -> Answer:
        attempt = call.attempt
        now = self._runtime.now()
        attempt.started = now - call.started
        reselect = call.retry_rules.reselect if attempt.number > 1 else 0
        if reselect:
            host = self._upstream.pick(now, reject=call.tried.__contains__, reselect=reselect)
        else:
            host = self._upstream.pick(now)
        if host is None:
            raise no_healthy_upstream()
        call.endpoint = host
        call.tried.append(host)
        attempt.endpoint = host.key
        call.report.attempts.append(attempt)
        host.begin()
        attempt.defer(host.end)
        return next(call)

    async def _wait_and_pick(self, call: Call, next: Next) -> httpx.Response:
        await self._first_resolution(call)
        return await self._pick(call, next)

    async def _first_resolution(self, call: Call) -> None:
        """Wait, within the call's own bounds, for what Envoy waits for before it opens its listeners."""
        ticket = self._runtime.ticket()
        self._gate.add(ticket)
        try:
            if not await ticket.wait(call.deadline):
                raise expired(call)
        finally:
            self._gate.discard(ticket)
