"""What is made of the calls of one failure scenario."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..figures.recorder import spread
from ..figures.results import Failure, Second, Spread

LATE = 0.1
"""Seconds from which a call is not well even where it succeeds; one that is takes a few milliseconds."""
SLICE = 0.25

Outcome = tuple[float, float, bool]
"""When a call was due, how long it took from then, whether it succeeded."""


@dataclass(frozen=True)
class Played:
    """A scenario that was played once: its calls, and the requests that the replicas got for them."""

    outcomes: Sequence[Outcome]
    requests: int


def percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def success(outcomes: Sequence[Outcome]) -> float:
    """Return the share of calls that succeeded."""
    return sum(succeeded for _, _, succeeded in outcomes) / len(outcomes)


def recovery(outcomes: Sequence[Outcome], since: float) -> float | None:
    """Return the seconds from `since` until the last call that was not well, 0 where all were; `None` where one of
    the last tenth of the calls was not: that they were well by then may be chance."""
    after = sorted(outcome for outcome in outcomes if outcome[0] >= since)
    well = [succeeded and seconds <= LATE for _, seconds, succeeded in after]
    if all(well):
        return 0.0
    end = len(well) - well[::-1].index(False)
    if len(well) - end < max(1, len(well) // 10):
        return None
    return after[end][0] - since


def evaluate(scenario: str, name: str, played: Sequence[Played], since: float) -> Failure:
    """Return what was seen in all rounds of a scenario; the timeline is of all rounds together."""
    outcomes = [outcome for one in played for outcome in one.outcomes]
    recoveries = [recovery(one.outcomes, since) for one in played]
    known = [seconds for seconds in recoveries if seconds is not None]
    return Failure(
        scenario=scenario,
        name=name,
        calls=len(outcomes),
        success=spread([success(one.outcomes) for one in played]),
        extra_load=spread([one.requests / len(one.outcomes) - 1 for one in played]),
        p50=_percentiles(played, 50),
        p99=_percentiles(played, 99),
        recovery=spread(known) if known else None,
        never_recovered=len(recoveries) - len(known),
        timeline=timeline(outcomes),
    )


def _percentiles(played: Sequence[Played], percent: float) -> Spread:
    return spread([percentile(sorted(seconds for _, seconds, _ in one.outcomes), percent) for one in played])


def timeline(outcomes: Sequence[Outcome]) -> tuple[Second, ...]:
    """Cut the scenario into slices, by when calls were due."""
    slices: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        slices.setdefault(int(outcome[0] / SLICE), []).append(outcome)
    return tuple(
        Second(
            at=number * SLICE,
            calls=len(found),
            succeeded=sum(succeeded for _, _, succeeded in found),
            p99=percentile(sorted(seconds for _, seconds, _ in found), 99),
        )
        for number, found in sorted(slices.items())
    )
