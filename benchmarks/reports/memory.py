"""What is told of the library's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Section, Table, spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..figures.results import Kind, Run, Spread

FIGURES = {
    "memory-of-process": ("a process beyond one of httpx, both after one call", "MiB", 2**20),
    "own-memory-of-process": ("of that, without the pages of files", "MiB", 2**20),
    "memory-a-connection": ("a connection, idle", "KiB", 2**10),
    "memory-an-endpoint": ("an endpoint", "KiB", 2**10),
    "memory-a-route": ("a route", "KiB", 2**10),
}
COLUMNS = {"ours": "interpreted", "ours-compiled": "compiled"}
TEXT = (
    "A process: what is resident, without OpenTelemetry's SDK. A connection, an endpoint, a route: what Python holds "
    "for each, the policy's own model included."
)


def sections(run: Run) -> list[Section]:
    """Return one table, with a column for each library."""
    found = {(one.name, one.kind, one.of): one.value for one in run.singles if one.name in FIGURES}
    libraries = list(dict.fromkeys(of for _, _, of in found))
    rows = [_row(name, kind, [found.get((name, kind, of)) for of in libraries]) for name, kind in _weighed(found)]
    titles = [COLUMNS.get(of, of) for of in libraries] if len(libraries) > 1 else [""]
    return [Section("Memory", TEXT, [Table(["memory of", "", *titles, ""], rows)])] if rows else []


def _weighed(found: Iterable[tuple[str, Kind, str]]) -> Iterable[tuple[str, Kind]]:
    return dict.fromkeys((name, kind) for name, kind, _ in found)


def _row(name: str, kind: Kind, values: Sequence[Spread | None]) -> list[str]:
    title, unit, factor = FIGURES[name]
    told = ["" if one is None else spread(one.median / factor, one.low / factor, one.high / factor) for one in values]
    return [title, kind, *told, unit]
