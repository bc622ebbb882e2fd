"""The cluster's `circuit_breakers`: connections, pending requests and requests (semantics 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..call import Answer, Call, Next
from ..errors import again, expired, no_healthy_upstream, overflow
from ..upstream.grant import Verdict

if TYPE_CHECKING:
    from ..runtime.base import Runtime, Ticket
    from ..upstream.grant import HostLimits
    from ..upstream.limits import Limits


GO, CONNECT = Verdict.GO, Verdict.CONNECT


class CircuitBreakers:
    """Takes a place until the body has ended; waits in line where the connections are all in use."""

    def __init__(self, limits: dict[str, Limits], runtime: Runtime, *, multiplexed: bool, accounts: bool) -> None:
        self._limits = limits
        self._ticket = runtime.ticket
        self._multiplexed = multiplexed
        self._accounts = accounts

    def handle(self, call: Call, next: Next) -> Answer:
        ticket = self.admit(call)
        return next(call) if ticket is None else self._wait_and_go(call, ticket, next)

    def admit(self, call: Call) -> Ticket | None:
        """Take a place, and return what to wait for where it is one in line."""
        host: HostLimits = call.destination.gauge
        if self._accounts and host.take(multiplexed=self._multiplexed):
            call.attempt.place, call.grant = host, None
            return None
        limits = self._limits[call.route.priority]
        call.grant = call.attempt.place = grant = limits.admit(
            limits.host(call.endpoint.key),
            multiplexed=self._multiplexed,
            accounts=self._accounts,
            ticket_factory=self._ticket,
        )
        verdict = grant.verdict
        if verdict is GO or verdict is CONNECT:
            return None
        if verdict is Verdict.POOLS_OVERFLOW:  # told as if there were no host (verified against Envoy 1.40)
            raise no_healthy_upstream()
        if grant.ticket is None:
            raise overflow()
        return grant.ticket

    async def wait_in_line(self, call: Call, ticket: Ticket) -> None:
        """Wait, within the call's own bounds, for what the place in line is for."""
        if not await ticket.wait(call.deadline):
            raise expired(call)
        grant = call.grant
        if grant.verdict is not GO and grant.verdict is not CONNECT:
            raise overflow() if grant.failure is None else again(grant.failure)

    async def _wait_and_go(self, call: Call, ticket: Ticket, next: Next) -> httpx.Response:
        await self.wait_in_line(call, ticket)
        return await next(call)
