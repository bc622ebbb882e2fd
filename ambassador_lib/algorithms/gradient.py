"""How many requests may be under way at once, by their latency (`adaptive_concurrency`; semantics 9.5).

Envoy works by timers; here whoever asks brings the time, and what the timers would have done since is done first. As
nothing happens to the numbers between two requests, that comes to the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

INFINITY = float("inf")
SMALLEST_GRADIENT = 0.5
LARGEST_GRADIENT = 2.0
PATIENCE = 5
"""So often in a row the limit may be the least one before the shortest latency is measured anew."""


@dataclass(frozen=True, slots=True)
class Gradient:
    """The settings. Times are seconds; `percentile`, `jitter` and `buffer` are shares, 0 to 1 (`buffer` may be more).

    `fixed_latency` takes the place of measuring the shortest latency every `measure_interval`.
    """

    update_interval: float
    most: int = 1000
    least: int = 3
    percentile: float = 0.5
    measure_interval: float = INFINITY
    measured_requests: int = 50
    jitter: float = 0.15
    buffer: float = 0.25
    fixed_latency: float | None = None

    def next_limit(self, limit: int, shortest: float, latency: float) -> int:
        """Return the limit that follows from the latency of late."""
        gradient = shortest * (1 + self.buffer) / latency if latency > 0 else LARGEST_GRADIENT
        wanted: float = limit * max(SMALLEST_GRADIENT, min(LARGEST_GRADIENT, gradient))
        return max(self.least, min(self.most, int(wanted + math.sqrt(wanted))))


class Latencies:
    """A histogram in steps of two significant digits, so that it stays small however many requests there are."""

    def __init__(self) -> None:
        self.count = 0
        self._bins: Counter[tuple[int, int]] = Counter()

    def add(self, seconds: float) -> None:
        """Count one request."""
        microseconds = max(0, round(seconds * 1e6))
        scale = max(0, len(str(microseconds)) - 2)
        self._bins[(scale, microseconds // 10**scale)] += 1
        self.count += 1

    def quantile(self, share: float) -> float:
        """Return the latency that `share` of the requests did not exceed, in seconds; inside a step, in proportion."""
        rank = max(1, math.ceil(share * self.count))
        before = 0
        for (scale, step), count in sorted(self._bins.items(), key=_lower_end):
            if before + count >= rank:
                return (step + (rank - before) / (count + 1)) * 10.0**scale / 1e6
            before += count
        return 0.0


def _lower_end(item: tuple[tuple[int, int], int]) -> int:
    (scale, step), _ = item
    return step * 10**scale  # type: ignore[no-any-return]  # int ** int is Any to mypy


class GradientController:
    """The limit at work. Not thread-safe: whoever shares it holds a lock. `random` yields 0 to below 1."""

    def __init__(self, settings: Gradient, now: float, random: Callable[[], float]) -> None:
        self.limit = settings.least
        self.under_way = 0
        self._settings = settings
        self._random = random
        self._latencies = Latencies()
        self._shortest = settings.fixed_latency or 0.0
        self._next_update = now + settings.update_interval
        self._next_measurement = INFINITY
        self._measuring_since: float | None = None
        self._limit_before = 0
        self._epoch = -INFINITY
        self._least_in_a_row = 0
        if settings.fixed_latency is None:
            self._measure(now)

    @property
    def measures(self) -> bool:
        """Whether the shortest latency is being measured, with as few requests at once as are allowed."""
        return self._measuring_since is not None

    def begin(self, now: float) -> bool:
        """Let one more request pass, or not."""
        self._catch_up(now)
        if self.under_way >= self.limit:
            return False
        self.under_way += 1
        return True

    def finished(self, started: float, now: float) -> None:
        """A response is complete."""
        self._catch_up(now)
        self.under_way -= 1
        if started < self._epoch:
            return
        self._latencies.add(now - started)
        if self.measures and self._latencies.count >= self._settings.measured_requests:
            self._measured(now)

    def broken_off(self) -> None:
        """A request ended without a complete response, and says nothing of latency."""
        self.under_way -= 1

    def _catch_up(self, now: float) -> None:
        """Do what the timers would have done by now, in their order."""
        while min(self._next_update, self._next_measurement) <= now:
            if self._next_measurement <= self._next_update:
                at, self._next_measurement = self._next_measurement, INFINITY
                self._measure(at)
            elif self.measures:
                self._next_update = INFINITY  # begins anew with the end of the measurement
            else:
                at = self._next_update
                if self._latencies.count:
                    self._update(at)
                    self._next_update = at + self._settings.update_interval
                else:  # nothing more will be found at the ticks until now
                    ticks = math.floor((now - at) / self._settings.update_interval) + 1
                    self._next_update = at + ticks * self._settings.update_interval

    def _update(self, now: float) -> None:
        latency = self._settings_quantile()
        self._set_limit(self._settings.next_limit(self.limit, self._shortest, latency), now)

    def _settings_quantile(self) -> float:
        latency = self._latencies.quantile(self._settings.percentile)
        self._latencies = Latencies()
        return latency

    def _measure(self, now: float) -> None:
        if self.measures:
            return
        self._measuring_since = now
        self._limit_before = self.limit
        self._set_limit(self._settings.least, now)
        self._latencies = Latencies()
        self._epoch = now

    def _measured(self, now: float) -> None:
        settings = self._settings
        self._shortest = self._settings_quantile()
        self._set_limit(self._limit_before, now)
        self._measuring_since = None
        jitter = settings.measure_interval * settings.jitter * self._random() if settings.jitter else 0.0
        self._next_measurement = now + settings.measure_interval + jitter
        self._next_update = now + settings.update_interval

    def _set_limit(self, limit: int, now: float) -> None:
        before, self.limit = self.limit, limit
        stuck = not self.measures and before == limit == self._settings.least
        self._least_in_a_row = self._least_in_a_row + 1 if stuck else 0
        # The shortest latency may be wrong, and the limit is where measuring wants it already.
        if self._least_in_a_row >= PATIENCE and self._settings.fixed_latency is None:
            self._next_measurement = now
