"""Shares of priorities, degraded hosts and localities (semantics 6.3 to 6.5) where rules lie close to one another."""

from __future__ import annotations

from ..bootstrap import locality, panic
from ..expect import Between
from .health import WEIGHTED, ZONES, _faint, _share, _shares, _sick

SCENARIOS = [
    _shares(
        "panic_degraded_are_available",
        "a healthy and a degraded one of four: half is available, nobody panics, and both are as good",
        "6.3, 6.4 degraded counts as available for panic",
        {"a": _share(50), "b": _share(50)},
        [locality("a", _faint("b"), _sick("c"), _sick("d"))],
    ),
    _shares(
        "priority_degraded_half",
        "half of the first priority degraded, all of the second: 70 to 30",
        "6.4 degraded hosts: same computation",
        {"a": _share(70), "c": _share(30)},
        [locality(_faint("a"), _sick("b")), locality(_faint("c"), priority=1)],
    ),
    _shares(
        "priority_normalized",
        "28 and 28 % with panic switched off: as half and half",
        "6.4 if the sum < 100, loads are normalised to the sum",
        {"a": _share(50), "f": _share(50)},
        [
            locality("a", *(_sick(name) for name in "bcde")),
            locality("f", *(_sick(name) for name in "ghij"), priority=1),
        ],
        **panic(0),
    ),
    _shares(
        "locality_availability_in_turns",
        "localities take turns by weight: 0.7 to 1 is 70 to 100",
        "6.5 weight * min(1, 1.4 * availability)",
        {"a": Between(69, 71), "c": Between(99, 101)},
        [
            locality("a", _sick("b"), locality=ZONES[0], load_balancing_weight=1),
            locality("c", locality=ZONES[1], load_balancing_weight=1),
        ],
        calls=170,
        **WEIGHTED,
    ),
]
