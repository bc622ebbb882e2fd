"""`CircuitOpenError`, apart from `errors` because its base class lives in pybreaker, which is slow to import."""

from __future__ import annotations

import httpx
import pybreaker

from .errors import AmbassadorError, LocalReply


class CircuitOpenError(AmbassadorError, httpx.ConnectError, pybreaker.CircuitBreakerError):
    """The cluster's breaker is open: refused without a try."""


def circuit_open(cluster: str) -> CircuitOpenError:
    """The reply of the contract: 503 `circuit breaker open` with `x-envoy-overloaded: true`."""
    reply = LocalReply(503, "circuit breaker open", "", "circuit_breaker_open", [(b"x-envoy-overloaded", b"true")])
    return CircuitOpenError(f"circuit breaker of cluster {cluster!r} is open", reply=reply)
