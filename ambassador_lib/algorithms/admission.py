"""How likely a request is refused by how many fail (`admission_control`; semantics 9.6)."""

from __future__ import annotations

from collections import deque

GRANULARITY = 1.0
"""Seconds that share one count. Source: Envoy keeps a count for each second."""
ACCURACY = 10_000


def rejection_probability(total: int, successes: int, *, threshold: float, aggression: float, most: float) -> float:
    """Return the share of requests to refuse, 0 to `most`.

    `threshold` is the success rate, 0 to 1, below which requests are refused; the greater the `aggression`, the more of
    them.
    """
    surplus = (total - successes / threshold) / (total + 1)
    if surplus <= 0:
        return 0.0
    return float(min(surplus if aggression == 1.0 else surplus ** (1.0 / aggression), most))


class SuccessWindow:
    """Successes and requests of the last `length` seconds."""

    def __init__(self, length: float) -> None:
        self.total = 0
        self.successes = 0
        self._length = length
        self._slots: deque[tuple[float, list[int]]] = deque()

    def record(self, now: float, *, success: bool) -> None:
        """Count one request."""
        self.advance(now)
        counts = self._slots[-1][1]
        counts[0] += 1
        counts[1] += success
        self.total += 1
        self.successes += success

    def rate(self, now: float) -> int:
        """Return the requests per second, whole ones, over the time for which there are counts."""
        if not self.total:
            return 0
        return self.total // max(1, int(now - self._slots[0][0]))

    def advance(self, now: float) -> None:
        """Forget what is too long ago."""
        slots = self._slots
        while slots and now - slots[0][0] >= self._length:
            total, successes = slots.popleft()[1]
            self.total -= total
            self.successes -= successes
        if not slots or now - slots[-1][0] >= GRANULARITY:
            slots.append((now, [0, 0]))
