"""What calls read of the cluster that they go to; whoever changes any of it is an `Upstream`.

Apart from it so that it can be compiled: what is compiled cannot be referred to weakly, as an `Upstream` must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._native import mypyc_attr
from .statistics import Counters

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster
    from .breaker import ClusterBreaker
    from .host import Host
    from .lb_context import LbContext
    from .limits import Limits
    from .outlier import Outcome, OutlierDetector
    from .pickers import Picker
    from .shedding import Shedding

NEVER = float("inf")


@mypyc_attr(allow_interpreted_subclasses=True)
class Serving:
    """One cluster as it serves. `limits` are by priority; `hashes` and `subsets`: whether a pick wants the request's
    hash, and the route's `metadata_match`. `pick` chooses among the present hosts."""

    def __init__(
        self, cluster: Cluster, limits: dict[str, Limits], pick: Picker, *, hashes: bool, subsets: bool
    ) -> None:
        self.cluster = cluster
        self.name = cluster.name
        self.limits = limits
        options = cluster.http_protocol_options
        self.max_stream_duration = (options.max_stream_duration if options is not None else None) or NEVER
        """Seconds that one try may last, its body included."""
        self.traffic_seen = False
        """Whether a connection was ever opened for a request (`no_traffic_interval` of health checks ends with it)."""
        self.shedding: Shedding | None = None
        """What refuses requests before a host is picked, if anything does."""
        self.breaker: ClusterBreaker | None = None
        self.outlier: OutlierDetector | None = None
        self.hashes = hashes
        self.subsets = subsets
        self.counters = Counters()
        """What the cluster's calls are counted in."""
        self._pick = pick
        self._next_tick = NEVER

    def pick(self, now: float, context: LbContext | None = None) -> Host | None:
        """Choose a host, `None` where there is none.

        A `context` that rejects the host has another one picked, at most `reselect` times; the last pick is used
        whatever it says (`host_selection_retry_max_attempts`).
        """
        if now >= self._next_tick:
            self._sweep(now)
        host = self._pick(context)
        if context is not None and context.reject is not None:
            while context.skipped < context.reselect and host is not None and context.reject(host):
                context.skipped += 1
                host = self._pick(context)
        return host

    def priority_of(self, host: Host) -> int:
        """Return what `previous_priorities` knows the host's priority as."""
        return host.priority

    def record(self, host: Host, outcome: Outcome, now: float) -> None:
        """Tell outlier detection how one try went."""
        if self.outlier is not None:
            self.outlier.record(host, outcome, now)

    def degraded(self, host: Host, now: float) -> None:
        """The host said in traffic that it is degraded (`detect_degraded_hosts`)."""
        if self.outlier is not None:
            self.outlier.degrade(host, now)

    def _sweep(self, now: float) -> None:
        outlier = self.outlier
        if outlier is not None:
            outlier.sweep(now)
            self._next_tick = outlier.next_tick
