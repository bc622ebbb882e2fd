"""What a report is made of, whoever draws it: sections with tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

STANDING = 4
"""Bars that still stand beside each other."""
Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Table:
    """Columns, and rows of what stands in them, already written as text. The first column is set to the left."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Series:
    """One line or one set of bars. `low` and `high`, where known, are the spread of each value over the rounds."""

    name: str
    x: Sequence[float | str]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Chart:
    """A picture. `percentiles`: `x` are percentiles (0 to below 100), drawn so that each nine has the same room."""

    name: str
    """A file's name, without its ending."""
    title: str
    kind: Literal["lines", "bars", "percentiles"]
    x_title: str
    y_title: str
    series: Sequence[Series]
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"

    @property
    def names(self) -> list[str]:
        """What stands below the bars, in its order."""
        return list(dict.fromkeys(str(x) for series in self.series for x in series.x))

    @property
    def lies(self) -> bool:
        """Whether its bars are so many that they lie, with room for their names beside them."""
        return self.kind == "bars" and len(self.names) > STANDING


@dataclass(frozen=True)
class Section:
    """A headline, what is to be known about it, and what was measured."""

    title: str
    text: str = ""
    tables: Sequence[Table] = field(default=())
    charts: Sequence[Chart] = field(default=())


def nines(percentile: float) -> float:
    """Return the place of a percentile on an axis where 90, 99 and 99.9 are equally far apart; 100 has none."""
    return 1 / (1 - percentile / 100)


PERCENTILE_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)


def short(value: float) -> str:
    """Write a figure with three digits that mean something, and no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def spread(median: float, low: float, high: float) -> str:
    """Write a figure with its spread, where it has one."""
    if low == high:
        return short(median)
    return f"{short(median)} ({short(low)} .. {short(high)})"
