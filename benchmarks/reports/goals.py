"""What is told of the goals: figure, goal, what was measured, met or by how much missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Section, Table, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..figures.results import Judged, Run

TEXT = (
    "The library with everything on (routing, retries, breakers, timeouts, balancing, outlier detection, metrics, a "
    "trace of which every call is sampled), its client on the upstream's core; medians of the rounds, in brackets "
    "where 10 % to 90 % of them lie."
)


def sections(run: Run) -> list[Section]:
    """Return the table of goals, with how many are met in its text; the compiled library has a column of its own."""
    if not run.goals:
        return []
    goals = [goal for goal in run.goals if not goal.compiled]
    compiled = [goal for goal in run.goals if goal.compiled]
    rows = [[goal.figure, goal.against, limit(goal), measured(goal), verdict(goal)] for goal in goals]
    if all(goal.met is None for goal in compiled):
        why = next((f" {goal.absent}" for goal in compiled if goal.absent), "")
        text = f"{TEXT} {_count(goals)} goals are met{_unmeasured(goals)}.{why}"
        return [Section("Goals", text, [Table(["figure", "against", "goal", "measured", ""], rows)])]
    for row, goal in zip(rows, compiled, strict=True):
        row += [measured(goal), verdict(goal)]
    text = (
        f"{TEXT} Interpreted, {_count(goals)} goals are met{_unmeasured(goals)}; with the hot modules compiled, "
        f"{_count(compiled)}{_unmeasured(compiled)}."
    )
    return [Section("Goals", text, [Table(["figure", "against", "goal", "interpreted", "", "compiled", ""], rows)])]


def _count(goals: Sequence[Judged]) -> str:
    met = [goal.met for goal in goals if goal.met is not None]
    return f"{met.count(True)} of {len(met)}"


def _unmeasured(goals: Sequence[Judged]) -> str:
    count = sum(goal.met is None for goal in goals)
    return f", {count} not measured" if count else ""


def limit(goal: Judged) -> str:
    """Return the goal as it is written down."""
    return f"{'≥' if goal.at_least else '≤'} {_written(goal, goal.limit)}{_unit(goal)}"


def measured(goal: Judged) -> str:
    """Return what was measured, with its spread, or why nothing was."""
    if goal.measured is None:
        return f"not measured: {goal.absent}"
    value = goal.measured
    middle = f"{_written(goal, value.median)}{_unit(goal)}"
    if value.low == value.high:
        return middle
    return f"{middle} ({_written(goal, value.low)} .. {_written(goal, value.high)})"


def verdict(goal: Judged) -> str:
    """Say whether it is met, and where not, by how much."""
    if goal.measured is None:
        return ""
    if goal.met:
        return "met"
    if goal.unit == "x":
        share = goal.measured.median / goal.limit
        factor = 1 / share if goal.at_least else share
        return f"missed by {abs(share - 1):.0%}" if factor < 2 else f"missed by a factor of {factor:.1f}"
    return f"missed by {short(abs(goal.measured.median - goal.limit))}{_unit(goal)}"


def _is_fraction(goal: Judged) -> bool:
    """Whether it reads better as one in so many."""
    return goal.unit == "x" and goal.limit <= 0.5


def _written(goal: Judged, value: float) -> str:
    if _is_fraction(goal) and 0 < value < 1:
        return f"1/{1 / value:.3g}"
    return f"{value:.3g}" if abs(value) < 1000 else short(value)


def _unit(goal: Judged) -> str:
    if goal.unit == "x":
        return "" if _is_fraction(goal) else " x"
    return f" {goal.unit}" if goal.unit else ""
