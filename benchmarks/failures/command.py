"""`python -m benchmarks failures`: killed, slow and failing upstreams, seen through the library and through Envoy."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

from ..figures.recorder import Recorder
from ..reports.output import add_output_arguments, tell
from ..reports.progress import Progress
from ..world.envoy import find, version
from ..world.errors import EnvoyMissingError, WorldError
from .figures import Played, evaluate
from .play import WAYS, Way, play
from .scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

QUICK = ("one-killed", "outage")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second (default: %(default)s)")
    parser.add_argument(
        "--unit", type=float, default=1.0, metavar="SECONDS",
        help="a scenario takes five or six of these (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--only", choices=[scenario.name for scenario in SCENARIOS], action="append",
        help="only this scenario, may be repeated (default: all)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how well")
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Play and tell; 1 where something could not be started, or ended by itself."""
    rounds, unit = (1, 0.3) if options.quick else (options.rounds, options.unit)
    chosen = options.only or (QUICK if options.quick else None)
    scenarios = [scenario for scenario in SCENARIOS if chosen is None or scenario.name in chosen]
    ways, programs, notes = _ways()
    recorder = Recorder("failures", options, programs)
    recorder.notes += [f"{options.rate:g} calls/s, {rounds} round{'s' * (rounds > 1)}", *notes]
    try:
        played = play_all(scenarios, ways, rounds=rounds, rate=options.rate, unit=unit)
    except WorldError as error:
        print(error, file=sys.stderr)
        return 1
    failures = tuple(
        evaluate(scenario.title, way.name, played[scenario.name, way.name], scenario.since * unit)
        for scenario in scenarios
        for way in ways
    )
    return tell(recorder.run(failures=failures), options)


def _ways() -> tuple[list[Way], dict[str, str], list[str]]:
    """Return who can be measured here, the versions of programs, and what a reader must know."""
    try:
        return list(WAYS), {"envoy": version(find())}, []
    except EnvoyMissingError as error:
        return [way for way in WAYS if way.how != "envoy"], {}, [str(error)]


def play_all(
    scenarios: Sequence[Scenario], ways: Sequence[Way], *, rounds: int, rate: float, unit: float
) -> dict[tuple[str, str], list[Played]]:
    """Play everything once a round, in another order each time."""
    pairs = [(scenario, way) for scenario in scenarios for way in ways]
    played: dict[tuple[str, str], list[Played]] = {(scenario.name, way.name): [] for scenario, way in pairs}
    with Progress(rounds * len(pairs)) as progress:
        for _ in range(rounds):
            random.shuffle(pairs)
            for scenario, way in pairs:
                played[scenario.name, way.name].append(play(scenario, way, rate=rate, unit=unit))
                progress.step()
    return played
