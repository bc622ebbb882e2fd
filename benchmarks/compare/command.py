"""What does the sidecar cost, and what do we? Clients on one upstream: `python -m benchmarks compare`.

Everybody lives in a process of its own and takes turns. Our own contestants and Envoy enforce the same policy file.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..contestants.base import Place
from ..contestants.registry import REFERENCES, chosen
from ..figures.about import about_now
from ..figures.ratios import ratios
from ..figures.recorder import Recorder
from ..figures.results import Entry, Load, Process
from ..load.driver import ContestantError, Driver, start
from ..reports.output import add_output_arguments, tell
from ..reports.progress import Progress
from ..world.policy import PATH
from ..world.proc import CAN_PIN
from ..world.world import World, memory_per_connection
from .rounds import Lane, Rounds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..contestants.base import Contestant
    from ..figures.results import Measured, Placement

OPEN_CALLERS = 64
"""As many calls of an open loop may be under way at once."""
BUSY = 0.5
"""Load for each core from which on a machine is called busy."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="less than a minute: shows that all works, measures little"
    )
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="interleaved rounds (default: 10, 3 with --quick)"
    )
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="of each turn (default: 0.3, 0.05 with --quick)")
    parser.add_argument(
        "--callers", type=_positive, action="append", metavar="C",
        help="callers of a closed loop, may be repeated (default: 1, 8 and 32; 1 and 8 with --quick)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=_seconds, action="append", metavar="R",
        help="calls a second of an open loop, may be repeated (default: 200)",
    )  # fmt: skip
    parser.add_argument(
        "--mode", choices=("same-core", "cross-core", "both"),
        help="client on the core of upstream and sidecar, or on another (default: both; same-core with --quick)",
    )  # fmt: skip
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--sync", dest="kinds", action="store_const", const=("sync",), help="blocking clients only")
    kinds.add_argument("--async", dest="kinds", action="store_const", const=("async",), help="async clients only")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a contestant or pattern, repeatable"
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="enforce this bootstrap; its clusters lead to our upstream"
    )
    parser.add_argument("--path", default=PATH, help="what is called (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="name the contestants and end")
    parser.set_defaults(kinds=("sync", "async"))
    add_output_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print and write; return the exit code."""
    contestants = chosen(options.only, options.kinds)
    if options.list or not contestants:
        names = dict.fromkeys(one.name for one in chosen())
        print(f"contestants: {', '.join(names)}")
        return 0 if options.list else 2
    recorder = Recorder("compare", options)
    wanted = {one.through for one in contestants if one.through is not None}
    with World(wanted, policy=options.policy, path=options.path) as world:
        comparison = Comparison(world, contestants, recorder, options)
        measured = comparison.measure()
        found = recorder.run(
            entries=comparison.entries(),
            processes=comparison.processes(),
            measured=measured,
            ratios=tuple(ratios(measured, REFERENCES)),
        )
    return max(tell(found, options), 0 if measured else 1)


class Comparison:
    """Contestants in a world."""

    def __init__(
        self, world: World, contestants: Sequence[Contestant], recorder: Recorder, options: argparse.Namespace
    ) -> None:
        self._world = world
        self._contestants = contestants
        self._notes = recorder.notes
        self._quick: bool = options.quick
        self._rounds: int = options.rounds or (3 if options.quick else 10)
        self._seconds: float = options.seconds or (0.05 if options.quick else 0.3)
        self._loads = loads(options.callers, options.rate, quick=options.quick)
        self._placements = placements(options.mode, quick=options.quick)
        self._absent: dict[Contestant, str] = {}
        self._drivers: dict[Contestant, Driver] = {}
        self._per_connection: dict[str, float] = {}
        self._path: str = options.path
        recorder.about = about_now(world.versions)

    def measure(self) -> tuple[Measured, ...]:
        """Start everybody, run all rounds, end everybody."""
        for why in self._world.missing.values():
            self._note(why)
        self._weigh_connections()
        with ExitStack() as stack:
            lanes = [
                Lane(driver, placement, load)
                for driver in self._start(stack)
                for placement in self._placements
                for load in self._loads
            ]
            self._announce(len(lanes))
            with Progress(max(1, len(lanes) * (self._rounds + 1))) as progress:
                Rounds(self._world, self._seconds, self._crashed).run(lanes, self._rounds, progress.step)
            for driver in self._drivers.values():
                self._close(driver)
        return tuple(lane.measured() for lane in lanes if lane.rounds)

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entry(one) for one in self._contestants)

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
        for contestant in self._contestants:
            url = self._world.url(contestant)
            if url is None:
                self._absent[contestant] = f"{contestant.through} does not run here"
                continue
            try:
                driver = stack.enter_context(start(contestant, self._world.folder))
                driver.begin()
                if driver.absent is not None:
                    self._absent[contestant] = driver.absent
                    continue
                callers = max(load.callers for load in self._loads)
                place = Place(url=url, policy=str(self._world.policy), callers=callers)
                driver.open(place, self._world.client_core(self._placements[0]))
            except ContestantError as error:
                self._world.check()
                self._absent[contestant] = str(error)
                self._note(f"{contestant.name} ({contestant.kind}) could not begin: {error}")
                continue
            self._drivers[contestant] = driver
            started.append(driver)
        return started

    def _close(self, driver: Driver) -> None:
        if driver.alive:
            try:
                driver.close()
            except ContestantError as error:
                self._note(f"{driver.name} could not be closed: {error}")

    def _announce(self, lanes: int) -> None:
        """Say how long it will take, and whether somebody else is at work here."""
        turns = lanes * (self._rounds + 1)
        took = timedelta(seconds=round(turns * self._seconds))
        print(f"{turns} turns of {self._seconds:g} s take about {took} of load", file=sys.stderr)
        if (load := os.getloadavg()[0]) > BUSY * (os.cpu_count() or 1):
            self._note(f"The machine was busy when this began (load {load:.1f}): trust ratios, and not the tails.")

    def _crashed(self, driver: Driver, error: ContestantError) -> None:
        self._note(f"{driver.name} fell out: {error}")
        driver.stop()

    def _weigh_connections(self) -> None:
        for name, child in self._world.running.items():
            if name != "upstream":
                port = self._world.port(name)
                self._per_connection[name] = memory_per_connection(child, port, 50 if self._quick else 500, self._path)

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


def loads(callers: Sequence[int] | None, rates: Sequence[float] | None, *, quick: bool) -> list[Load]:
    """Return the loads that are asked for. Where only one loop is spoken of, the other is left out."""
    if not callers and not rates:
        callers, rates = (1, 8) if quick else (1, 8, 32), (200.0,)
    closed = [Load(loop="closed", callers=count) for count in dict.fromkeys(callers or ())]
    return closed + [Load(loop="open", callers=OPEN_CALLERS, rate=rate) for rate in dict.fromkeys(rates or ())]


def placements(mode: str | None, *, quick: bool) -> list[Placement]:
    """Return where clients are to run; without a second core, or ways to choose it, there is but one place."""
    if not CAN_PIN:
        return ["unpinned"]
    if len(os.sched_getaffinity(0)) < 2:
        return ["same-core"]
    if mode is None:
        mode = "same-core" if quick else "both"
    return ["same-core", "cross-core"] if mode == "both" else [mode]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value
