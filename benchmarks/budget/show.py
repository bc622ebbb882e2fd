"""What is told of a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..reports.model import Chart, Section, Series, Table, short
from .breaker import ORDERS, TEXTBOOK, Scenario, Verdict, play
from .fan_out import WAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .fan_out import Outlook, Plan
    from .fleet import Bill, Fleet, Unit

MEGABYTE = 2**20


def fan_out_section(plan: Plan, outlooks: Sequence[Outlook], measured_as: str) -> Section:
    """Tell of the latency of the request that fans out."""
    service = f"{short(plan.service.p50 * 1e3)} ms"
    if plan.service.p99 is not None:
        service += f" (p99 {short(plan.service.p99 * 1e3)} ms, log-normal)"
    text = (
        f"{short(plan.own * 1e3)} ms of own work, {plan.fan_out} services of {service} each behind "
        f"{short(plan.network * 1e3)} ms of network, at most {short(plan.sla * 1e3)} ms at p99. The rest is drawn from "
        f"what a call takes each way ({measured_as}), {plan.samples:,} requests each. All of it holds the "
        "loopback and an upstream that answers at once, even the floor, a raw socket."
    )
    tables, series = [], []
    for how in WAYS:
        mine = [one for one in outlooks if one.how == how]
        rows = [
            [
                one.name,
                *(short(value * 1e3) for value in (one.p50, one.p99, one.p999, one.added)),
                f"{one.added / plan.sla:.2%}",
                "yes" if one.holds else "NO",
                str(one.room),
            ]
            for one in mine
        ]
        columns = ["ms", "p50", "p99", "p99.9", "added at p99", "of the SLA", "holds", "more calls fit"]
        tables.append(Table(columns, rows, f"{plan.fan_out} calls {how}"))
        series.append(Series(how, [one.name for one in mine[1:]], [one.added * 1e3 for one in mine[1:]]))
    chart = Chart("fan-out", "What the stack adds to p99 of the request", "bars", "", "ms", series)
    return Section("Latency of a request that fans out", text, tables, [chart])


def fleet_section(fleet: Fleet, units: Sequence[Unit], bills: Sequence[Bill]) -> Section:
    """Tell what the fleet pays."""
    text = (
        f"{fleet.pods:,} pods of {fleet.processes} process{'es' * (fleet.processes > 1)} with {fleet.connections:,} "
        f"connections and {short(fleet.rate)} calls/s each, beyond what bare httpx takes there: a sidecar once a pod, "
        "a library in each process. A figure below zero is a client that is lighter than bare httpx. Memory of "
        "a connection is counted where it was measured apart; cores are CPU time only, not what a scheduler reserves."
    )
    rows = [
        [
            unit.name,
            short(unit.memory / MEGABYTE),
            "not apart" if unit.memory_per_connection is None else short(unit.memory_per_connection / 1024),
            short(unit.cpu * 1e6),
            short(bill.memory / 2**30),
            short(bill.cores),
        ]
        for unit, bill in zip(units, bills, strict=True)
    ]
    columns = ["", "MiB each", "KiB a connection", "µs CPU a call", "GiB in all", "cores in all"]
    return Section("A fleet", text, [Table(columns, rows)])


def breaker_section(failure_rate: float, minimum: int) -> Section:
    """Play the textbook's scenarios and tell when the circuit opens."""
    rows = []
    for failures, calls in TEXTBOOK:
        verdicts = [
            play(Scenario(failures, calls, order), failure_rate=failure_rate, minimum=minimum) for order in ORDERS
        ]
        rows.append([f"{failures} of {calls} ({failures / calls:.0%})", *map(_verdict, verdicts)])
    text = (
        f"The circuit opens at {failure_rate:.0%} of at least {minimum} calls. Each was sent through the library's "
        "client; the rate is looked at after every call: the order of failures matters, not only their sum."
    )
    return Section("When the circuit opens", text, [Table(["failures", *ORDERS], rows)])


def _verdict(verdict: Verdict) -> str:
    return "stays closed" if verdict.opened_after is None else f"opens after {verdict.opened_after}"
