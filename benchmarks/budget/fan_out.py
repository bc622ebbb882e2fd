"""The latency of a request that calls N services, one after the other or all at once, with each way of calling.

Each call takes what the service takes, the network, and a time drawn from what was measured of a call through the
stack in question to an upstream that answers at once. Totals are drawn, not added up from percentiles: percentiles do
not add up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .distributions import NOTHING, Measured, Service, combined, percentile

SEED = 20_001
TEXTBOOK_SERVICE = Service(0.050)
IDEAL = "no stack at all"


@dataclass(frozen=True)
class Plan:
    """The textbook's case by default; seconds."""

    fan_out: int = 5
    own: float = 0.020
    service: Service = TEXTBOOK_SERVICE
    network: float = 0.002
    sla: float = 0.500
    samples: int = 20_000


@dataclass(frozen=True)
class Outlook:
    """What a request takes with one way of calling; `added` is what the stack puts on top at p99."""

    name: str
    how: str
    p50: float
    p99: float
    p999: float
    added: float
    holds: bool
    room: int
    """How many calls more, each after the other, p99 leaves room for within the SLA."""


WAYS: Mapping[str, Callable[[Sequence[float]], float]] = {"in sequence": sum, "in parallel": max}


def outlooks(plan: Plan, stacks: Mapping[str, Measured]) -> list[Outlook]:
    """Return what to expect, with no stack first and then with each, in sequence and in parallel."""
    found = []
    for how, join in WAYS.items():
        base = _totals(plan, NOTHING, join)
        for name, measured in {IDEAL: NOTHING, **stacks}.items():
            totals = base if measured is NOTHING else _totals(plan, measured, join)
            p99 = percentile(totals, 99)
            one = plan.service.p50 + plan.network + measured.at(50)
            found.append(
                Outlook(
                    name=name,
                    how=how,
                    p50=percentile(totals, 50),
                    p99=p99,
                    p999=percentile(totals, 99.9),
                    added=p99 - percentile(base, 99),
                    holds=p99 <= plan.sla,
                    room=max(0, int((plan.sla - p99) / one)) if one > 0 else 0,
                )
            )
    return found


def _totals(plan: Plan, measured: Measured, join: Callable[[Sequence[float]], float]) -> list[float]:
    def draw(chance: random.Random) -> float:
        return plan.service.draw(chance) + plan.network + measured.draw(chance)

    # The same dice for everybody: differences are the stacks', not the draw's.
    joined = combined(draw, random.Random(SEED), calls=plan.fan_out, samples=plan.samples, join=join)
    return [plan.own + one for one in joined]
