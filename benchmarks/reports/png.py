"""Charts as pictures for the README, drawn by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .html import COLOURS
from .model import PERCENTILE_TICKS, nines, short

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .model import Chart, Section, Series

INCHES = (8.4, 4.4)
DPI = 110
GRID = "#e7ebef"
BESIDE = 5
"""Lines whose names still fit into the picture."""


def write(folder: Path, sections: Iterable[Section]) -> list[Path]:
    """Draw each chart into `folder`; `ImportError` where matplotlib is not installed."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    return [draw(chart, folder / f"{chart.name}.png") for section in sections for chart in section.charts]


def draw(chart: Chart, path: Path) -> Path:
    """Draw one chart."""
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    width, height = INCHES
    if chart.lies:
        height = 1.2 + 0.26 * len(chart.names) * len(chart.series)
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    try:
        axes.set_title(chart.title, loc="left", fontsize=12)
        axes.set_axisbelow(True)
        if chart.lies:
            _lying_bars(axes, chart)
        else:
            _standing(axes, chart)
        if len(chart.series) > 1:
            beside = len(chart.series) > BESIDE
            place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if beside else {"loc": "best"}
            axes.legend(frameon=False, fontsize=9, **place)
        figure.savefig(path, dpi=DPI)
    finally:
        plt.close(figure)
    return path


def _standing(axes: Any, chart: Chart) -> None:
    if chart.kind == "bars":
        _bars(axes, chart)
    else:
        _lines(axes, chart)
    axes.set_xlabel(chart.x_title)
    axes.set_ylabel(chart.y_title)
    axes.grid(axis="y", color=GRID)
    axes.set_yscale(chart.y_scale)
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    if chart.y_scale == "linear":
        axes.set_ylim(bottom=0)


def _lying_bars(axes: Any, chart: Chart) -> None:
    """Draw the first on top, each with its figure behind the end of its spread."""
    places = {name: at for at, name in enumerate(chart.names)}
    width = 0.8 / len(chart.series)
    axes.set_xscale(chart.y_scale)
    for number, series in enumerate(chart.series):
        offset = (number - (len(chart.series) - 1) / 2) * width
        at = [places[str(x)] + offset for x in series.x]
        axes.barh(
            at, series.y, width, label=series.name, color=COLOURS[number % len(COLOURS)], xerr=_errors(series),
            error_kw={"elinewidth": 1, "capsize": 2},
        )  # fmt: skip
        for place, y, high in zip(at, series.y, series.high or series.y, strict=True):
            axes.annotate(
                short(y), (max(y, high), place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
            )
    axes.set_yticks(list(places.values()), list(places))
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.01)
    axes.set_xlabel(chart.y_title)
    axes.grid(axis="x", color=GRID)
    axes.xaxis.set_major_formatter(lambda value, _: short(value))


def _bars(axes: Any, chart: Chart) -> None:
    places = {name: at for at, name in enumerate(chart.names)}
    width = 0.8 / len(chart.series)
    for number, series in enumerate(chart.series):
        offset = (number - (len(chart.series) - 1) / 2) * width
        at = [places[str(x)] + offset for x in series.x]
        bars = axes.bar(
            at, series.y, width, label=series.name, color=COLOURS[number % len(COLOURS)], yerr=_errors(series),
            error_kw={"elinewidth": 1, "capsize": 2},
        )  # fmt: skip
        axes.bar_label(bars, [short(y) for y in series.y], fontsize=8, padding=2)
    axes.set_xticks(list(places.values()), list(places))


def _lines(axes: Any, chart: Chart) -> None:
    percentiles = chart.kind == "percentiles"
    for number, series in enumerate(chart.series):
        x = [nines(float(at)) for at in series.x] if percentiles else [float(at) for at in series.x]
        axes.errorbar(
            x, series.y, yerr=_errors(series), label=series.name, color=COLOURS[number % len(COLOURS)],
            marker=None if percentiles else "o", markersize=4, linewidth=1.8, elinewidth=1, capsize=2,
        )  # fmt: skip
    if percentiles:
        axes.set_xscale("log")
        ticks = [tick for tick in PERCENTILE_TICKS if nines(tick) <= axes.get_xlim()[1]]
        axes.set_xticks([nines(tick) for tick in ticks], [f"{tick:g} %" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.set_xscale(chart.x_scale)
        axes.xaxis.set_major_formatter(lambda value, _: short(value))


def _errors(series: Series) -> list[list[float]] | None:
    if not series.low:
        return None
    return [
        [max(0.0, y - low) for y, low in zip(series.y, series.low, strict=True)],
        [max(0.0, high - y) for y, high in zip(series.y, series.high, strict=True)],
    ]
