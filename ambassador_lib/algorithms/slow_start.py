"""How much of its weight a new host has already (`slow_start_config`; semantics 6.6)."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MINIMUM = 0.1


@dataclass(frozen=True, slots=True)
class SlowStart:
    """`window` is seconds, `minimum` a share of the weight; with an `aggression` above 1 a host warms up faster."""

    window: float
    aggression: float = 1.0
    minimum: float = DEFAULT_MINIMUM

    def factor(self, age: float) -> float:
        """Return the share of its weight that a host of this age, seconds, is given."""
        if age >= self.window:
            return 1.0
        elapsed = max(0.001, age) / self.window
        if self.aggression != 1.0:
            elapsed = float(elapsed ** (1.0 / self.aggression))
        return max(elapsed, self.minimum)
