"""Contestants in a world: started, given their turns, weighed, and ended."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from .. import compiled
from ..contestants.base import Place
from ..figures.about import about_now
from ..figures.results import Entry, Process
from ..load.driver import ContestantError, Driver, start
from ..reports.progress import Progress
from ..world.world import UPSTREAMS, World, memory_per_connection
from .rounds import Lane, Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ..contestants.base import Contestant
    from ..figures.recorder import Recorder
    from ..figures.results import Kind, Load, Measured, Placement

BUSY = 0.5
"""Load for each core from which on a machine is called busy."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who is measured in which situations, how often and how long.

    `lanes`: the loads of a contestant, and every how many rounds it has a turn under each.
    """

    lanes: Mapping[Contestant, Mapping[Load, int]]
    placements: Sequence[Placement]
    rounds: int
    seconds: float
    connections: int
    """As many are opened to a sidecar to see what one costs."""
    path: str

    @property
    def wanted(self) -> set[str]:
        """What must run beside the clients, by the names that `World` knows."""
        sidecars = {one.through for one in self.lanes if one.through is not None}
        return sidecars | {one.upstream for one in self.lanes}


class Comparison:
    """Contestants in a world."""

    def __init__(self, world: World, plan: Plan, recorder: Recorder) -> None:
        self._drivers: dict[Contestant, Driver] = {}
        self._world = world
        self._plan = plan
        self._notes = recorder.notes
        self._absent: dict[Contestant, str] = {}
        self._per_connection: dict[str, float] = {}
        recorder.about = about_now(world.versions)

    @property
    def placement(self) -> Placement:
        """Where clients are, in the first of the placements."""
        return self._plan.placements[0]

    def driver(self, name: str, kind: Kind) -> Driver | None:
        """Return a contestant's process, where it has begun and still runs."""
        found = (one for who, one in self._drivers.items() if (who.name, who.kind) == (name, kind) and one.alive)
        return next(found, None)

    def measure(self, afterwards: Callable[[Self], None] = lambda _: None) -> tuple[Measured, ...]:
        """Start everybody, run all rounds, end everybody; `afterwards` is called while they are still there."""
        for why in self._world.missing.values():
            self._note(why)
        self._weigh_connections()
        with ExitStack() as stack:
            lanes = [
                Lane(driver, placement, load, every)
                for driver in self._start(stack)
                for placement in self._plan.placements
                for load, every in self._plan.lanes[driver.contestant].items()
            ]
            turns = sum(1 + self._plan.rounds // lane.every for lane in lanes)
            self._announce(turns)
            with Progress(max(1, turns)) as progress:
                Rounds(self._world, self._plan.seconds, self._crashed).run(lanes, self._plan.rounds, progress.step)
            afterwards(self)
            for driver in self._drivers.values():
                self._close(driver)
        return tuple(lane.measured() for lane in lanes if lane.rounds)

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entry(one) for one in self._plan.lanes)

    def processes(self) -> tuple[Process, ...]:
        return tuple(
            Process(
                name=name,
                version=self._world.versions[name],
                start_time=child.start_time,
                memory_at_start=self._world.memory_at_start[name],
                memory_at_end=child.memory(),
                memory_per_connection=self._per_connection.get(name),
            )
            for name, child in self._world.running.items()
        )

    def _start(self, stack: ExitStack) -> list[Driver]:
        """Start those that can take part, one after the other: their imports are timed."""
        started = []
        uncompiled = compiled.amiss() if any(one.compiled for one in self._plan.lanes) else None
        if uncompiled is not None:
            self._note(uncompiled)
        for contestant, loads in self._plan.lanes.items():
            if contestant.compiled and uncompiled is not None:
                self._absent[contestant] = uncompiled
                continue
            url = self._world.url(contestant)
            if url is None:
                self._absent[contestant] = f"{contestant.through or contestant.upstream} does not run here"
                continue
            try:
                driver = stack.enter_context(start(contestant, self._world.folder))
                driver.begin()
                if driver.absent is not None:
                    self._absent[contestant] = driver.absent
                    continue
                driver.open(self._place(contestant, url, loads), self._world.client_core(self._plan.placements[0]))
            except ContestantError as error:
                self._world.check()
                self._absent[contestant] = str(error)
                self._note(f"{contestant.name} ({contestant.kind}) could not begin: {error}")
                continue
            self._drivers[contestant] = driver
            started.append(driver)
        return started

    def _place(self, contestant: Contestant, url: str, loads: Collection[Load]) -> Place:
        authority = self._world.authority if contestant.upstream == "tls" else None
        return Place(
            url=url,
            policy=str(self._world.policies[contestant.policy]),
            callers=max(load.callers for load in loads),
            authority="" if authority is None else str(authority),
        )

    def _close(self, driver: Driver) -> None:
        if driver.alive:
            try:
                driver.close()
            except ContestantError as error:
                self._note(f"{driver.name} could not be closed: {error}")

    def _announce(self, turns: int) -> None:
        """Say how long it will take, and whether somebody else is at work here."""
        took = timedelta(seconds=round(turns * self._plan.seconds))
        print(f"{turns} turns of {self._plan.seconds:g} s take about {took} of load", file=sys.stderr)
        if (load := os.getloadavg()[0]) > BUSY * (os.cpu_count() or 1):
            self._note(f"The machine was busy when this began (load {load:.1f}): trust ratios, and not the tails.")

    def _crashed(self, driver: Driver, error: ContestantError) -> None:
        self._note(f"{driver.name} fell out: {error}")
        driver.stop()

    def _weigh_connections(self) -> None:
        for name, child in self._world.running.items():
            if name not in UPSTREAMS:
                port = self._world.port(name)
                self._per_connection[name] = memory_per_connection(child, port, self._plan.connections, self._plan.path)

    def _note(self, text: str) -> None:
        self._notes.append(text)
        print(text, file=sys.stderr)

    def _entry(self, contestant: Contestant) -> Entry:
        entry = Entry(
            name=contestant.name,
            kind=contestant.kind,
            title=contestant.title,
            family=contestant.family,
            telemetry=contestant.telemetry,
            through=contestant.through,
            absent=self._absent.get(contestant),
        )
        if (driver := self._drivers.get(contestant)) is None:
            return entry
        return replace(
            entry,
            import_time=driver.import_time,
            start_time=driver.start_time,
            memory_at_start=driver.memory_at_start,
            memory_at_end=driver.memory_at_end or driver.memory_at_start,
        )
