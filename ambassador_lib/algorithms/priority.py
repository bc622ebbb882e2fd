"""How load is split over priorities, and when a priority panics (semantics 6.3, 6.4).

All arithmetic is in whole percent, as Envoy's is. A priority's health is the share of its hosts that are healthy,
overprovisioned (1.4 by default): it takes all the load until fewer than about 72 % are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_OVERPROVISIONING = 140
DEFAULT_PANIC_THRESHOLD = 50


@dataclass(frozen=True, slots=True)
class Level:
    """The hosts of one priority by number; `excluded` ones (draining, unchecked) are part of `hosts`."""

    hosts: int = 0
    healthy: int = 0
    degraded: int = 0
    excluded: int = 0
    weights: tuple[int, int, int] | None = None
    """Of the eligible, the healthy and the degraded hosts, where health goes by weight (`weighted_priority_health`)."""

    @property
    def eligible(self) -> int:
        """The denominator of every percentage."""
        return self.hosts - self.excluded

    def health(self, overprovisioning: int) -> int:
        """Return the load that the healthy hosts can take, percent."""
        eligible, healthy, _ = self.weights or (self.eligible, self.healthy, self.degraded)
        return min(100, overprovisioning * healthy // eligible) if eligible else 0

    def degraded_health(self, overprovisioning: int) -> int:
        """Return the load that the degraded hosts can take, percent."""
        eligible, _, degraded = self.weights or (self.eligible, self.healthy, self.degraded)
        return min(100, overprovisioning * degraded // eligible) if eligible else 0

    def below(self, panic_threshold: int) -> bool:
        """Whether too few hosts are available to trust health; degraded ones are available."""
        if not self.eligible:
            return panic_threshold > 0
        return (self.healthy + self.degraded) * 100 < panic_threshold * self.eligible


@dataclass(frozen=True, slots=True)
class Loads:
    """Percent of the load by priority, to its healthy and to its degraded hosts; 100 in all.

    In a priority in panic both parts go to all of its hosts.
    """

    healthy: tuple[int, ...]
    degraded: tuple[int, ...]
    panic: tuple[bool, ...]


def split_load(
    levels: Sequence[Level],
    *,
    overprovisioning: int | Sequence[int] = DEFAULT_OVERPROVISIONING,
    panic_threshold: int = DEFAULT_PANIC_THRESHOLD,
) -> Loads:
    """Split the load over `levels`, best priority first; there is at least one.

    `overprovisioning` may be each level's own.
    """
    factors = [overprovisioning] * len(levels) if isinstance(overprovisioning, int) else overprovisioning
    health = [level.health(factor) for level, factor in zip(levels, factors, strict=True)]
    degraded = [level.degraded_health(factor) for level, factor in zip(levels, factors, strict=True)]
    available = min(100, sum(health) + sum(degraded))
    # Where all priorities together can take the whole load, none panics, whatever the threshold says.
    panic = tuple(available < 100 and level.below(panic_threshold) for level in levels)
    if all(panic):
        return Loads(_by_hosts(levels), (0,) * len(levels), panic)
    if available == 0:
        # Panic is switched off and nobody is available: the best priority is asked, and has no host to give.
        return Loads((100, *(0 for _ in levels[1:])), (0,) * len(levels), panic)
    healthy_loads, degraded_loads = _spread(health, degraded, available)
    return Loads(healthy_loads, degraded_loads, panic)


_Split = tuple[tuple[int, ...], tuple[int, ...]]
"""Loads of the healthy and of the degraded hosts, by priority."""


class OnePriority:
    """All the load goes to the healthy (or the degraded) hosts of one priority."""

    __slots__ = ("_is_degraded", "_priority")

    def __init__(self, priority: int, *, degraded: bool) -> None:
        self._priority = priority
        self._is_degraded = degraded

    def loads(self, health: Sequence[int], degraded: Sequence[int]) -> _Split:  # noqa: ARG002 - whatever they can take
        """Return the loads of healthy and of degraded hosts."""
        one = tuple(100 if index == self._priority else 0 for index in range(len(health)))
        none = (0,) * len(health)
        return (none, one) if self._is_degraded else (one, none)


class AttemptedPriorities:
    """Which priorities one call's tries went to, and where its retries go instead (`previous_priorities`).

    After every `update_frequency` tries the priorities tried so far are left out; when all are, all are back.
    """

    __slots__ = ("_attempted", "_excluded", "_loads", "_update_frequency")

    def __init__(self, update_frequency: int) -> None:
        self._update_frequency = update_frequency
        self._attempted: list[int] = []
        self._excluded: set[int] = set()
        self._loads: _Split | None = None

    def attempted(self, priority: int) -> None:
        """Take note of a try."""
        self._attempted.append(priority)

    def loads(self, health: Sequence[int], degraded: Sequence[int]) -> _Split | None:
        """Return the loads of the next retry's pick, to healthy and degraded hosts; `None`: they are as ever.

        `health` and `degraded` are what the priorities can take, percent.
        """
        tries = len(self._attempted)
        if tries < self._update_frequency:
            return None
        if tries % self._update_frequency == 0:
            self._excluded.update(self._attempted)
            self._loads = self._adjusted(health, degraded)
        return self._loads

    def _adjusted(self, health: Sequence[int], degraded: Sequence[int]) -> _Split | None:
        for _ in range(2):
            left = [0 if index in self._excluded else value for index, value in enumerate(health)]
            left_degraded = [0 if index in self._excluded else value for index, value in enumerate(degraded)]
            available = min(100, sum(left) + sum(left_degraded))
            if available:
                return _spread(left, left_degraded, available)
            self._excluded.clear()
            self._attempted.clear()
        return None


def _spread(health: Sequence[int], degraded: Sequence[int], available: int) -> _Split:
    """Spread the load, healthy hosts of all priorities before degraded ones; something is available."""
    healthy_loads, rest = _fill(health, 100, available)
    degraded_loads, rest = _fill(degraded, rest, available)
    _give_rest(healthy_loads if any(health) else degraded_loads, health if any(health) else degraded, rest)
    return tuple(healthy_loads), tuple(degraded_loads)


def _fill(availability: Sequence[int], load: int, total: int) -> tuple[list[int], int]:
    """Hand `load` out from the best priority down, each as much as it can take relative to `total`."""
    shares = []
    for available in availability:
        share = min(load, available * 100 // total)
        shares.append(share)
        load -= share
    return shares, load


def _give_rest(loads: list[int], availability: Sequence[int], rest: int) -> None:
    # What whole percents leave over goes to the first that is available.
    loads[next(index for index, available in enumerate(availability) if available)] += rest


def _by_hosts(levels: Sequence[Level]) -> tuple[int, ...]:
    """When everybody panics, health says nothing: load goes by the number of hosts."""
    total = sum(level.hosts for level in levels)
    if total == 0:
        return (100, *(0 for _ in levels[1:]))
    loads = [100 * level.hosts // total for level in levels]
    _give_rest(loads, [level.hosts for level in levels], 100 - sum(loads))
    return tuple(loads)
