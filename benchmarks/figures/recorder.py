"""Makes a `Run` of what a command has measured, and a `Spread` of what the rounds said."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from .about import about_now
from .results import Run, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def spread(values: Sequence[float]) -> Spread:
    """Return the median, and the first and last decile (of few rounds: the smallest and the greatest)."""
    deciles = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return Spread(median=statistics.median(values), low=deciles[0], high=deciles[-1])


class Recorder:
    """Takes down when a command began, and on what machine."""

    def __init__(self, subject: str, options: Any, programs: Mapping[str, str] | None = None) -> None:
        self.notes: list[str] = []
        self._subject = subject
        self._quick = bool(options.quick)
        self.about = about_now(programs)
        self._started = time.monotonic()

    def run(self, **measured: Any) -> Run:
        """Return the run, with what was measured by `Run`'s names."""
        return Run(
            subject=self._subject,
            about=self.about,
            seconds=time.monotonic() - self._started,
            quick=self._quick,
            notes=tuple(self.notes),
            **measured,
        )
