"""Everybody's turns, interleaved: in every round each has one in each situation, in another order each time."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..figures.histograms import Histogram
from ..figures.results import Measured, Round
from ..load.driver import ContestantError
from ..world.proc import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..figures.results import Load, Placement
    from ..load.driver import Driver
    from ..load.turn import Turn
    from ..world.world import World


@dataclass(slots=True)
class Lane:
    """One contestant in one situation, and what was measured of it."""

    driver: Driver
    placement: Placement
    load: Load
    every: int = 1
    """In every how many rounds it has a turn."""
    rounds: list[Round] = field(default_factory=list)
    whole: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)

    def measured(self) -> Measured:
        return Measured(
            name=self.driver.contestant.name,
            kind=self.driver.contestant.kind,
            placement=self.placement,
            load=self.load,
            rounds=tuple(self.rounds),
            latency=self.whole.latency(whole=True),
            errors=dict(self.errors),
        )

    def take(self, turn: Turn, number: int, upstream: float | None, sidecar: float | None) -> None:
        """Add a turn. `upstream`, `sidecar`: the processor time they took meanwhile."""
        histogram = Histogram(turn.latencies)
        self.whole.add(histogram)
        self.errors.update(turn.errors)
        calls = turn.answered + turn.failed
        share = 1 / max(1, calls)
        self.rounds.append(
            Round(
                number=number,
                calls=calls,
                errors=turn.failed,
                unsent=turn.unsent,
                seconds=turn.seconds,
                rate=turn.answered / turn.seconds if turn.seconds else 0.0,
                latency=histogram.latency(),
                cpu_client=turn.cpu * share,
                cpu_upstream=None if upstream is None else upstream * share,
                cpu_sidecar=None if sidecar is None else sidecar * share,
            )
        )


class Rounds:
    """Runs lanes in a world. `failed`: told of a contestant that crashed; its lanes end there, the others go on."""

    def __init__(self, world: World, seconds: float, failed: Callable[[Driver, ContestantError], None]) -> None:
        self._world = world
        self._seconds = seconds
        self._failed = failed
        self._out: set[Driver] = set()

    def run(self, lanes: Sequence[Lane], rounds: int, step: Callable[[], None]) -> None:
        """Let everybody warm up, then have its rounds; `step` is called after every turn."""
        for number in range(rounds + 1):
            order = random.sample(lanes, len(lanes))
            for lane in order:
                if number % lane.every:
                    continue
                if lane.driver not in self._out:
                    self._turn(lane, number)
                step()
            # What was measured without a sidecar that has died is nothing to report.
            self._world.check()

    def _turn(self, lane: Lane, number: int) -> None:
        core = self._world.client_core(lane.placement)
        upstream = self._world.running[lane.driver.contestant.upstream]
        sidecar = self._world.running.get(lane.driver.contestant.through or "")
        before = cpu_seconds(upstream.pid), None if sidecar is None else cpu_seconds(sidecar.pid)
        try:
            turn = lane.driver.turn(lane.load, self._seconds, core)
        except ContestantError as error:
            self._world.check()
            self._out.add(lane.driver)
            self._failed(lane.driver, error)
            return
        after = cpu_seconds(upstream.pid), None if sidecar is None else cpu_seconds(sidecar.pid)
        if number:  # the first is the warm-up: connections are made, caches filled
            lane.take(turn, number, *map(_less, after, before))


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
