"""Holds the goals to what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..figures import ratios
from ..figures.recorder import spread
from ..figures.results import Judged, Spread
from .goals import Alone, Excess, Growth, Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..figures.results import Kind, Measured, Run
    from .goals import Goal

PLACEMENTS = ("same-core", "unpinned")
"""Where goals are measured; unpinned where nothing can be pinned."""
HIGH_IS_GOOD = ("rate",)


class NotMeasuredError(Exception):
    """What a goal needs is in none of the runs; the message says what."""


def judge(goals: Sequence[Goal], runs: Sequence[Run]) -> tuple[Judged, ...]:
    """Return what came of each goal; of several runs that have what it needs, the first counts."""
    return tuple(_judged(goal, runs) for goal in goals)


def _judged(goal: Goal, runs: Sequence[Run]) -> Judged:
    measured, against, why = None, goal.against, "not measured"
    for run in runs:
        try:
            measured, against = _measure(goal, run, runs)
            break
        except NotMeasuredError as error:
            why = str(error)
    return Judged(
        figure=goal.figure,
        against=against,
        limit=goal.limit,
        at_least=goal.at_least,
        unit=goal.unit,
        compiled=goal.compiled,
        measured=measured,
        met=None if measured is None else _met(goal, measured.median),
        absent=None if measured is not None else why,
    )


def _met(goal: Goal, value: float) -> bool:
    return value >= goal.limit if goal.at_least else value <= goal.limit


def _measure(goal: Goal, run: Run, runs: Sequence[Run]) -> tuple[Spread, str]:
    """Return the figure and against whom it stands."""
    of = goal.of
    match of:
        case Ratio():
            mine = _found(run, of.name, of.kind, of.callers)
            theirs = _best(run, of)
            named = f"{goal.against} ({theirs.name})" if len(of.against) > 1 else goal.against
            return _spread(ratios.per_round(mine, theirs, of.figure)), named
        case Excess():
            pair = _found(run, of.name, of.kind, of.callers), _found(run, of.beyond, of.kind, of.callers)
            return _spread(list(_excesses(*pair, of))), goal.against
        case Growth():
            return _growth(run, runs, of), goal.against
        case Alone():
            return _alone(run, of), goal.against


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        raise NotMeasuredError("no round has both")
    return spread(values)


def _found(run: Run, name: str, kind: Kind, callers: int) -> Measured:
    for one in run.measured:
        where = (one.name, one.kind, one.load.loop, one.load.callers)
        if where == (name, kind, "closed", callers) and one.placement in PLACEMENTS and one.latency.count:
            return one
    absent = next((one.absent for one in run.entries if (one.name, one.kind) == (name, kind) and one.absent), None)
    raise NotMeasuredError(absent or f"{name} was not measured with {callers} caller{'s' * (callers > 1)}")


def _best(run: Run, of: Ratio) -> Measured:
    """Return the one of the others that is hardest to beat."""
    found = []
    for name in of.against:
        try:
            found.append(_found(run, name, of.kind, of.callers))
        except NotMeasuredError:
            if len(of.against) == 1:
                raise
    if not found:
        raise NotMeasuredError(f"none of {', '.join(of.against)} was measured")
    choose = max if of.figure in HIGH_IS_GOOD else min
    return choose(found, key=lambda one: spread(list(_values(one, of.figure))).median)


def _values(one: Measured, figure: str) -> Iterator[float]:
    for number in one.rounds:
        if (value := ratios.figure(number, figure)) is not None and number.latency.count:
            yield value


def _excesses(mine: Measured, theirs: Measured, of: Excess) -> Iterator[float]:
    others = {one.number: one for one in theirs.rounds if one.latency.count}
    for one in mine.rounds:
        if (other := others.get(one.number)) is None or not one.latency.count:
            continue
        value, base = ratios.figure(one, of.figure), ratios.figure(other, of.figure)
        if value is not None and base:
            yield (value / base - 1) * 100 if of.unit == "%" else (value - base) * 1e6


def _growth(run: Run, runs: Sequence[Run], of: Growth) -> Spread:
    """The axis may have been measured apart from the calls that it stands against."""
    found = (curve for one in runs for curve in one.curves if (curve.axis, curve.name) == (of.axis, of.curve))
    if (curve := next(found, None)) is None:
        raise NotMeasuredError(f"{of.curve} was not measured along the axis {of.axis}")
    near, far = (curve.points[at].figures[of.figure] for at in (0, -1))
    call = spread(list(_values(_found(run, of.name, of.kind, 1), "p50"))).median
    median, low, high = ((value - near.median) / call * 100 for value in (far.median, far.low, far.high))
    return Spread(median=median, low=low, high=high)


def _alone(run: Run, of: Alone) -> Spread:
    for one in run.singles:
        if (one.name, one.of, one.kind) == (of.name, of.of, of.kind):
            value = one.value
            return Spread(median=value.median / of.per, low=value.low / of.per, high=value.high / of.per)
    raise NotMeasuredError(f"{of.name} was not measured")
