"""What is told of scale: curves, and the names of their growth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Chart, Section, Series, Table, spread

if TYPE_CHECKING:
    from ..figures.results import Curve, Run

AXES = {
    "endpoints": "endpoints of the cluster",
    "routes": "routes, of which the last is taken",
    "clusters": "clusters",
    "everything": "endpoints, with a tenth as many routes and every URL new",
    "callers": "callers at once",
    "body": "bytes of the response's body",
    "threads": "threads",
}
FIGURES = {
    "cpu_client": ("CPU a call", "µs", 1e6),
    "cpu_sidecar": ("CPU of Envoy a call, its sockets included", "µs", 1e6),
    "p50": ("p50", "µs", 1e6),
    "p99": ("p99", "µs", 1e6),
    "rate": ("throughput", "calls/s", 1.0),
    "build": ("time to begin", "ms", 1e3),
    "memory": ("memory", "MiB", 1 / 2**20),
}
ALONE = (
    "The library over a transport that answers at once: CPU of a call through all layers, and what a policy of that "
    "size takes once, time and memory of the transport. Beside it Envoy with the same policy: time to be ready, memory "
    "of the process, and its CPU for a call through both its sockets."
)
TEXTS = {
    "endpoints": f"{ALONE} Envoy gets no calls here: it would first connect to each endpoint.",
    "routes": ALONE,
    "clusters": ALONE,
    "everything": "The whole client over a transport that answers at once; no URL is asked for twice, and each "
    "endpoint was called before. What a first call to one takes beyond that is told apart.",
    "callers": "Closed loop over the loopback. More callers than the processor can serve wait for each other: p50 then "
    "grows with them, whoever serves; what counts is CPU a call and throughput.",
}


FIRST_USE = "CPU that the first call to an endpoint takes beyond later ones, where there are most of them."


def sections(run: Run) -> list[Section]:
    """Return a section for each axis."""
    told = []
    for axis in dict.fromkeys(curve.axis for curve in run.curves):
        mine = [curve for curve in run.curves if curve.axis == axis]
        by_figure: dict[str, list[Curve]] = {}
        for curve in mine:
            for figure in curve.points[0].figures:
                by_figure.setdefault(figure, []).append(curve)
        tables = [_table(figure, curves) for figure, curves in by_figure.items()]
        charts = [_chart(axis, figure, curves) for figure, curves in by_figure.items()]
        told.append(Section(f"Scale: {AXES.get(axis, axis)}", TEXTS.get(axis, ""), tables, charts))
    if first := [one for one in run.singles if one.name == "first-use-of-a-host"]:
        rows = [
            [one.of, spread(*(1e6 * at for at in (one.value.median, one.value.low, one.value.high)))] for one in first
        ]
        told.append(Section("A host's first use", FIRST_USE, [Table(["", "µs"], rows)]))
    return told


def _table(figure: str, curves: list[Curve]) -> Table:
    title, unit, factor = _figure(figure)
    x = [point.x for point in curves[0].points]
    rows = []
    for curve in curves:
        values = [
            spread(one.median * factor, one.low * factor, one.high * factor)
            for one in (point.figures[figure] for point in curve.points)
        ]
        rows.append([curve.name, *values, curve.growth.get(figure, "")])
    return Table([f"{title}, {unit}", *(f"{int(at):,}" for at in x), "growth"], rows)


def _chart(axis: str, figure: str, curves: list[Curve]) -> Chart:
    title, unit, factor = _figure(figure)
    series = []
    for curve in curves:
        points = [point for point in curve.points if point.x > 0]
        spreads = [point.figures[figure] for point in points]
        grown = f" ({curve.growth[figure]})" if figure in curve.growth else ""
        series.append(
            Series(
                curve.name + grown,
                [point.x for point in points],
                [one.median * factor for one in spreads],
                [one.low * factor for one in spreads],
                [one.high * factor for one in spreads],
            )
        )
    several = len(curves) > 1
    return Chart(
        f"scale-{axis}-{figure.replace('_', '-')}", f"{title[0].upper()}{title[1:]} against {AXES.get(axis, axis)}",
        "lines", AXES.get(axis, axis), unit, series, x_scale="log", y_scale="log" if several else "linear",
    )  # fmt: skip


def _figure(name: str) -> tuple[str, str, float]:
    return FIGURES.get(name, (name, "", 1.0))
