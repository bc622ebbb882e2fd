"""Active health checks as arithmetic: what a check's result makes of a host, and when the next check is due.

Source: `envoy.config.core.v3.HealthCheck`, semantics 6.1 and 6.2. `random` returns a float in [0, 1).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class CheckResult(enum.Enum):
    """How one check ended."""

    PASSED = "passed"
    DEGRADED = "degraded"
    """Passed, with `x-envoy-degraded`."""
    REFUSED = "refused"
    """An answer that says no: unhealthy at once, whatever the threshold."""
    EXCLUDED = "excluded"
    """Refused, with `x-envoy-immediate-health-check-fail`: left out of every percentage as well."""
    RETRIABLE = "retriable"
    """An answer in `retriable_statuses`: counts to the threshold."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke."""
    TIMED_OUT = "timed out"

    @property
    def passed(self) -> bool:
        """Whether the host is fine by this check."""
        return self in (CheckResult.PASSED, CheckResult.DEGRADED)


class Transition(enum.Enum):
    """What a result changed."""

    NONE = "none"
    PENDING = "pending"
    """On the way to a change, below the threshold."""
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRules:
    """Thresholds and times of one health check, with all of Envoy's defaults filled in."""

    interval: float
    healthy_threshold: int
    unhealthy_threshold: int
    no_traffic_interval: float
    no_traffic_healthy_interval: float
    unhealthy_interval: float
    unhealthy_edge_interval: float
    healthy_edge_interval: float
    initial_jitter: float = 0.0
    interval_jitter: float = 0.0
    interval_jitter_percent: int = 0

    def delay(self, transition: Transition, *, passed: bool, traffic_seen: bool, random: Callable[[], float]) -> float:
        """Return the wait between a result and the next check."""
        base = self._base(transition, passed=passed, traffic_seen=traffic_seen)
        by_percent = base * self.interval_jitter_percent / 100
        return base + by_percent * random() + self.interval_jitter * random()

    def first_delay(self, random: Callable[[], float]) -> float:
        """Return the wait before a host's first check."""
        return self.initial_jitter * random()

    def _base(self, transition: Transition, *, passed: bool, traffic_seen: bool) -> float:
        pending = transition is Transition.PENDING
        if not traffic_seen:
            return self.no_traffic_healthy_interval if passed and not pending else self.no_traffic_interval
        if passed:
            return self.healthy_edge_interval if pending else self.interval
        return self.unhealthy_edge_interval if pending else self.unhealthy_interval


class HealthState:
    """One host as one health check sees it."""

    __slots__ = ("_passes", "_refusals", "checked", "degraded", "failed", "rules", "timed_out")

    def __init__(self, rules: CheckRules, *, failed: bool = True) -> None:
        self.rules = rules
        self._passes = 0
        self._refusals = 0
        self.failed = failed
        self.timed_out = False
        """The host is unhealthy and the last failed check was a timeout."""
        self.degraded = False
        self.checked = False
        """Whether there was a check at all."""

    def record(self, result: CheckResult) -> Transition:
        """Take a result in."""
        transition = self._on_pass() if result.passed else self._on_failure(result)
        if result.passed:
            self.degraded = result is CheckResult.DEGRADED
        self.checked = True
        return transition

    def fail(self) -> None:
        """Something else than a check found the host unhealthy (`x-envoy-immediate-health-check-fail`)."""
        self.failed = True
        self._passes = 0

    def _on_pass(self) -> Transition:
        self._refusals = 0
        if not self.failed:
            return Transition.NONE
        self._passes += 1
        # The very first check of a host decides alone, so that start-up is fast.
        if self.checked and self._passes < self.rules.healthy_threshold:
            return Transition.PENDING
        self.failed = False
        self.timed_out = False
        return Transition.CHANGED

    def _on_failure(self, result: CheckResult) -> Transition:
        self._passes = 0
        transition = Transition.NONE
        if not self.failed:
            self._refusals += 1
            if (
                result not in (CheckResult.REFUSED, CheckResult.EXCLUDED)
                and self._refusals < self.rules.unhealthy_threshold
            ):
                return Transition.PENDING
            self.failed = True
            transition = Transition.CHANGED
        self.timed_out = result is CheckResult.TIMED_OUT
        return transition

    def __repr__(self) -> str:
        return f"<HealthState {'failed' if self.failed else 'passing'} +{self._passes} -{self._refusals}>"


def matches_in_order(expected: Sequence[bytes], received: bytes) -> bool:
    """Whether all of `expected` occur in `received`, in this order and without overlap; gaps are allowed."""
    start = 0
    for segment in expected:
        found = received.find(segment, start)
        if found < 0:
            return False
        start = found + len(segment)
    return True
