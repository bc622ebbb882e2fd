"""What planning needs, taken out of a run of `compare`."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from .distributions import Measured
from .fleet import Unit

if TYPE_CHECKING:
    from ..figures import results
    from ..figures.results import Entry, Kind, Run

PLACEMENTS = ("cross-core", "unpinned", "same-core")
"""The first that was measured: a service does not usually share its core with the ones it calls."""
BARE = "httpx"
"""The family that everything is beyond."""


def usable(run: Run, kind: Kind) -> list[results.Measured]:
    """Return what was measured of a kind with one caller at a time; `ValueError` where there is nothing."""
    closed = [one for one in run.measured if one.kind == kind and one.load.loop == "closed" and one.latency.count]
    if not closed:
        raise ValueError(f"nothing was measured of {kind} clients in a closed loop")
    callers = min(one.load.callers for one in closed)
    placement = next(place for place in PLACEMENTS if any(one.placement == place for one in closed))
    return [one for one in closed if one.load.callers == callers and one.placement == placement]


def stacks(run: Run, kind: Kind) -> dict[str, Measured]:
    """Return the distribution of each way of calling, by its title."""
    titles = {(entry.name, entry.kind): entry.title for entry in run.entries}
    return {
        titles.get((one.name, one.kind), one.name): Measured(one.latency.curve or _few(one.latency))
        for one in usable(run, kind)
    }


def _few(latency: results.Latency) -> tuple[tuple[float, float], ...]:
    return ((50.0, latency.p50), (90.0, latency.p90), (99.0, latency.p99), (99.9, latency.p999), (100.0, latency.max))


def units(run: Run, kind: Kind) -> list[Unit]:
    """Return what a pod pays beyond bare httpx: each sidecar that was measured, and each way of ours."""
    cpu = {one.name: one for one in usable(run, kind)}
    entries = {entry.name: entry for entry in run.entries if entry.kind == kind and entry.absent is None}
    bare = next((entry for entry in entries.values() if entry.family == BARE and entry.through is None), None)
    if bare is None:
        raise ValueError("bare httpx was not measured; there is nothing to be beyond")
    found = []
    for entry in entries.values():
        if entry.name not in cpu or bare.name not in cpu:
            continue
        beyond = _client_cpu(cpu[entry.name]) - _client_cpu(cpu[bare.name])
        if entry.through is not None and entry.family != "ours":
            found += _sidecars(run, entry, cpu[entry.name])
        elif entry.family == "ours" and entry.through is None:
            found.append(Unit(entry.title, _memory(entry) - _memory(bare), None, beyond, beside=False))
    return list({unit.name: unit for unit in found}.values())


def _sidecars(run: Run, entry: Entry, measured: results.Measured) -> list[Unit]:
    """The sidecar's own share: what the client itself spends is the same httpx on both sides."""
    cpu = [one.cpu_sidecar for one in measured.rounds if one.cpu_sidecar is not None]
    return [
        Unit(
            f"{process.name} as a sidecar",
            process.memory_at_start,
            process.memory_per_connection,
            statistics.median(cpu),
            beside=True,
        )
        for process in run.processes
        if process.name == entry.through and cpu
    ]


def _client_cpu(measured: results.Measured) -> float:
    return statistics.median(one.cpu_client for one in measured.rounds)


def _memory(entry: Entry) -> float:
    return float(entry.memory_at_end or entry.memory_at_start or 0)
