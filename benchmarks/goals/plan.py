"""What has to be measured to judge the goals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..compare.comparison import Plan
from ..contestants.registry import find
from ..figures.results import Kind, Load
from ..world.policy import PATH
from ..world.proc import CAN_PIN
from .goals import Excess, Growth, Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..contestants.base import Contestant
    from .goals import Goal

SLOW = 256
"""So many callers of httpx take seconds for a turn: a turn in every second round is enough."""
MOST_QUICK = 32
"""Callers in a quick run, at most."""


def plan(goals: Sequence[Goal], *, quick: bool, rounds: int, seconds: float) -> Plan:
    """Return every contestant that a goal names, under the loads that it is named with."""
    lanes: dict[Contestant, dict[Load, int]] = {}
    for name, kind, callers in dict.fromkeys(situation for goal in goals for situation in situations(goal)):
        if quick and callers > MOST_QUICK:
            continue
        load = Load(loop="closed", callers=callers)
        lanes.setdefault(find(name, kind), {})[load] = 2 if callers >= SLOW else 1
    return Plan(
        lanes=lanes,
        placements=["same-core" if CAN_PIN else "unpinned"],
        rounds=rounds,
        seconds=seconds,
        connections=50,
        path=PATH,
    )


def situations(goal: Goal) -> Iterator[tuple[str, Kind, int]]:
    """Yield whom a goal needs: contestant, kind, and callers at once."""
    of = goal.of
    match of:
        case Ratio():
            for name in (of.name, *of.against):
                yield name, of.kind, of.callers
        case Excess():
            yield of.name, of.kind, of.callers
            yield of.beyond, of.kind, of.callers
        case Growth():
            yield of.name, of.kind, 1
