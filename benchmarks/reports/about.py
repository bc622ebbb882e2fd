"""Where a run's figures come from, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..figures.results import Run


def about(run: Run) -> str:
    """Return command, time, machine and versions."""
    machine = run.about
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    quick = "  (quick: shows that it works, not how fast)" if run.quick else ""
    load = " ".join(f"{load:.1f}" for load in machine.load)
    hardware = f"{machine.system}, {machine.processor}, {machine.cores} cores, {machine.memory / 2**30:.1f} GiB"
    return "\n".join(
        [
            f"{machine.command}{quick}",
            f"{machine.started}, {run.seconds:.0f} s; {hardware}, load {load}",
            f"{machine.python}, {versions}",
            *run.notes,
        ]
    )
