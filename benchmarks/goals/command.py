"""`python -m benchmarks goals`: what we aim at, measured. A goal that is missed is said plainly, and is no failure."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..compare.comparison import Comparison
from ..costs import memory
from ..figures.recorder import Recorder, spread
from ..figures.results import Single
from ..reports import output
from ..reports.progress import Progress
from ..scale.axes import EVERYTHING
from ..scale.measure import curves, first_uses, libraries, null_places, rounds
from ..world.world import World
from .goals import COMPILED, GOALS, Alone
from .judge import judge
from .plan import plan

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..figures.results import Curve

BOTH = GOALS + COMPILED
CALLS = 10_000
"""In which collections are counted."""
TIMES = WEIGHED = 3
GROWTH_ROUNDS, GROWTH_CALLS = 9, 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.25, help="of each turn (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how fast")
    parser.add_argument(
        "--from", dest="sources", type=Path, nargs="+", metavar="RESULT",
        help="judge what `--json` of goals, compare, scale or memory has kept, and measure nothing",
    )  # fmt: skip
    output.add_output_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure or read, judge and tell; 2 where a result cannot be read. A goal that is missed changes nothing."""
    recorder = Recorder("goals", options)
    if options.sources is None:
        return _measure(recorder, options)
    try:
        runs = [output.read(path) for path in options.sources]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    recorder.notes += [f"Judged: {one.about.command}, {one.about.started}, {one.about.processor}" for one in runs]
    return output.tell(recorder.run(goals=judge(BOTH, runs)), options)


def _measure(recorder: Recorder, options: argparse.Namespace) -> int:
    quick: bool = options.quick
    planned = plan(BOTH, quick=quick, rounds=2 if quick else options.rounds, seconds=0.03 if quick else options.seconds)
    singles: list[Single] = []
    with World(planned.wanted) as world:
        comparison = Comparison(world, planned, recorder)
        calls = CALLS // 20 if quick else CALLS
        measured = comparison.measure(lambda one: singles.extend(_collections(one, world, calls)))
        entries, processes = comparison.entries(), comparison.processes()
    singles += memory.measure(2 if quick else WEIGHED, small=quick)
    grown, first_uses = _growth(options)
    found = recorder.run(
        measured=measured, entries=entries, processes=processes, singles=(*singles, *first_uses), curves=tuple(grown)
    )
    return output.tell(replace(found, goals=judge(BOTH, [found])), options)


def _collections(comparison: Comparison, world: World, calls: int) -> Iterator[Single]:
    """Count what cyclic garbage costs those that a goal of it names."""
    core = world.client_core(comparison.placement)
    for of in (goal.of for goal in BOTH):
        if not isinstance(of, Alone) or of.name != "collections":
            continue
        driver = comparison.driver(of.of, of.kind)
        if driver is None:
            continue
        counted = [driver.collections(calls, core) * CALLS / calls for _ in range(TIMES)]
        yield Single(name="collections", of=of.of, kind=of.kind, value=spread(counted))


def _growth(options: argparse.Namespace) -> tuple[list[Curve], list[Single]]:
    """Measure the axis of everything, without a network; return what a host's first use takes as well."""
    count, calls = (2, 50) if options.quick else (GROWTH_ROUNDS, GROWTH_CALLS)
    with ExitStack() as stack:
        places = null_places(EVERYTHING, libraries(), stack, quick=options.quick, calls=calls)
        with Progress((count + 1) * len(places)) as progress:
            rounds(places, count, progress.step)
        return curves(EVERYTHING, places), first_uses(places)
