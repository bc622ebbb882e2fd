"""The cluster's breaker: closed, open, half-open by error rate (contract; Envoy has none)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .._circuit_open import circuit_open
from ..call import Call, Next
from ..errors import (
    PerTryTimeoutError,
    RouteTimeoutError,
    UpstreamConnectError,
    UpstreamDurationError,
    UpstreamResetError,
)

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..upstream.breaker import ClusterBreaker, Permit

FAILURES = (
    UpstreamConnectError, UpstreamResetError, PerTryTimeoutError, RouteTimeoutError, UpstreamDurationError,
)  # fmt: skip


class Breaker:
    """Refuses at once while open. 5xx, failures to connect, resets and timeouts count as failures; what the
    application or a limit of ours ended counts as nothing."""

    def __init__(self, breaker: ClusterBreaker, runtime: Runtime) -> None:
        self._breaker = breaker
        self._now = runtime.now

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        permit = self.admit(call, self._now())
        try:
            response = await next(call)
        except BaseException as error:
            self.failed(permit, error)
            raise
        self.answered(permit, call, response, self._now())
        return response

    def admit(self, call: Call, now: float) -> Permit:
        """Let the try through, or raise."""
        permit = self._breaker.at_hand or self._breaker.admit(now)
        if permit is None:
            raise circuit_open(call.cluster.name)
        return permit

    def answered(self, permit: Permit, call: Call, response: httpx.Response, now: float) -> None:
        """Judge an answer."""
        if response.status_code < 500:
            self._breaker.succeeded(permit, now)
        else:
            message = f"the upstream answered {response.status_code}"
            permit.failure(now, httpx.HTTPStatusError(message, request=call.request, response=response))

    def failed(self, permit: Permit, error: BaseException) -> None:
        """Judge what has come in place of an answer."""
        if isinstance(error, FAILURES):
            permit.failure(self._now(), error)
        else:
            permit.abandon()
