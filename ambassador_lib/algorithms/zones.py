"""How much of the load stays in one's own zone, and where the rest goes (semantics 6.5).

Traffic is to be even over all upstream hosts. As each zone's callers prefer their own zone, a zone with more than its
share of the callers keeps what its upstream hosts can take, and hands the rest to zones that have hosts to spare. All
arithmetic is in whole hundredths of a percent, as Envoy's is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WHOLE = 10_000
"""All of the load."""


@dataclass(frozen=True, slots=True)
class ZoneShares:
    """Of `WHOLE`, what stays in the own zone, and each zone's room for the rest, summed up from the first on."""

    own: int
    room: tuple[int, ...]

    def choose(self, draw: Callable[[], float]) -> int:
        """Return the zone of one pick, by number; `draw` gives random numbers in [0, 1)."""
        if self.own >= WHOLE or int(draw() * WHOLE) < self.own:
            return 0
        total = self.room[-1]
        if not total:  # rounding has eaten what there was
            return int(draw() * len(self.room))
        threshold = int(draw() * total)
        return next(zone for zone, upto in enumerate(self.room) if threshold < upto)


def share_zones(
    callers: Sequence[int], hosts: Sequence[int], *, all_callers: int, has_own: bool, is_forced: bool = False
) -> ZoneShares:
    """Return the shares of zones that have so many callers and so many healthy hosts (or their weights).

    `all_callers` counts those of other zones, too. `has_own`: the first zone is the own one; else no zone is. If it
    `is_forced`, all stays there, however many callers it has.
    """
    upstream = [_part(count, sum(hosts)) for count in hosts]
    # What callers there are counts only where there is somebody to be called.
    local = [_part(count, all_callers) if there else 0 for count, there in zip(callers, hosts, strict=True)]
    own = 0
    if has_own:
        if is_forced or (upstream[0] and upstream[0] >= local[0]):
            return ZoneShares(WHOLE, (0,) * len(hosts))
        if local[0]:
            own = upstream[0] * WHOLE // local[0]
    rooms = (
        0 if has_own and zone == 0 else max(0, there - here)
        for zone, (there, here) in enumerate(zip(upstream, local, strict=True))
    )
    return ZoneShares(own, tuple(itertools.accumulate(rooms)))


def _part(count: int, total: int) -> int:
    return WHOLE * count // total if total else 0
