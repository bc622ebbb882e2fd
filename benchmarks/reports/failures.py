"""What is told of the failure scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Chart, Section, Series, Table, spread

if TYPE_CHECKING:
    from ..figures.results import Failure, Run, Spread

TEXT = (
    "Calls come at a constant rate, whatever becomes of them, and are measured from when they were due. Extra load: "
    "requests that the upstreams got beyond one a call; below zero, calls that never got there. Time to recover: from "
    "the fault, where it stays, or from its end until no call fails or takes more than 100 ms; never: not within "
    "the scenario."
)


def sections(run: Run) -> list[Section]:
    """Return a section for each scenario."""
    told: list[Section] = []
    for scenario in dict.fromkeys(failure.scenario for failure in run.failures):
        mine = [failure for failure in run.failures if failure.scenario == scenario]
        text = "" if told else TEXT
        columns = ["", "succeed, %", "extra load, %", "p50, ms", "p99, ms", "time to recover, s"]
        told.append(Section(f"Failure: {scenario}", text, [Table(columns, [_row(one) for one in mine])], _charts(mine)))
    return told


def _row(failure: Failure) -> list[str]:
    return [
        failure.name,
        _spread(failure.success, 100),
        _spread(failure.extra_load, 100),
        _spread(failure.p50, 1e3),
        _spread(failure.p99, 1e3),
        _recovery(failure),
    ]


def _spread(value: Spread, unit: float) -> str:
    return spread(value.median * unit, value.low * unit, value.high * unit)


def _recovery(failure: Failure) -> str:
    never = f"never in {failure.never_recovered}" if failure.never_recovered else ""
    if failure.recovery is None:
        return "never"
    return ", ".join(part for part in (_spread(failure.recovery, 1), never) if part)


def _charts(failures: list[Failure]) -> list[Chart]:
    slug = "".join(letter if letter.isalnum() else "-" for letter in failures[0].scenario.replace(",", ""))
    succeeded = [
        Series(
            one.name, [second.at for second in one.timeline],
            [100 * second.succeeded / second.calls for second in one.timeline],
        )
        for one in failures
    ]  # fmt: skip
    late = [
        Series(one.name, [second.at for second in one.timeline], [second.p99 * 1e3 for second in one.timeline])
        for one in failures
    ]
    scenario = failures[0].scenario
    return [
        Chart(f"failure-{slug}", f"Calls that succeed: {scenario}", "lines", "seconds", "%", succeeded),
        Chart(f"failure-{slug}-p99", f"p99: {scenario}", "lines", "seconds", "ms", late, y_scale="log"),
    ]
