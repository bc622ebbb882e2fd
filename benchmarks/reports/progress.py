"""A line on the terminal that says how far a long run has come; silent where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

WIDTH = 30
SHOWN_EVERY = 0.1


class Progress:
    """Counts steps; drawn on stderr, and only when that is a terminal."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._shown = 0.0
        self._started = time.monotonic()
        self._visible = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def step(self) -> None:
        """Count one step."""
        self._done += 1
        now = time.monotonic()
        if not self._visible or now - self._shown < SHOWN_EVERY:
            return
        self._shown = now
        share = self._done / self._steps
        left = (now - self._started) / share * (1 - share)
        bar = "#" * int(share * WIDTH)
        print(f"\r[{bar:<{WIDTH}}] {share:4.0%}, {left:.0f} s left \x1b[K", end="", file=sys.stderr, flush=True)
