"""Goals: what is measured for them, how they are judged, and how it is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cli import main
from benchmarks.figures.about import about_now
from benchmarks.figures.results import (
    Curve,
    Entry,
    Judged,
    Kind,
    Load,
    Measured,
    Point,
    Run,
    Single,
    Spread,
    from_json,
    to_json,
)
from benchmarks.goals.goals import COMPILED, GOALS, Alone, Excess, Goal, Growth, Ratio
from benchmarks.goals.judge import judge
from benchmarks.goals.plan import plan, situations
from benchmarks.reports import goals as told

from .test_ratios import latency, rounds_of


def measured(name: str, values: list[float], *, callers: int = 1, kind: Kind = "async") -> Measured:
    return Measured(
        name=name, kind=kind, placement="same-core", load=Load(loop="closed", callers=callers),
        rounds=rounds_of(values), latency=latency(1.0), errors={},
    )  # fmt: skip


def run(*lanes: Measured, **others: object) -> Run:
    plain = Run(subject="goals", about=about_now(), seconds=1.0, quick=False, measured=lanes)
    return dataclasses.replace(plain, **others)  # type: ignore[arg-type]


def one(goal: Goal, *runs: Run) -> Judged:
    (found,) = judge([goal], runs)
    return found


RATIO = Goal("p50", "b", 0.5, Ratio("p50", "a", ("b",)))


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_goal_is_met_where_its_median_is_within_the_limit(value: float, limit: float) -> None:
    """Ratios are of rounds; below or above is what counts, not by how much rounds differ."""
    goal = dataclasses.replace(RATIO, limit=limit)
    found = one(goal, run(measured("a", [value, 2 * value, 3 * value]), measured("b", [1.0, 2.0, 3.0])))
    assert found.measured is not None
    assert found.measured.median == pytest.approx(value)
    assert found.met is (found.measured.median <= limit)
    other = one(dataclasses.replace(goal, at_least=True), run(measured("a", [value]), measured("b", [1.0])))
    assert other.met is (value >= limit)


def test_of_several_the_hardest_to_beat_counts() -> None:
    """The best throughput is the greatest, the best latency the smallest, whoever has it; the absent are left out."""
    lanes = [measured("a", [1.0]), measured("b", [4.0]), measured("c", [2.0])]
    rate = one(Goal("", "best", 1, Ratio("rate", "a", ("b", "c", "nobody"))), run(*lanes))
    assert (rate.measured, rate.against) == (Spread(median=2.0, low=2.0, high=2.0), "best (c)")
    late = one(Goal("", "best", 1, Ratio("p50", "a", ("b", "c"))), run(*lanes))
    assert (late.measured, late.against) == (Spread(median=0.5, low=0.5, high=0.5), "best (c)")


def test_excesses_are_of_rounds() -> None:
    """Percent of the other's figure, or microseconds beyond it, in the round that both ran."""
    lanes = run(measured("a", [3e-6, 6e-6, 9e-6]), measured("b", [2e-6, 4e-6, 6e-6]))
    percent = one(Goal("", "b", 49, Excess("p50", "a", "b", "%"), unit="%"), lanes)
    assert percent.measured is not None
    assert percent.measured.median == pytest.approx(50)
    assert percent.met is False
    micro = one(Goal("", "b", 2.1, Excess("p50", "a", "b", "µs"), unit="µs"), lanes)
    assert micro.measured is not None
    assert micro.measured.median == pytest.approx(2)
    assert micro.met is True


def test_growth_may_be_measured_apart() -> None:
    """The axis and the call that it stands against may be of two runs."""
    points = [Point(x=x, figures={"cpu_client": Spread(median=y, low=y, high=y + 1)}) for x, y in ((1, 5.0), (9, 6.0))]
    curve = Curve(axis="everything", name="ambassador_lib", kind="sync", points=tuple(points), growth={})
    goal = Goal("", "one", 5, Growth("everything", "cpu_client", "a", "sync"), unit="%")
    found = one(goal, run(curves=(curve,)), run(measured("a", [20.0], kind="sync")))
    assert found.measured == Spread(median=5.0, low=5.0, high=10.0)
    assert found.met is True
    assert one(goal, run(measured("a", [20.0], kind="sync"))).absent == (
        "ambassador_lib was not measured along the axis everything"
    )
    other = dataclasses.replace(curve, name="another")
    assert one(goal, run(measured("a", [20.0], kind="sync"), curves=(other,))).measured is None


def test_figures_that_stand_alone() -> None:
    """They are told in the goal's unit."""
    single = Single(name="memory-a-route", of="ours", kind="async", value=Spread(median=512, low=256, high=1024))
    found = one(Goal("", "", 0.45, Alone("memory-a-route", "ours", 1024.0), unit="KB"), run(singles=(single,)))
    assert found.measured == Spread(median=0.5, low=0.25, high=1.0)
    assert found.met is False


def test_what_is_missing_is_said() -> None:
    """A goal that cannot be judged is neither met nor missed, and says why."""
    absent = Entry(name="b", kind="async", title="b", family="x", absent="b is not installed")
    found = one(RATIO, run(measured("a", [1.0]), entries=(absent,)))
    assert (found.met, found.absent) == (None, "b is not installed")
    assert one(RATIO, run()).absent == "a was not measured with 1 caller"
    assert one(RATIO).absent == "not measured"
    assert told.measured(found) == "not measured: b is not installed"
    assert told.verdict(found) == ""


def judged(limit: float, value: float, *, unit: str = "x", at_least: bool = False) -> Judged:
    met = value >= limit if at_least else value <= limit
    spread = Spread(median=value, low=value * 0.9, high=value * 1.1)
    return Judged(
        figure="f", against="g", limit=limit, at_least=at_least, unit=unit, measured=spread, met=met
    )  # fmt: skip


@pytest.mark.parametrize(
    ("goal", "texts"),
    [
        (judged(1 / 14, 1 / 15), ["≤ 1/14", "1/15 (1/16.7 .. 1/13.6)", "met"]),
        (judged(1 / 14, 1 / 7), ["≤ 1/14", "1/7 (1/7.78 .. 1/6.36)", "missed by a factor of 2.0"]),
        (judged(1.6, 2.0), ["≤ 1.6 x", "2 x (1.8 .. 2.2)", "missed by 25%"]),
        (judged(45, 30, at_least=True), ["≥ 45 x", "30 x (27 .. 33)", "missed by 33%"]),
        (judged(6, 8, unit="µs"), ["≤ 6 µs", "8 µs (7.2 .. 8.8)", "missed by 2.00 µs"]),
        (judged(2, 1, unit=""), ["≤ 2", "1 (0.9 .. 1.1)", "met"]),
    ],
)
def test_goals_in_words(goal: Judged, texts: list[str]) -> None:
    """Goal and figure are written in the same way, and what is missed is said with by how much."""
    assert [told.limit(goal), told.measured(goal), told.verdict(goal)] == texts


def test_the_table_counts() -> None:
    """How many are met stands above it, and how many could not be measured."""
    (section,) = told.sections(run(goals=(judged(1, 1), judged(1, 2), *judge([RATIO], []))))
    assert section.text.endswith("1 of 2 goals are met, 1 not measured.")
    assert len(section.tables[0].rows) == 3
    assert told.sections(run()) == []


def test_the_compiled_library_has_a_column_of_its_own() -> None:
    """Each goal stands once, with what both have reached; where one was not measured, there is no column, but why."""
    goals = (judged(1, 1), judged(1, 2))
    compiled = tuple(dataclasses.replace(goal, compiled=True) for goal in (judged(1, 1), judged(1, 0.5)))
    (section,) = told.sections(run(goals=(*goals, *compiled)))
    assert section.text.endswith("Interpreted, 1 of 2 goals are met; with the hot modules compiled, 2 of 2.")
    (table,) = section.tables
    assert list(table.columns) == ["figure", "against", "goal", "interpreted", "", "compiled", ""]
    assert [row[-2:] for row in table.rows] == [["1 x (0.9 .. 1.1)", "met"], ["0.5 x (0.45 .. 0.55)", "met"]]
    absent = tuple(dataclasses.replace(goal, measured=None, met=None, absent="It is not there.") for goal in compiled)
    (section,) = told.sections(run(goals=(*goals, *absent)))
    assert section.text.endswith("1 of 2 goals are met. It is not there.")
    assert {len(row) for row in section.tables[0].rows} == {5}


def test_goals_of_the_compiled_library_are_the_same_goals() -> None:
    """The same limits against the same others, all of them of those who run it."""
    for goal, compiled in zip(GOALS, COMPILED, strict=True):
        assert compiled.compiled
        assert (goal.figure, goal.against, goal.limit) == (compiled.figure, compiled.against, compiled.limit)
        mine, others = list(situations(compiled)), list(situations(goal))
        assert [(name.replace("-compiled", ""), *rest) for name, *rest in mine] == others
        if others:
            assert mine[0][0].startswith("ours-compiled")
        elif isinstance(compiled.of, Alone):
            assert compiled.of.of.startswith("ours-compiled")


def test_everything_that_goals_need_is_measured() -> None:
    """Each contestant of a goal exists, and has a turn under the load that the goal is of."""
    planned = plan(GOALS + COMPILED, quick=False, rounds=1, seconds=1.0)
    lanes = {(who.name, who.kind, load.callers) for who, loads in planned.lanes.items() for load in loads}
    assert lanes == {situation for goal in GOALS + COMPILED for situation in situations(goal)}
    assert planned.wanted == {"upstream", "envoy", "tls"}
    quick = plan(GOALS, quick=True, rounds=1, seconds=1.0)
    assert max(load.callers for loads in quick.lanes.values() for load in loads) == 32


@pytest.mark.slow
def test_goals_from_the_command_to_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run judges what it has measured, missed goals included, and what it kept can be judged again."""
    document = tmp_path / "goals.json"
    assert main(["goals", "--quick", "--json", str(document)]) == 0
    first = capsys.readouterr().out
    kept = from_json(document.read_text())
    by_figure = {(goal.figure, goal.against): goal for goal in kept.goals if not goal.compiled}
    assert by_figure["async p50", "raw asyncio + httptools"].measured is not None
    assert by_figure["collections in 10,000 calls, no telemetry", ""].measured is not None
    assert by_figure["10,000 endpoints, 1,000 routes, each URL new", "one of each"].measured is not None
    assert main(["goals", "--from", str(document)]) == 0
    again = capsys.readouterr().out
    assert first[first.index("Goals\n") :].splitlines()[:40] == again[again.index("Goals\n") :].splitlines()[:40]


def test_a_document_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 2 for what cannot be read, and 0 where nothing can be judged."""
    (tmp_path / "x.json").write_text("{}")
    assert main(["goals", "--from", str(tmp_path / "x.json")]) == 2
    assert "x.json" in capsys.readouterr().err
    (tmp_path / "y.json").write_text(to_json(run()))
    assert main(["goals", "--from", str(tmp_path / "y.json")]) == 0
    assert "0 of 0 goals are met" in capsys.readouterr().out
