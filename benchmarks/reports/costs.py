"""What is told of the library's own cost: layers, peers and imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Chart, Section, Series, Table, short, spread

if TYPE_CHECKING:
    from ..figures.results import Cost, Run, Spread

TEXTS = {
    "layers": "Microseconds a call that pass in each layer itself, outermost first, over a transport that answers at "
    "once; in brackets the spread over rounds (10 % to 90 %). One by one: the last line is for the layers as they run, "
    "those that every call passes joined to one coroutine.",
    "peers": "Microseconds of CPU a call over a transport that answers at once, less the same call on that transport "
    "alone. They do not do the same work: a breaker counts, a retry looks at an outcome, the library does both, and "
    "routes, balances, times, watches and reports.",
    "imports": "Milliseconds that an import takes in a fresh interpreter.",
}


def sections(run: Run) -> list[Section]:
    """Return a section for each group of costs."""
    groups = dict.fromkeys(cost.group for cost in run.costs)
    absent = {f"{entry.name}: {entry.absent}" for entry in run.entries if entry.absent and entry.family == "peers"}
    told = []
    for group in groups:
        costs = [cost for cost in run.costs if cost.group == group]
        text = TEXTS.get(group.partition(",")[0], "")
        if absent and group.startswith("peers"):
            text += f"\nNot measured: {'; '.join(sorted(absent))}."
        told.append(_imports(costs, text) if group == "imports" else _group(group, costs, text))
    return told


def _group(group: str, costs: list[Cost], text: str) -> Section:
    kinds = dict.fromkeys(cost.kind for cost in costs)
    tables = [_table(kind, [cost for cost in costs if cost.kind == kind]) for kind in kinds]
    series = [
        Series(
            kind,
            [cost.name for cost in costs if cost.kind == kind and cost.over],
            [cost.over.median * 1e6 for cost in costs if cost.kind == kind and cost.over],
            [cost.over.low * 1e6 for cost in costs if cost.kind == kind and cost.over],
            [cost.over.high * 1e6 for cost in costs if cost.kind == kind and cost.over],
        )
        for kind in kinds
    ]
    chart = Chart(group.replace(", ", "-").replace(" ", "-"), group.capitalize(), "bars", "", "µs a call", series)
    return Section(group.capitalize(), text, tables, [chart])


def _table(kind: str, costs: list[Cost]) -> Table:
    rows = [[cost.name, short(cost.total.median * 1e6), _micro(cost.over), _share(cost)] for cost in costs]
    shares = "share" if costs[0].group == "layers" else "x ours"
    return Table(["", "µs in all", "µs itself", shares], rows, kind)


def _micro(value: Spread | None) -> str:
    return "" if value is None else spread(value.median * 1e6, value.low * 1e6, value.high * 1e6)


def _share(cost: Cost) -> str:
    if cost.share is None:
        return ""
    return f"{cost.share.median:.0%}" if cost.group == "layers" else f"{cost.share.median:.2f}"


def _imports(costs: list[Cost], text: str) -> Section:
    rows = [
        [
            cost.name,
            spread(cost.total.median * 1e3, cost.total.low * 1e3, cost.total.high * 1e3),
            "" if cost.share is None else spread(cost.share.median, cost.share.low, cost.share.high),
        ]
        for cost in costs
    ]
    return Section("Imports", text, [Table(["", "ms", "x import httpx"], rows)])
