"""`python -m tests.engine.fuzz --seconds N`: responses by dice, read by our engine, by h11 and, where asked, by Envoy.

Our engine, blocking and on an event loop, however the bytes are cut, must make of a response what h11 does: the same
status, headers, body, end and decision on the connection. Where it may not, because Envoy does not either, is listed in
`oracle.DIFFERENCES`. Each script has a seed: `--seed N` shows that one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from .envoy_reads import EnvoyReader, envoy_reader
from .oracle import DIFFERENCES, EARLY, WAITING, Difference, Reading, by_engine, by_h11, by_loop_engine, explained
from .progress import Progress
from .responses import Script, script

SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """Two readers that do not agree."""

    script: Script
    readings: dict[str, Reading]

    def __str__(self) -> str:
        lines = [str(self.script)]
        for name, reading in self.readings.items():
            headers = "" if reading.headers is None else f" {list(reading.headers)}"
            lines.append(
                f"    {name:8} {reading.status} {reading.end}, kept={reading.kept}{headers} {reading.body!r}"[:400]
            )
        return "\n".join(lines)


def check(one: Script, differences: Counter[Difference] | None = None) -> Finding | None:
    """Have our engine and h11 read a response; what the list of differences explains is counted there."""
    ours, theirs = by_engine(one), by_h11(one)
    if ours.agrees(theirs):
        return None
    difference = explained(one, ours, theirs)
    if difference is None:
        return Finding(one, {"ours": ours, "h11": theirs})
    if differences is not None:
        differences[difference] += 1
    return None


def check_cuts(one: Script, cuts: Iterator[tuple[int, ...]]) -> Finding | None:
    """Have our engine read the same bytes, cut elsewhere: they mean the same."""
    whole = by_engine(one)
    for places in cuts:
        cut = one.cut(*places)
        reading = by_engine(cut)
        # What can no longer become a head may be refused sooner or later, by where it is cut.
        is_early = {reading, whole} == {Reading(end=WAITING), Reading()}
        if not is_early and not reading.agrees(whole):
            return Finding(cut, {"at once": whole, "cut": reading})
    return None


def check_loop(one: Script) -> Finding | None:
    """Have the engine of event loops read it, too."""
    blocking, loop = by_engine(one), asyncio.run(by_loop_engine(one))
    return None if loop.agrees(blocking) else Finding(one, {"blocking": blocking, "loop": loop})


def check_seed(seed: int, differences: Counter[Difference] | None = None) -> Finding | None:
    """All of these for one seed."""
    dice = Random(seed)
    one = script(dice)
    size = len(one.data)
    cuts = (tuple(dice.randrange(size + 1) for _ in range(number)) for number in (1, 2, 3))
    return check(one, differences) or check_cuts(one.cut(), cuts)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.envoy:
        with envoy_reader() as reader:
            return _ask_envoy(reader, options)
    seeds = iter([options.seed]) if options.seed is not None else _for_seconds(options.first, options.seconds)
    differences: Counter[Difference] = Counter()
    found, done = 0, 0
    for seed in seeds:
        done += 1
        finding = check_seed(seed, differences)
        if finding is None and done % 50 == 0:
            finding = check_loop(script(Random(seed)))
        if finding is not None:
            found += 1
            if found <= SHOWN:
                print(f"\nseed {seed}: {finding}")
        if options.seed is not None:
            one = script(Random(seed))
            print(Finding(one, {"ours": by_engine(one), "h11": by_h11(one)}))
    print(f"{done} responses, {found} findings; told apart from h11 on purpose:")
    for difference, count in differences.most_common():
        print(f"{count:7} {difference.reason}")
    return 1 if found else 0


def _for_seconds(first: int, seconds: float) -> Iterator[int]:
    progress = Progress(seconds)
    start = time.monotonic()
    seed = first
    while (passed := time.monotonic() - start) < seconds:
        progress(passed, f"seed {seed}")
        yield seed
        seed += 1
    progress.clear()


def _ask_envoy(reader: EnvoyReader, options: argparse.Namespace) -> int:
    """Ask about the list, and then about whatever we and h11 read differently."""
    wrong = 0
    for difference in DIFFERENCES:
        said = reader.read(difference.example).outcome
        as_told = said == (difference.envoy or difference.ours)
        wrong += not as_told
        print(f"{'as told' if as_told else f'NOT SO: {said}'}: {difference.reason}")
    asked = 0
    for seed in _for_seconds(options.first, options.seconds):
        one = script(Random(seed))
        ours, theirs = by_engine(one), by_h11(one)
        if ours.agrees(theirs) or explained(one, ours, theirs) is EARLY:
            continue
        asked += 1
        envoy = reader.read(one)
        if ours.outcome != envoy.outcome:
            wrong += 1
            if wrong <= SHOWN:
                print(f"\nseed {seed}: {Finding(one, {'ours': ours, 'envoy': envoy, 'h11': theirs})}")
    print(f"{wrong} wrong; Envoy was asked about {asked} responses that we take otherwise than h11")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.engine.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long; 60 by default")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="where to begin; 0 by default")
    parser.add_argument("--seed", type=int, help="only this one, and how it is read")
    parser.add_argument("--envoy", action="store_true", help="ask the real Envoy where we differ from h11")
    return parser


if __name__ == "__main__":
    sys.exit(main())
