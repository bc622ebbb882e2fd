"""What is told of the library's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Section, Table, spread

if TYPE_CHECKING:
    from ..figures.results import Run, Single

FIGURES = {
    "memory-of-process": ("a process beyond one of httpx, both after one call", "MiB", 2**20),
    "memory-a-connection": ("a connection, idle", "KiB", 2**10),
    "memory-an-endpoint": ("an endpoint", "KiB", 2**10),
    "memory-a-route": ("a route", "KiB", 2**10),
}
TEXT = (
    "A process: what is resident, without OpenTelemetry's SDK. A connection, an endpoint, a route: what Python holds "
    "for each, the policy's own model included."
)


def sections(run: Run) -> list[Section]:
    """Return one table."""
    rows = [_row(one) for one in run.singles if one.name in FIGURES]
    return [Section("Memory", TEXT, [Table(["memory of", "", "", ""], rows)])] if rows else []


def _row(one: Single) -> list[str]:
    title, unit, factor = FIGURES[one.name]
    value = one.value
    return [title, one.kind, spread(value.median / factor, value.low / factor, value.high / factor), unit]
