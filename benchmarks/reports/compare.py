"""What is told of a comparison: latencies, ratios, throughput, and what each process takes."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from ..figures.recorder import spread
from .brief import FEATURED
from .model import Chart, Scale, Section, Series, Table, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..figures.results import Kind, Load, Measured, Placement, Ratio, Run

    Titles = dict[tuple[str, Kind], str]
    Where = tuple[Kind, Placement, Load]

MEGABYTE = 2**20
FIGURES = {
    "p50": "p50",
    "p99": "p99",
    "rate": "answers/s",
    "cpu_client": "CPU of the client",
    "cpu_all": "CPU with the sidecar",
}
SHOWN = 8
"""Lines that one chart still carries."""
FAR = 50.0
"""Times the smallest bar from which on the smallest ones would not be seen on an even scale."""


def sections(run: Run) -> list[Section]:
    """Return ratios first, since they are the result; then times, throughput, processes."""
    if not run.measured:
        return []
    titles = {(entry.name, entry.kind): entry.title for entry in run.entries}
    return [*_ratios(run, titles), *_times(run, titles), *_throughput(run, titles), _processes(run)]


def _ratios(run: Run, titles: Titles) -> list[Section]:
    """One table a base: rows are contestants in each situation, columns are figures."""
    tables = []
    for kind, placement, load, against in dict.fromkeys((r.kind, r.placement, r.load, r.against) for r in run.ratios):
        mine = [r for r in run.ratios if (r.kind, r.placement, r.load, r.against) == (kind, placement, load, against)]
        figures = [figure for figure in FIGURES if any(ratio.figure == figure for ratio in mine)]
        rows = []
        for name in dict.fromkeys(ratio.name for ratio in mine):
            by_figure = {ratio.figure: ratio for ratio in mine if ratio.name == name}
            rows.append([_title(titles, name, kind), *(_ratio(by_figure.get(figure)) for figure in figures)])
        base = _title(titles, against, kind)
        tables.append(
            Table([f"x {base}", *(FIGURES[figure] for figure in figures)], rows, _where(kind, placement, load))
        )
    if not tables:
        return []
    text = (
        "Each figure divided by that of the one named, in the same round: the median of the rounds, and in brackets "
        "where 10 % to 90 % of them lie. No difference: the spread includes 1."
    )
    return [Section("Ratios", text, tables)]


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    of_rounds = f"({ratio.spread.low:.2f} .. {ratio.spread.high:.2f})"
    if ratio.verdict == "no difference":
        return f"no difference {of_rounds}"
    return f"{ratio.spread.median:.2f} {of_rounds}"


def _times(run: Run, titles: Titles) -> list[Section]:
    told = []
    for kind, placement, load in _situations(run):
        mine = [one for one in run.measured if (one.kind, one.placement, one.load) == (kind, placement, load)]
        rows = [_row(one, titles) for one in sorted(mine, key=lambda one: one.latency.p50)]
        columns = ["µs", "p50", "p90", "p99", "p99.9", "max", "answers/s", "CPU client", "CPU sidecar", "failed"]
        charts = []
        curves = _featured([one for one in mine if one.latency.curve])
        if curves:
            series = [_curve(one, titles) for one in curves]
            charts.append(
                Chart(
                    f"latency-{kind}-{placement}-{_slug(load)}",
                    f"Latency, {_where(kind, placement, load)}",
                    "percentiles",
                    "percentile",
                    "µs",
                    series,
                    y_scale="log",
                )
            )
        if load.loop == "closed":
            charts.append(_bars(mine, titles, kind, placement, load))
        told.append(Section(f"Latency: {_where(kind, placement, load)}", "", [Table(columns, rows)], charts))
    return told


def _row(one: Measured, titles: Titles) -> list[str]:
    latency = one.latency
    sidecar = [round_.cpu_sidecar for round_ in one.rounds if round_.cpu_sidecar is not None]
    return [
        _title(titles, one.name, one.kind),
        *(short(value * 1e6) for value in (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)),
        short(_median([round_.rate for round_ in one.rounds])),
        short(_median([round_.cpu_client for round_ in one.rounds]) * 1e6),
        short(_median(sidecar) * 1e6) if sidecar else "",
        str(sum(one.errors.values()) + sum(round_.unsent for round_ in one.rounds)),
    ]


def _bars(mine: Sequence[Measured], titles: Titles, kind: Kind, placement: Placement, load: Load) -> Chart:
    """Draw medians with their spread, the quickest first."""
    medians = [(one, spread([round_.latency.p50 * 1e6 for round_ in one.rounds])) for one in mine]
    medians.sort(key=lambda pair: pair[1].median)
    ordered, spreads = [one for one, _ in medians], [told for _, told in medians]
    series = Series(
        "p50",
        [_title(titles, one.name, kind) for one in ordered],
        [one.median for one in spreads],
        [one.low for one in spreads],
        [one.high for one in spreads],
    )
    where = f"{kind}-{placement}-{_slug(load)}"
    scale: Scale = "log" if series.y[-1] > FAR * series.y[0] else "linear"
    return Chart(f"p50-{where}", f"p50, {_where(kind, placement, load)}", "bars", "", "µs", [series], y_scale=scale)


def _featured(lanes: Sequence[Measured]) -> list[Measured]:
    """Return as many as one chart carries: those that a reader asks for first, then others."""
    first = {name: at for at, name in enumerate(FEATURED)}
    return sorted(lanes, key=lambda one: first.get(one.name, len(first)))[:SHOWN]


def _curve(one: Measured, titles: Titles) -> Series:
    # Beyond that there is less than one call.
    last = 100 * (1 - 1 / max(1, one.latency.count))
    points = [(at, seconds) for at, seconds in one.latency.curve if at <= last]
    return Series(_title(titles, one.name, one.kind), [at for at, _ in points], [value * 1e6 for _, value in points])


def _throughput(run: Run, titles: Titles) -> list[Section]:
    charts = []
    for kind, placement in dict.fromkeys((one.kind, one.placement) for one in run.measured):
        closed = [
            one for one in run.measured if (one.kind, one.placement, one.load.loop) == (kind, placement, "closed")
        ]
        if len({one.load.callers for one in closed}) < 2:
            continue
        series = []
        shown = _featured([one for one in closed if one.load.callers == closed[0].load.callers])
        for name in dict.fromkeys(one.name for one in shown):
            mine = sorted((one for one in closed if one.name == name), key=lambda one: one.load.callers)
            rates = [_median([round_.rate for round_ in one.rounds]) for one in mine]
            series.append(Series(_title(titles, name, kind), [one.load.callers for one in mine], rates))
        charts.append(
            Chart(
                f"throughput-{kind}-{placement}",
                f"Throughput, {kind}, {placement}",
                "lines",
                "callers at once",
                "answers a second",
                series,
                x_scale="log",
                y_scale="log",
            )
        )
    text = "Closed loop: each caller calls again when it has its answer."
    return [Section("Throughput", text, [], charts)] if charts else []


def _processes(run: Run) -> Section:
    entries = [
        [
            f"{entry.title}, {entry.kind}",
            *(_milliseconds(value) for value in (entry.import_time, entry.start_time)),
            *(_megabytes(value) for value in (entry.memory_at_start, entry.memory_at_end)),
        ]
        for entry in run.entries
        if entry.absent is None
    ]
    others = [
        [
            f"{process.name} {process.version}",
            _milliseconds(process.start_time),
            *(_megabytes(value) for value in (process.memory_at_start, process.memory_at_end)),
            "" if process.memory_per_connection is None else short(process.memory_per_connection / 1024),
        ]
        for process in run.processes
    ]
    absent = dict.fromkeys(f"{entry.title}: {entry.absent}" for entry in run.entries if entry.absent is not None)
    text = f"Not measured: {'; '.join(absent)}." if absent else ""
    tables = [
        Table(["client", "import, ms", "to the first answer, ms", "MiB at first", "MiB at last"], entries),
        Table(["beside it", "start, ms", "MiB at first", "MiB at last", "KiB a connection"], others),
    ]
    return Section("Start and memory", text, [table for table in tables if table.rows])


def _situations(run: Run) -> Sequence[Where]:
    return list(dict.fromkeys((one.kind, one.placement, one.load) for one in run.measured))


def _where(kind: str, placement: str, load: Load) -> str:
    body = f", {load.body:,} bytes" if load.body else ""
    return f"{kind}, {placement}, {load.title}{body}"


def _slug(load: Load) -> str:
    return f"open-{load.rate:g}" if load.rate is not None else f"closed-{load.callers}"


def _title(titles: Titles, name: str, kind: Kind) -> str:
    return titles.get((name, kind), name)


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else short(seconds * 1e3)


def _megabytes(size: int | None) -> str:
    return "" if size is None else short(size / MEGABYTE)
