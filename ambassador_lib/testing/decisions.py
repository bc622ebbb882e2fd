"""Who decides: of all that was said, what holds now for a connection, and what makes the answer to a request."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .faults import Answer, Reaction, Reception
from .latency import RandomNumbers, seconds_of
from .sentences import Line, Scope, Turn
from .steps import Run, Step, is_on, next_down, next_switch

if TYPE_CHECKING:
    from .seen import Seen

Standing = Literal["accept", "refuse", "black hole"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A decision: the answer, the steps that change it, the seconds before it, and the code to blame."""

    answer: Answer
    steps: tuple[Step, ...] = ()
    delay: float = 0.0
    label: str = ""


class Decisions:
    """The scripts of one upstream, and what follows from them."""

    def __init__(self, name: str, random: RandomNumbers) -> None:
        self.name = name
        self.random: RandomNumbers = random
        self._script_lock = threading.RLock()
        self._lines: dict[Scope, Line] = {}
        self._under_way: Counter[int] = Counter()

    def standing(self, endpoint: int, now: float) -> Standing:
        """Return what becomes of every connection attempted now; `"accept"` also where `reception` decides on each."""
        with self._script_lock:
            for run, step in self._connection_steps(endpoint, now):
                if step.times is None and step.probability is None and step.fault in ("down", "refuse", "black hole"):
                    run.fires()
                    return "black hole" if step.fault == "black hole" else "refuse"
        return "accept"

    def reception(self, endpoint: int, now: float) -> Reception:
        """Decide about one connection, and count it."""
        with self._script_lock:
            for run, step in self._connection_steps(endpoint, now):
                run.use(now)
                if step.probability is not None and run.random(step, self.random).random() >= step.probability:
                    continue
                assert step.fault is not None
                return Reception(kind="refuse" if step.fault == "down" else step.fault, label=step.said)
        return Reception()

    def cut(self, endpoint: int, now: float) -> Literal["", "idle", "now"]:
        """Return whether open connections are to be ended: not, as soon as they are idle, or at once with a reset."""
        with self._script_lock:
            for run, step in self._connection_steps(endpoint, now):
                if step.times is None:
                    run.fires()
                by_time = step.schedule is not None or not run.follows_count
                return "now" if step.fault == "down" and by_time else "idle"
        return ""

    def next_cut(self, endpoint: int, now: float) -> float | None:
        """Return when time alone will bring the next fault of connections, as far as can be said now."""
        with self._script_lock:
            runs = (line.live(endpoint, now) for line in self._chain(endpoint, None))
            faults = [fault for run in runs if run is not None for fault in _faults_ahead(run, now)]
        return min(faults, default=None)

    def next_change(self, endpoint: int, now: float) -> float | None:
        """Return when time alone may change what `standing` says."""
        with self._script_lock:
            runs = (line.live(endpoint, now) for line in self._chain(endpoint, None))
            changes = [at for run in runs if run is not None for at in _changes_ahead(run, now)]
        return min(changes, default=None)

    def _unscripted(self, seen: Seen) -> Reaction:
        raise NotImplementedError

    def _chain(self, endpoint: int, seen: Seen | None) -> list[Line]:
        lines = [line for line in self._lines.values() if line.scope.covers(endpoint, seen)]
        lines.reverse()  # of two that are as particular the one said later
        return sorted(lines, key=lambda line: line.scope.particular(), reverse=True)

    def _connection_steps(self, endpoint: int, now: float) -> list[tuple[Run[Step], Step]]:
        turns = (line.turn(endpoint, now) for line in self._chain(endpoint, None))
        return [
            (run, step) for run, step in filter(None, turns) if step.fault is not None and is_on(step, now - run.began)
        ]

    def _recipe(self, seen: Seen, now: float, chain: list[Line]) -> Recipe:
        for number, line in enumerate(chain):
            turn = line.turn(seen.endpoint, now)
            if turn is None:
                continue
            run, step = turn
            rest = chain[number + 1 :] if line.scope.first else None
            if step.fault is None:
                return self._applied(line.scope, turn, chain, rest, seen, now)
            if is_on(step, now - run.began):  # it came just before its connection was cut
                return Recipe(Reaction(place="before head", ending="close"), label=step.said)
            return self._well(run, chain, rest, seen, now)
        return Recipe(self._unscripted(seen), label="")

    def _applied(
        self,
        scope: Scope,
        turn: Turn,
        chain: list[Line],
        rest: list[Line] | None,
        seen: Seen,
        now: float,
    ) -> Recipe:
        run, step = turn
        index = run.used
        run.use(now)
        random = run.random(step, self.random)
        if step.probability is not None and random.random() >= step.probability:
            return self._well(run, chain, rest, seen, now)
        delay = seconds_of(step.after, random)
        if step.load is not None:
            shared = scope.endpoint is None and not scope.each
            load = self._under_way.total() if shared else self._under_way[seen.endpoint]
            delay += step.load[0] + step.load[1] * (load - 1)
        if step.answers:
            return Recipe(step.answers[min(index, len(step.answers) - 1)], (step,), delay, step.said)
        well = self._well(run, chain, rest, seen, now)
        label = step.said if step.changes_answers else well.label or step.said
        return Recipe(well.answer, (*well.steps, step), well.delay + delay, label)

    def _well(self, run: Run[Step], chain: list[Line], rest: list[Line] | None, seen: Seen, now: float) -> Recipe:
        """Return what is answered when nothing is wrong: as is usual, or as the `rest` says."""
        return self._usual(run, chain, seen, now) if rest is None else self._recipe(seen, now, rest)

    def _usual(self, instead_of: Run[Step], chain: list[Line], seen: Seen, now: float) -> Recipe:
        for line in chain:
            turn = line.usual(seen.endpoint, now, instead_of)
            if turn is not None:
                return self._applied(line.scope, turn, chain, None, seen, now)
        return Recipe(Reaction(body=self.name.encode()))


def _faults_ahead(run: Run[Step], now: float) -> Iterator[float]:
    for at, step in run.ahead(now):
        if step.fault is not None:
            yield max(at, now) if step.schedule is None else next_down(step.schedule, at, now)


def _changes_ahead(run: Run[Step], now: float) -> Iterator[float]:
    step = run.current(now)
    if step is not None and step.for_ is not None:
        yield run.began + step.for_
    if step is not None and step.schedule is not None:
        yield next_switch(step.schedule, run.began, now)
