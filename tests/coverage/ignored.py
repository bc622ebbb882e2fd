"""Which scenario fails where a field is ignored: `python -m tests.coverage.ignored` checks the record, field by field.

The library's loader is made to drop one field from all that it reads, and a scenario that sets the field is carried out
on the blocking client. Where it fails, it shows the field; where it does not, the next is tried. What is found is kept
in `shown.json`, which the page names its scenarios from. Fields in `unseen.py` are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch

from tests.parity.compare import Laboratory
from tests.parity.model import Scenario
from tests.parity.suite import bootstraps, discovered, everything

from .page import RECORD, acted_on, recorded, setting
from .unseen import UNSEEN

MOST_TRIED = 60
"""Scenarios tried for a field that many set. Where that is not enough, name one in `shown.json`: it is tried first."""

LIMIT = 15.0
"""Seconds for a scenario that waits for what cannot come any more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or find the scenario of each field, keep what was found, return 1 where there is none."""
    parser = argparse.ArgumentParser(prog="python -m tests.coverage.ignored", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="fields by full name")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 2, help="scenarios at a time")
    options = parser.parse_args(arguments)
    known, setters = recorded(), setting(bootstraps(), discovered())
    fields = [name for name in acted_on() if name not in UNSEEN and (not options.only or _chosen(name, options.only))]
    candidates = {name: _ordered(known.get(name), setters.get(name, [])) for name in fields}
    found = dict(search(candidates, options.jobs))
    kept = {name: scenario for name, scenario in {**known, **found}.items() if scenario}
    RECORD.write_text(json.dumps({name: kept[name] for name in sorted(kept)}, indent=0) + "\n")
    missing = [name for name in fields if not found.get(name)]
    print("\n".join(missing) if missing else f"{len(fields)} fields, each with a scenario that fails without it")
    return int(bool(missing))


def search(candidates: dict[str, list[str]], jobs: int) -> Iterator[tuple[str, str]]:
    """Yield each field with the first of its scenarios that fails without it, or with nothing."""
    left = {name: list(scenarios) for name, scenarios in candidates.items()}
    with Laboratory(("sync",)) as laboratory:
        while left:
            tried = {name: scenarios.pop(0) for name, scenarios in left.items() if scenarios}
            for name in left.keys() - tried.keys():
                yield name, ""
            left = {name: left[name] for name in tried}
            jobs_of = [_ignoring(everything()[scenario], name) for name, scenario in tried.items()]
            failed = [verdict.scenario for verdict in laboratory.compare_all(jobs_of, jobs) if not verdict.same]
            for verdict in laboratory.compare_all(failed, jobs):  # once more: failing once may be chance
                if not verdict.same:
                    del left[verdict.scenario.ignores]
                    yield verdict.scenario.ignores, verdict.scenario.name
            print(f"\r{len(left)} left ", end="", file=sys.stderr, flush=True)


def _ignoring(scenario: Scenario, field: str) -> Scenario:
    return replace(scenario, ignores=field, limit=LIMIT)


def _ordered(known: str | None, setters: list[str]) -> list[str]:
    """The one on record first, then the smallest, then some of the others."""
    others = setters[MOST_TRIED // 2 :]
    drawn = random.Random(0).sample(others, min(len(others), MOST_TRIED // 2))
    return list(dict.fromkeys([*([known] if known in setters else []), *setters[: MOST_TRIED // 2], *drawn]))


def _chosen(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch(name, glob) for glob in globs)


if __name__ == "__main__":
    sys.exit(main())
