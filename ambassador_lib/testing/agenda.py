"""The heart of virtual time: what happens when, in one heap. Nothing here waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from .misuse import MisuseError

INFINITY = float("inf")
MOST_AT_ONCE = 100_000
"""Events that may happen at one instant; what goes on beyond that would never let time pass."""


class Event:
    """Something that will happen; `beside` is what goes on for ever by itself, such as health checks."""

    __slots__ = ("_do", "beside", "number", "when")

    def __init__(self, when: float, number: int, do: Callable[[], object], *, beside: bool) -> None:
        self.when = when
        self.number = number
        self.beside = beside
        self._do: Callable[[], object] | None = do

    def cancel(self) -> None:
        """It will not happen."""
        self._do = None

    @property
    def is_off(self) -> bool:
        """Whether it was cancelled, or has happened."""
        return self._do is None

    def happen(self) -> None:
        """Do it."""
        do, self._do = self._do, None
        if do is not None:
            do()

    def __lt__(self, other: Event) -> bool:
        return (self.when, self.number) < (other.when, other.number)


class Agenda:
    """Events in the order of their time, and of their making where that is the same."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.happened = 0
        """How many events there were so far, those beside not counted."""
        self._heap: list[Event] = []
        self._numbers = count()
        self._is_happening = False

    def add(self, when: float, do: Callable[[], object], *, beside: bool = False) -> Event:
        """Have something done at `when`, or now where that has passed."""
        event = Event(max(when, self.now), next(self._numbers), do, beside=beside)
        heapq.heappush(self._heap, event)
        return event

    def next(self) -> float:
        """Return when the next event is, `INFINITY` where there is none."""
        heap = self._heap
        while heap and heap[0].is_off:
            heapq.heappop(heap)
        return heap[0].when if heap else INFINITY

    def run_due(self) -> None:
        """Let happen what is due now; an event itself that asks for it changes nothing."""
        if self._is_happening:
            return
        self._is_happening = True
        try:
            for _ in range(MOST_AT_ONCE):
                if self.next() > self.now:
                    return
                event = heapq.heappop(self._heap)
                self.happened += not event.beside
                event.happen()
        finally:
            self._is_happening = False
        raise MisuseError(
            f"{MOST_AT_ONCE} things have happened at one virtual instant, and it goes on: time stands still"
        )

    def move_to(self, when: float) -> None:
        """Let time pass; what is due by then happens with the next `run_due`."""
        if when != INFINITY:
            self.now = max(self.now, when)
