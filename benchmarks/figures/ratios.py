"""One contestant against another: a ratio for each round that both ran, and what the rounds say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recorder import spread
from .results import Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .results import Measured, Round, Spread, Verdict

FIGURES = ("p50", "p99", "rate", "cpu_client", "cpu_all")
ENOUGH = 3
"""Rounds below which nobody can say that they agree."""


def figure(measured: Round, name: str) -> float | None:
    """Return a round's figure by its name, `None` where it has none."""
    if name == "cpu_all":
        return measured.cpu_client + (measured.cpu_sidecar or 0.0)
    value: float | None = getattr(measured.latency if name.startswith(("p", "max")) else measured, name)
    return value


def per_round(mine: Measured, theirs: Measured, name: str) -> list[float]:
    """Return the ratios of the rounds in which both got answers."""
    others = {one.number: one for one in theirs.rounds}
    found = []
    for one in mine.rounds:
        other = others.get(one.number)
        if other is None or not one.latency.count or not other.latency.count:
            continue
        value, against = figure(one, name), figure(other, name)
        if value is not None and against:
            found.append(value / against)
    return found


def verdict(told: Spread, rounds: int) -> Verdict:
    """Say "no difference" where the spread includes 1, or rounds are too few to agree."""
    if rounds < ENOUGH or told.low <= 1.0 <= told.high:
        return "no difference"
    return "less" if told.high < 1.0 else "more"


def ratios(measured: Sequence[Measured], references: Sequence[str]) -> Iterator[Ratio]:
    """Yield everybody's ratios to each of `references` under the same load in the same placement."""
    for theirs in (one for name in references for one in measured if one.name == name):
        situation = (theirs.kind, theirs.placement, theirs.load)
        for mine in measured:
            if mine is theirs or (mine.kind, mine.placement, mine.load) != situation:
                continue
            for name in FIGURES:
                if not (found := per_round(mine, theirs, name)):
                    continue
                told = spread(found)
                yield Ratio(
                    kind=mine.kind,
                    placement=mine.placement,
                    load=mine.load,
                    figure=name,
                    name=mine.name,
                    against=theirs.name,
                    spread=told,
                    verdict=verdict(told, len(found)),
                )
