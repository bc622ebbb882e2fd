"""One health check against one host over TCP: connecting, and payloads.

Source: `envoy.config.core.v3.HealthCheck.TcpHealthCheck`, semantics 6.1.
"""

from __future__ import annotations

from ..algorithms.health import CheckResult, matches_in_order
from ..call import Deadline
from ..engine.base import Destination
from ..engine.wire import PeerReset, Wire
from ..errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError
from ..policy.model.cluster import HealthCheck
from .probe_parts import NetworkParts, payload, question

MAX_TCP_BUFFER = 1 << 20
"""Bytes kept of a TCP answer that does not match; more of it cannot be an answer."""


class TcpProbe:
    """Connects and, where there is something to receive, sends and waits for it."""

    outlives_timeouts = False

    def __init__(
        self, config: HealthCheck.TcpHealthCheck, target: Destination, parts: NetworkParts, *, reuse: bool
    ) -> None:
        # Envoy sends what is given as text, and nothing of what is given in binary (verified).
        self._send = payload(config.send) if config.send is not None and config.send.text else b""
        self._receive = [payload(part) for part in config.receive]
        self._target = target
        self._parts = parts
        # Without an answer to wait for there is nothing to check but connecting.
        self._reuse = reuse and bool(self._receive)
        self._wire: Wire | None = None

    async def check(self, deadline: Deadline) -> CheckResult:
        """Check once."""
        if self._wire is not None and self._wire.has_hung_up():
            await self.close()
        try:
            wire = self._wire = self._wire or await self._parts.network().dial(question(self._target, deadline))
            result = await self._talk(wire, deadline) if self._receive else CheckResult.PASSED
        except DeadlineExpired:
            result = CheckResult.TIMED_OUT
        except (UpstreamConnectError, UpstreamResetError):
            result = CheckResult.UNREACHABLE
        if not (result.passed and self._reuse):
            await self.close()
        return result

    async def close(self) -> None:
        """Drop the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _talk(self, wire: Wire, deadline: Deadline) -> CheckResult:
        received = b""
        try:
            if self._send:
                await wire.write(self._send, deadline)
            while not matches_in_order(self._receive, received):
                chunk = await wire.read(deadline)
                if not chunk or len(received) > MAX_TCP_BUFFER:
                    return CheckResult.UNREACHABLE
                received += chunk
        except PeerReset:
            return CheckResult.UNREACHABLE
        return CheckResult.PASSED
