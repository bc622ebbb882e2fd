"""What goes wrong, and when; times are in units, which a run stretches or shortens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .replicas import Replica

Deed = Callable[[Sequence[Replica]], None]


@dataclass(frozen=True)
class Event:
    """Something that happens to the replicas, at so many units from the beginning."""

    at: float
    deed: Deed


@dataclass(frozen=True)
class Scenario:
    """`since`: from where the time to recover counts, which is the fault where it stays, its end where it passes."""

    name: str
    title: str
    length: float
    since: float
    events: Sequence[Event]


def _restart(number: int) -> list[Event]:
    begin = 1 + number * 1.5
    return [
        Event(begin, lambda replicas: replicas[number].stop()),
        Event(begin + 0.5, lambda replicas: replicas[number].start()),
    ]


def _kill_all(replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        replica.kill()


def _start_all(replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        replica.start()


SLOW = 0.5
"""Seconds that a slow replica takes: more than a try may."""

SCENARIOS = (
    Scenario(
        "one-killed", "one of three killed", 5.0, 1.0,
        [Event(1.0, lambda replicas: replicas[0].kill())],
    ),
    Scenario(
        "one-slow", f"one of three takes {SLOW:g} s", 5.0, 1.0,
        [Event(1.0, lambda replicas: replicas[0].behave(delay=SLOW))],
    ),
    Scenario(
        "one-503", "one of three answers 503", 5.0, 1.0,
        [Event(1.0, lambda replicas: replicas[0].behave(status=503))],
    ),
    Scenario(
        "rolling-restart", "rolling restart", 6.0, 4.5,
        [*_restart(0), *_restart(1), *_restart(2)],
    ),
    Scenario(
        "outage", "outage of all, and recovery", 6.0, 2.5,
        [Event(1.0, _kill_all), Event(2.5, _start_all)],
    ),
)  # fmt: skip
