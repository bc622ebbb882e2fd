"""What does the sidecar cost, and what do we? Clients on one upstream: `python -m benchmarks compare`.

Everybody lives in a process of its own and takes turns. Our own contestants and Envoy enforce the same policy file.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..contestants.registry import REFERENCES, chosen
from ..figures.ratios import ratios
from ..figures.recorder import Recorder
from ..figures.results import Load
from ..reports.output import add_output_arguments, tell
from ..world.policy import PATH
from ..world.proc import CAN_PIN
from ..world.world import World
from .comparison import Comparison, Plan

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..contestants.base import Contestant
    from ..figures.results import Placement

OPEN_CALLERS = 64
"""As many calls of an open loop may be under way at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="less than a minute: shows that all works, measures little"
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="interleaved rounds (default: 8, 2 with --quick)")
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="of each turn (default: 0.2, 0.03 with --quick)")
    parser.add_argument(
        "--callers", type=_positive, action="append", metavar="C",
        help="callers of a closed loop, may be repeated (default: 1 and 32; 1 and 8 with --quick)",
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
    planned = plan(contestants, options)
    with World(planned.wanted, policy=options.policy, path=options.path) as world:
        comparison = Comparison(world, planned, recorder)
        measured = comparison.measure()
        found = recorder.run(
            entries=comparison.entries(),
            processes=comparison.processes(),
            measured=measured,
            ratios=tuple(ratios(measured, REFERENCES)),
        )
    return max(tell(found, options), 0 if measured else 1)


def plan(contestants: Sequence[Contestant], options: argparse.Namespace) -> Plan:
    """Return everybody under every load, once a round."""
    every = dict.fromkeys(loads(options.callers, options.rate, quick=options.quick), 1)
    return Plan(
        lanes=dict.fromkeys(contestants, every),
        placements=placements(options.mode, quick=options.quick),
        rounds=options.rounds or (2 if options.quick else 8),
        seconds=options.seconds or (0.03 if options.quick else 0.2),
        connections=50 if options.quick else 500,
        path=options.path,
    )


def loads(callers: Sequence[int] | None, rates: Sequence[float] | None, *, quick: bool) -> list[Load]:
    """Return the loads that are asked for. Where only one loop is spoken of, the other is left out."""
    if not callers and not rates:
        callers, rates = (1, 8) if quick else (1, 32), (200.0,)
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
    chosen: dict[str, list[Placement]] = {"same-core": ["same-core"], "cross-core": ["cross-core"]}
    return chosen.get(mode, ["same-core", "cross-core"])


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
