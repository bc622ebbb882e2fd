"""The default `random`: the one place that asks the system for chance."""

from __future__ import annotations

import random

from .afresh import after_fork


class SystemDice(random.Random):
    """Seeded by the system, and again in every forked child: workers that drew what their parent and their siblings
    draw would send the same request ids, choose the same hosts, and retry at the same moments."""

    def __init__(self) -> None:
        super().__init__()
        after_fork(self)

    def start_afresh(self) -> None:
        """Draw otherwise than the parent."""
        self.seed()
