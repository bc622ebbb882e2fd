"""The cluster's `circuit_breakers`: connections, pending requests and requests (semantics 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..call import Call, Next
from ..errors import UpstreamConnectError, again, expired, overflow
from ..upstream.limits import Verdict

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..upstream.limits import Limits


class CircuitBreakers:
    """Takes a place until the body has ended; waits in line where the connections are all in use."""

    def __init__(self, limits: dict[str, Limits], runtime: Runtime, *, multiplexed: bool, accounts: bool) -> None:
        self._limits = limits
        self._runtime = runtime
        self._multiplexed = multiplexed
        self._accounts = accounts

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        limits = self._limits[call.route.priority]
        grant = limits.admit(
            limits.host(call.endpoint.key),
            multiplexed=self._multiplexed,
            accounts=self._accounts,
            ticket_factory=self._runtime.ticket,
        )
        call.attempt.defer(grant.release)
        call.grant = grant
        if grant.ticket is not None and not await grant.ticket.wait(call.deadline):
            raise expired(call)
        if grant.verdict is not Verdict.GO and grant.verdict is not Verdict.CONNECT:
            raise overflow() if grant.failure is None else again(grant.failure)
        try:
            return await next(call)
        except UpstreamConnectError as error:
            grant.connect_failed(error)
            raise
