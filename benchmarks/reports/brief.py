"""A comparison in brief: one line for each of those that a reader asks for first."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from .model import Section, Table, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..figures.results import Entry, Kind, Measured, Placement, Round, Run

ASKED_FOR = (
    "floor", "ours-compiled-bare", "ours-bare", "ours-compiled", "ours", "ours-compiled-full", "ours-full",
    "ours-over-httpx", "pyreqwest", "aiohttp", "http.client", "urllib3", "httpx2", "httpx-sniffio", "httpx", "diy",
    "floor-envoy", "aiohttp-envoy", "httpx-envoy", "httpx-haproxy", "httpx-nginx",
)  # fmt: skip
FEATURED = (
    "floor", "ours-compiled", "ours", "ours-full", "aiohttp", "urllib3", "httpx-sniffio", "httpx", "httpx-envoy", "diy",
)  # fmt: skip
"""Those that are drawn where not all can be."""
KINDS: tuple[Kind, ...] = ("async", "sync")
PLACEMENTS: tuple[Placement, ...] = ("same-core", "unpinned", "cross-core")
"""The first that was measured: on one core time is the sum of all work."""


def sections(run: Run) -> list[Section]:
    """Return one table, of the first placement."""
    placement = next((one for one in PLACEMENTS if any(lane.placement == one for lane in run.measured)), None)
    lanes = [
        lane for lane in run.measured if lane.placement == placement and lane.load.loop == "closed" and lane.rounds
    ]
    titles = _titles(run)
    if run.subject != "compare" or not lanes:
        return []
    most = max(lane.load.callers for lane in lanes)
    found = {(lane.name, lane.kind, lane.load.callers): lane for lane in lanes}
    rows = []
    for name in ASKED_FOR:
        cells = [
            cell
            for kind in KINDS
            for cell in (
                _cell(found.get((name, kind, 1)), lambda one: one.latency.p50 * 1e6),
                _cell(found.get((name, kind, most)), lambda one: one.rate),
                _cell(found.get((name, kind, 1)), lambda one: (one.cpu_client + (one.cpu_sidecar or 0.0)) * 1e6),
            )
        ]
        if any(cells):
            rows.append([titles.get(name, name), *cells])
    if not rows:
        return []
    text = (
        f"One caller's p50 in µs, answers a second with {most} callers at once, and µs of CPU that a call takes of "
        f"client and sidecar together; {placement}, medians of the rounds."
    )
    columns = [f"{kind} {figure}" for kind in KINDS for figure in ("p50", "answers/s", "CPU")]
    return [Section("In brief", text, [Table(["", *columns], rows)])]


def _titles(run: Run) -> dict[str, str]:
    """Return one title for both kinds: the words that they share where they differ."""
    found: dict[str, str] = {}
    for entry in run.entries:
        found[entry.name] = _shared(found[entry.name], entry) if entry.name in found else entry.title
    return found


def _shared(title: str, entry: Entry) -> str:
    mine, other = title.split(), entry.title.split()
    if len(mine) != len(other):
        return entry.title
    return " ".join(one if one == another else f"{one}/{another}" for one, another in zip(mine, other, strict=True))


def _cell(lane: Measured | None, figure: Callable[[Round], float]) -> str:
    if lane is None or not any(one.latency.count for one in lane.rounds):
        return ""
    return short(statistics.median(figure(one) for one in lane.rounds))
