"""Passive health: hosts that answer badly are ejected for a while (`Cluster.outlier_detection`; semantics 5).

Every try is reported with `record`. What Envoy does on a timer happens in `sweep`, which comes before anything else
once `next_tick` has passed, so that each outcome counts in the interval it belongs to. Changes of health are seen at
once: there is no merge window.
"""

from __future__ import annotations

import enum
import math
import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..algorithms import ejection
from .host import HealthFlag, Host
from .host_monitor import HostMonitor, Tally
from .outlier_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..algorithms.overrides import Overrides
    from ..policy.model.cluster import OutlierDetection
    from ..runtime.base import Random


class LocalOrigin(enum.Enum):
    """How a try went where there is no response to judge by."""

    CONNECTED = enum.auto()
    """A connection is in hand. Only split mode takes notice."""
    CONNECT_FAILURE = enum.auto()
    RESET = enum.auto()
    """Closed, reset or garbage before the response's headers."""
    TIMEOUT = enum.auto()
    ANSWERED_TIMEOUT = enum.auto()
    """A timeout that is answered with 204, on the caller's wish (`x-envoy-upstream-rq-timeout-alt-response`)."""


Outcome = int | LocalOrigin
"""The status of a response, or what happened instead. An overflow or a cancellation is no outcome at all."""

_AS_STATUS = {
    LocalOrigin.CONNECT_FAILURE: 503, LocalOrigin.RESET: 503, LocalOrigin.TIMEOUT: 504,
    LocalOrigin.ANSWERED_TIMEOUT: 204,
}  # fmt: skip

# What a `grpc-status` header counts as in the response to a gRPC request (semantics 5, "Feeding").
_GRPC_AS_HTTP = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)


def timeout_outcome(overrides: Overrides | None) -> LocalOrigin:
    """Return what a try counts as that took too long; `overrides` are its caller's."""
    answered = overrides is not None and overrides.alt_response
    return LocalOrigin.ANSWERED_TIMEOUT if answered else LocalOrigin.TIMEOUT


def grpc_outcome(status: int) -> Outcome:
    """Return what a gRPC response with this `grpc-status` counts as; unknown codes are failures."""
    return _GRPC_AS_HTTP[status] if 0 <= status < len(_GRPC_AS_HTTP) else 500


_NO_RUNTIME: Mapping[str, Any] = {}


class OutlierDetector:
    """Outlier detection of one cluster; thread-safe.

    `hosts` returns the present members, `set_ejected(host, ejected)` changes a host's health (and may take its
    own lock). `stats` counts under Envoy's names.
    """

    def __init__(
        self,
        policy: OutlierDetection,
        *,
        now: float,
        random: Random,
        hosts: Callable[[], Sequence[Host]],
        set_ejected: Callable[[Host, bool], None],
        set_degraded: Callable[[Host, bool], None],
        runtime: Mapping[str, Any] = _NO_RUNTIME,
    ) -> None:
        self.settings = Settings.of(policy, runtime)
        self.next_tick = now + self.settings.interval
        self.stats: Counter[str] = Counter()
        self._random = random
        self._hosts = hosts
        self._set_ejected = set_ejected
        self._set_degraded = set_degraded
        self._lock = threading.Lock()

    def start_afresh(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()

    def record(self, host: Host, outcome: Outcome, now: float) -> None:
        """Count one try, and eject the host if it was one failure too many."""
        if now >= self.next_tick:
            self.sweep(now)
        monitor = host.outlier
        if monitor is not None and isinstance(outcome, int) and outcome < 500:
            # Nearly all of them, and without the lock: each number changes in one go (as in `statistics.Counters`).
            monitor.total += 1
            monitor.successes += 1
            monitor.consecutive_5xx = monitor.consecutive_gateway = 0
            return
        with self._lock:
            monitor = self._monitor_locked(host)
            if isinstance(outcome, int):
                self._status_locked(host, monitor, outcome, now)
            elif self.settings.split_external_local_origin_errors:
                self._local_origin_locked(host, monitor, outcome, now)
            elif outcome is not LocalOrigin.CONNECTED:
                self._status_locked(host, monitor, _AS_STATUS[outcome], now)

    def degrade(self, host: Host, now: float) -> None:
        """Take a host for degraded: for as long as an ejection would last, and not extended by its saying so again."""
        with self._lock:
            if host.flags & HealthFlag.DEGRADED_OUTLIER_DETECTION or host not in self._hosts():
                return
            self.stats["ejections_detected_degradation"] += 1
            monitor = self._monitor_locked(host)
            monitor.degraded_ends = now + self._time_locked(monitor)
            self._set_degraded(host, True)

    def sweep(self, now: float) -> None:
        """Do what the ticks up to `now` ask for: end ejections, and judge success rates once an interval."""
        with self._lock:
            if now < self.next_tick:
                return
            interval = self.settings.interval
            tick = self.next_tick
            missed = int((now - tick) // interval)
            self._tick_locked(tick, 1)
            self._judge_locked(tick)
            if missed:
                # Nothing was recorded in the meantime, or the first of these ticks would have been noticed then.
                self._tick_locked(tick + interval, missed)
            self.next_tick = tick + interval * (missed + 1)

    def uneject(self, host: Host) -> None:
        """Bring a host back since an active health check passed, unless the policy keeps ejections timed."""
        if not self.settings.successful_active_health_check_uneject_host:
            return
        with self._lock:
            if host.flags & HealthFlag.FAILED_OUTLIER_CHECK:
                self._uneject_locked(host)

    @staticmethod
    def _monitor_locked(host: Host) -> HostMonitor:
        if host.outlier is None:
            host.outlier = HostMonitor()
        return host.outlier

    def _status_locked(self, host: Host, monitor: HostMonitor, status: int, now: float) -> None:
        monitor.total += 1
        if not 500 <= status < 600:
            monitor.successes += 1
            monitor.consecutive_5xx = monitor.consecutive_gateway = 0
            return
        if status in (502, 503, 504):
            monitor.consecutive_gateway += 1
            if monitor.consecutive_gateway == self.settings.consecutive_gateway_failure and self._caught_locked(
                host, "consecutive_gateway_failure", now
            ):
                monitor.consecutive_gateway = 0
        else:
            monitor.consecutive_gateway = 0
        monitor.consecutive_5xx += 1
        if monitor.consecutive_5xx == self.settings.consecutive_5xx and self._caught_locked(
            host, "consecutive_5xx", now
        ):
            monitor.consecutive_5xx = 0

    def _local_origin_locked(self, host: Host, monitor: HostMonitor, outcome: LocalOrigin, now: float) -> None:
        tally = monitor.local
        if tally is None:
            tally = monitor.local = Tally()
        tally.total += 1
        if outcome is LocalOrigin.CONNECTED:
            tally.successes += 1
            monitor.consecutive_local = 0
            return
        monitor.consecutive_local += 1
        if monitor.consecutive_local == self.settings.consecutive_local_origin_failure and self._caught_locked(
            host, "consecutive_local_origin_failure", now
        ):
            monitor.consecutive_local = 0

    def _caught_locked(self, host: Host, kind: str, now: float) -> bool:
        """Eject a host that was caught, if allowed; False, with nothing counted, where it is ejected or gone."""
        if host.flags & HealthFlag.FAILED_OUTLIER_CHECK or host not in self._hosts():
            return False
        self.stats[f"ejections_detected_{kind}"] += 1
        self._eject_locked(host, kind, now)
        return True

    def _eject_locked(self, host: Host, kind: str, now: float) -> None:
        settings = self.settings
        hosts = self._hosts()
        ejected = sum(1 for other in hosts if other.flags & HealthFlag.FAILED_OUTLIER_CHECK)
        if not ejection.may_eject(
            ejected, len(hosts), settings.max_ejection_percent, always_one=settings.always_eject_one_host
        ):
            self.stats["ejections_overflow"] += 1
            return
        if self._random.random() * 100 >= getattr(settings, f"enforcing_{kind}"):
            return
        monitor = self._monitor_locked(host)
        monitor.ends = now + self._time_locked(monitor)
        self.stats[f"ejections_enforced_{kind}"] += 1
        self.stats["ejections_enforced_total"] += 1
        self._set_ejected(host, True)

    def _time_locked(self, monitor: HostMonitor) -> float:
        """Return how long the host is out from now on: longer than the time before."""
        settings = self.settings
        base, maximum = settings.base_ejection_time, settings.max_ejection_time
        monitor.multiplier = ejection.next_multiplier(monitor.multiplier, base, maximum)
        jitter = settings.max_ejection_time_jitter and self._random.random() * settings.max_ejection_time_jitter
        return ejection.ejection_time(base, monitor.multiplier, maximum) + jitter

    def _uneject_locked(self, host: Host) -> None:
        self._monitor_locked(host).reset()
        self._set_ejected(host, False)

    def _tick_locked(self, first: float, ticks: int) -> None:
        """Pass `ticks` ticks, the first at `first`: ended ejections are lifted, multipliers of the others decay."""
        for host in self._hosts():
            monitor = host.outlier
            if monitor is None:
                continue
            in_good_standing = ticks
            if host.flags & HealthFlag.DEGRADED_OUTLIER_DETECTION:
                lifting = self._lifting(monitor.degraded_ends, first)
                if lifting >= ticks:
                    in_good_standing = 0
                else:
                    in_good_standing = ticks - lifting - 1
                    self._set_degraded(host, False)
            if host.flags & HealthFlag.FAILED_OUTLIER_CHECK:
                # The tick that lifts an ejection does not count as one in good standing yet.
                lifting = self._lifting(monitor.ends, first)
                if lifting >= ticks:
                    continue
                in_good_standing = min(in_good_standing, ticks - lifting - 1)
                self._uneject_locked(host)
            monitor.multiplier = max(0, monitor.multiplier - in_good_standing)

    def _lifting(self, ends: float, first: float) -> int:
        """Return which tick, counted from the one at `first`, is the first after `ends`."""
        return max(0, math.ceil((ends - first) / self.settings.interval - 1e-9))

    def _judge_locked(self, now: float) -> None:
        """Look for hosts whose success rate stands out, or is too low, among those with enough traffic."""
        monitored = [(host, host.outlier) for host in self._hosts() if host.outlier is not None]
        self._judge_rates_locked(monitored, "success_rate", "failure_percentage", now)
        if self.settings.split_external_local_origin_errors:
            local = [(host, monitor.local) for host, monitor in monitored if monitor.local is not None]
            self._judge_rates_locked(local, "local_origin_success_rate", "failure_percentage_local_origin", now)

    def _judge_rates_locked(
        self, tallies: Sequence[tuple[Host, Tally]], success_rate: str, failure_percentage: str, now: float
    ) -> None:
        rates = [(host, *tally.take_rate()) for host, tally in tallies]
        rated = [
            (host, rate, volume)
            for host, rate, volume in rates
            if volume and not host.flags & HealthFlag.FAILED_OUTLIER_CHECK
        ]
        self._judge_success_locked(rated, success_rate, now)
        self._judge_failures_locked(rated, failure_percentage, now)

    def _judge_success_locked(self, rated: Sequence[tuple[Host, float, int]], kind: str, now: float) -> None:
        settings = self.settings
        hosts = [(host, rate) for host, rate, volume in rated if volume >= settings.success_rate_request_volume]
        if not hosts or len(hosts) < settings.success_rate_minimum_hosts:
            return
        threshold = ejection.success_rate_threshold([rate for _, rate in hosts], settings.success_rate_stdev_factor)
        for host, rate in hosts:
            if rate < threshold:
                self._caught_locked(host, kind, now)

    def _judge_failures_locked(self, rated: Sequence[tuple[Host, float, int]], kind: str, now: float) -> None:
        settings = self.settings
        hosts = [(host, rate) for host, rate, volume in rated if volume >= settings.failure_percentage_request_volume]
        if not hosts or len(hosts) < settings.failure_percentage_minimum_hosts:
            return
        for host, rate in hosts:
            if 100 - rate >= settings.failure_percentage_threshold:
                self._caught_locked(host, kind, now)
