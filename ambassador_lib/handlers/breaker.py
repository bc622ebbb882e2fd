"""The cluster's breaker: closed, open, half-open by error rate (contract; Envoy has none)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .._circuit_open import circuit_open
from ..call import Call, Next
from ..errors import (
    AmbassadorError,
    PerTryTimeoutError,
    RouteTimeoutError,
    UpstreamConnectError,
    UpstreamDurationError,
    UpstreamResetError,
)

if TYPE_CHECKING:
    from ..runtime.base import Runtime
    from ..upstream.breaker import ClusterBreaker

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
        permit = self._breaker.admit(self._now())
        if permit is None:
            raise circuit_open(call.cluster.name)
        try:
            response = await next(call)
        except AmbassadorError as error:
            if isinstance(error, FAILURES):
                permit.failure(self._now(), error)
            else:
                permit.abandon()
            raise
        except BaseException:
            permit.abandon()
            raise
        if response.status_code >= 500:
            message = f"the upstream answered {response.status_code}"
            permit.failure(self._now(), httpx.HTTPStatusError(message, request=call.request, response=response))
        else:
            self._breaker.settle(permit, self._now(), None)
        return response
