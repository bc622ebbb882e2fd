"""What a cluster counts, and how it can be asked how things are: under Envoy's names, which are Envoy's below
`cluster.<name>.`, but for those of the breaker by error rate, which Envoy has not.

A new statistic is a line in one of the tables, and for a count an attribute of `Counters`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .host import HealthFlag

if TYPE_CHECKING:
    from .limits import Limits
    from .upstream import Upstream


COUNTS = (
    "upstream_rq_completed",
    "upstream_rq_retry",
    "upstream_rq_retry_limit_exceeded",
    "upstream_rq_retry_overflow",
    "upstream_rq_total",
)
"""The counts of calls."""


class Counters:
    """Counts of one cluster, which the layers of a call add to: `counters.upstream_rq_total += 1`.

    No lock is taken: between reading and writing an integer attribute the interpreter lets no other thread in.
    """

    __slots__ = ("outlier_detection", *COUNTS)

    def __init__(self, outlier_detection: Counter[str] | None = None) -> None:
        self.upstream_rq_total = 0
        """Tries that were given to the engine."""
        self.upstream_rq_completed = 0
        """Calls that were answered, by the upstream or in its place."""
        self.upstream_rq_retry = 0
        """Tries after the first one."""
        self.upstream_rq_retry_limit_exceeded = 0
        """Calls that would have been tried again, had `num_retries` not been used up."""
        self.upstream_rq_retry_overflow = 0
        """Calls that would have been tried again, had there been room (`max_retries`, `retry_budget`)."""
        self.outlier_detection: Counter[str] = Counter() if outlier_detection is None else outlier_detection
        """What outlier detection counts, by its own names."""


class Statistic(NamedTuple):
    """A name below `cluster.<name>.`, and what reads it: a count from `Counters`, a gauge from the `Upstream`."""

    name: str
    read: Callable[[Any], int]
    is_gauge: bool = False


_DETECTED_BY = (
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "success_rate",
    "local_origin_success_rate",
    "failure_percentage",
    "failure_percentage_local_origin",
)
_EJECTIONS = (
    *(f"ejections_detected_{kind}" for kind in _DETECTED_BY),
    *(f"ejections_enforced_{kind}" for kind in (*_DETECTED_BY, "total")),
    "ejections_overflow",
)


def _count(name: str) -> Statistic:
    def read(counters: Counters) -> int:
        value: int = getattr(counters, name)
        return value

    return Statistic(name, read)


def _ejection(name: str) -> Statistic:
    def read(counters: Counters) -> int:
        return counters.outlier_detection[name]

    return Statistic(f"outlier_detection.{name}", read)


def _ejected(upstream: Upstream) -> int:
    return sum(1 for host in upstream.hosts if host.flags & HealthFlag.FAILED_OUTLIER_CHECK)


def _sum(field: str, upstream: Upstream) -> int:
    return sum(getattr(limits, field) for limits in upstream.limits.values())


def _breaker_is(state: str, upstream: Upstream) -> int:
    return int(upstream.breaker is not None and upstream.breaker.state == state)


def _open(priority: str, is_full: Callable[[Limits], bool], upstream: Upstream) -> int:
    return int(is_full(upstream.limits[priority]))


def _thresholds(priority: str) -> list[Statistic]:
    """Whether one of `circuit_breakers` is used up; of retries where no budget, which moves, stands in its place."""
    full: dict[str, Callable[[Limits], bool]] = {
        "cx_open": lambda limits: limits.connections >= limits.max_connections,
        "rq_open": lambda limits: limits.active >= limits.max_requests,
        "rq_pending_open": lambda limits: limits.pending >= limits.max_pending_requests,
        "rq_retry_open": lambda limits: limits.retry_budget is None and limits.retries >= limits.max_retries,
    }
    return [
        Statistic(f"circuit_breakers.{priority.lower()}.{name}", partial(_open, priority, is_full), is_gauge=True)
        for name, is_full in full.items()
    ]


CLUSTER_STATISTICS: tuple[Statistic, ...] = (
    *(_count(name) for name in COUNTS),
    *(_ejection(name) for name in _EJECTIONS),
    Statistic("outlier_detection.ejections_active", _ejected, is_gauge=True),
    Statistic("upstream_rq_active", partial(_sum, "active"), is_gauge=True),
    Statistic("upstream_rq_pending_active", partial(_sum, "pending"), is_gauge=True),
    *_thresholds("DEFAULT"),
    *_thresholds("HIGH"),
    Statistic("circuit_breaker.open", partial(_breaker_is, "open"), is_gauge=True),
    Statistic("circuit_breaker.half_open", partial(_breaker_is, "half-open"), is_gauge=True),
)
