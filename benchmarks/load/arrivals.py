"""When the calls of an open loop are due: at a constant rate, whatever becomes of those before."""

from __future__ import annotations

SECOND = 1_000_000_000


class Arrivals:
    """`rate` calls a second for `seconds`; times are nanoseconds of one clock, `begin` is when the first is due.

    Whoever is free takes the next call and makes it when it is due, or at once where that is past. Calls that nobody
    has taken `grace` seconds after the last was due are given up.
    """

    def __init__(self, rate: float, seconds: float, begin: int, *, grace: float) -> None:
        self._begin = begin
        self._step = SECOND / rate
        self._count = max(1, round(rate * seconds))
        self._taken = 0
        self._end = self._due(self._count - 1) + round(grace * SECOND)

    @property
    def count(self) -> int:
        return self._count

    def take(self, now: int) -> int | None:
        """Return when the next call is due, `None` where there is none or it is too late for it."""
        if self._taken >= self._count or now > self._end:
            return None
        self._taken += 1
        return self._due(self._taken - 1)

    def given_up(self, now: int) -> list[int]:
        """Return how long each call that was never taken has waited by `now`."""
        return [now - self._due(number) for number in range(self._taken, self._count)]

    def _due(self, number: int) -> int:
        return self._begin + round(number * self._step)
