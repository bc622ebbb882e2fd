"""A bar for what takes long."""

from __future__ import annotations

import sys

BAR = 30


class Progress:
    """Shows how far something has come, where there is a terminal."""

    def __init__(self, total: float, *, shown: bool | None = None) -> None:
        self._total = total
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._tenths = -1

    def __call__(self, done: float, note: str = "") -> None:
        """Redraw, where that would show."""
        share = min(1.0, done / self._total) if self._total else 1.0
        tenths = int(share * 1000)
        if self._shown and tenths != self._tenths:
            self._tenths = tenths
            full = int(share * BAR)
            print(
                f"\r\033[K[{'#' * full}{'.' * (BAR - full)}] {share:6.1%} {note}", end="", file=sys.stderr, flush=True
            )

    def clear(self) -> None:
        """Leave the line to others."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
