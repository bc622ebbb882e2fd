"""The harness notices what is wrong, keeps what it starts in bounds, and ends it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from . import __main__ as table
from . import expect, probes, suite
from .compare import Laboratory, Verdict, judge
from .expect import Approx, Between, Each, Having, OneOf, Re, SameOnBoth, Unordered, Where, complaints
from .look import hits, status
from .model import Differs, Scenario
from .sides import Shown
from .upstreams.records import Request
from .upstreams.replies import Reply, answer

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def plain() -> Iterator[Laboratory]:
    """Beside Envoy, a "library" that knows no policy."""
    with Laboratory(("envoy", "plain")) as opened:
        yield opened


def verdict_of(laboratory: Laboratory, scenario: Scenario) -> Verdict:
    return next(laboratory.compare_all([scenario], 1))


# --- what is wrong shows ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_scenario_that_holds_is_the_same_on_all_sides(laboratory: Laboratory) -> None:
    """Envoy and both clients satisfy a true expectation."""
    verdict = laboratory.compare(probes.RETRIED)
    assert verdict.same
    assert list(verdict.shown) == ["envoy", "sync", "async"]
    assert verdict.first_try == ""


@pytest.mark.slow
def test_a_wrong_expectation_fails_and_is_tried_twice(laboratory: Laboratory) -> None:
    """What Envoy does not show cannot be expected; the complaint names side and observation."""
    verdict = laboratory.compare(probes.WRONG)
    assert not verdict.same
    assert "envoy: hits: a: 2 is not 3" in str(verdict)
    assert "envoy: hits: a: 2 is not 3" in verdict.first_try


@pytest.mark.slow
def test_a_library_that_behaves_differently_is_seen(plain: Laboratory) -> None:
    """Plain httpx in the library's place does not retry, and that is not Envoy's fault."""
    verdict = verdict_of(plain, probes.RETRIED)
    assert verdict.complaints["envoy"] == []
    assert verdict.complaints["plain"] == ["status: [0] 503 is not 200", "hits: a: 1 is not 2"]


@pytest.mark.slow
def test_an_unknown_field_fails_on_every_side(laboratory: Laboratory) -> None:
    """A policy that Envoy refuses is no scenario, and says why."""
    verdict = verdict_of(laboratory, probes.UNKNOWN_FIELD)
    assert all("no_such_field" in " ".join(found) for found in verdict.complaints.values())


@pytest.mark.slow
def test_nothing_outlasts_its_limit(laboratory: Laboratory) -> None:
    """A side that hangs is ended."""
    began = time.monotonic()
    verdict = verdict_of(laboratory, probes.HANGING)
    assert [found for [found] in verdict.complaints.values()] == ["no result: crashed, or not done after 1 s"] * 3
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_crash_is_a_difference(laboratory: Laboratory) -> None:
    """A child that dies has shown nothing, and its Envoy dies with it."""
    verdict = verdict_of(laboratory, probes.CRASHING)
    assert not verdict.same
    assert all("no result" in found for [found] in verdict.complaints.values())
    assert _processes_of(laboratory) == []


@pytest.mark.slow
def test_a_step_that_fails_is_told(laboratory: Laboratory) -> None:
    """An error in the scenario itself is shown as it is."""
    assert "sync: KeyError: 'no such'" in str(verdict_of(laboratory, probes.RAISING))


@pytest.mark.slow
def test_an_observation_of_nothing_fails(plain: Laboratory) -> None:
    """Where there is nothing to look at, nothing is taken for seen."""
    assert "envoy: body -1: 'not seen: IndexError" in str(verdict_of(plain, probes.BLIND))


@pytest.mark.slow
def test_all_sides_can_share_ports(laboratory: Laboratory) -> None:
    """Where results depend on ports, all sides have the same."""
    assert verdict_of(laboratory, probes.SHARED_PORTS).same


@pytest.mark.slow
def test_nothing_is_left_behind(laboratory: Laboratory) -> None:
    """After a scenario no process and no file of it is there."""
    verdict_of(laboratory, probes.RETRIED)
    assert _processes_of(laboratory) == []
    assert [path.name for path in laboratory.folder.iterdir()] == ["certificates"]


def _processes_of(laboratory: Laboratory) -> list[str]:
    """Return the command lines that name the laboratory's folder."""
    if not Path("/proc").exists():
        pytest.skip("needs /proc")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.parent.name == str(os.getpid()):
            continue
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if str(laboratory.folder).encode() in command:
            found.append(command.decode(errors="replace"))
    return found


# --- the parts -------------------------------------------------------------------------------------------------------


def shown(**values: object) -> Shown:
    return Shown(dict(values))


def test_the_library_must_show_what_envoy_showed() -> None:
    """`SameOnBoth` compares the sides with one another, a plain value each with the expectation."""
    scenario = replace(probes.RETRIED, expect=[replace(status(), name="x", expected=SameOnBoth(Between(1, 3)))])
    assert judge(scenario, {"envoy": shown(x=2), "sync": shown(x=2)}).same
    assert judge(scenario, {"envoy": shown(x=2), "sync": shown(x=3)}).complaints["sync"]
    assert judge(scenario, {"envoy": shown(x=4), "sync": shown(x=4)}).complaints["envoy"]


def test_a_meant_difference_asserts_both() -> None:
    """Envoy must still show the scenario's expectation, and the library its own and nothing else."""
    scenario = replace(probes.RETRIED, differs=Differs("TLS versions", [hits(a=1)]))
    ours, envoys = shown(status=[200], hits={"a": 1}), shown(status=[200], hits={"a": 2})
    assert judge(scenario, {"envoy": envoys, "sync": ours}).same
    assert not judge(scenario, {"envoy": envoys, "sync": envoys}).same
    assert not judge(scenario, {"envoy": ours, "sync": ours}).same


def test_a_scenario_that_looks_at_nothing_is_none() -> None:
    """A scenario that cannot fail is refused."""
    with pytest.raises(AssertionError, match="nothing is looked at"):
        replace(probes.RETRIED, expect=[])
    with pytest.raises(AssertionError, match="one name"):
        replace(probes.RETRIED, expect=[status(200), status(503)])


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (1, 1, 2),
        ([200, 503], [200, 503], [200]),
        ({"a": 1}, {"a": 1}, {"a": 1, "b": 0}),
        ({"a": 1}, {"a": 1}, {}),
        (Between(1, 2), 1.5, 2.1),
        (Between(0, 1), 0, True),
        (Approx(5, within=1), 6, 6.1),
        (Re("a.*c"), "a\nc", "abcd"),
        (OneOf(1, Re("x+")), "xx", "y"),
        (Each(200), [200, 200], [200, 503]),
        (Each(200, count=2), [200, 200], [200]),
        (Unordered(1, 2), [2, 1], [1, 1]),
        (Having(a=1), {"a": 1, "b": 2}, {"b": 2}),
        (Where(lambda value: value % 2 == 0, "even"), 2, "no number"),
        ([Between(1, 2), "x"], [1, "x"], [3, "x"]),
        ({"a": [Between(1, 2)]}, {"a": [2]}, {"a": [0]}),
    ],
)
def test_matchers_tell_good_from_bad(expected: object, good: object, bad: object) -> None:
    """Each matcher holds for what it describes and for nothing else."""
    assert complaints(expected, good) == []
    assert complaints(expected, bad) != []


def test_what_is_shown_is_short() -> None:
    """A complaint stays readable, whatever the value."""
    assert len(expect.shown("x" * 100_000)) < 300


def test_scripts_answer_by_number_path_and_function() -> None:
    """Lists count requests, within a dict those of a path; the last answer repeats."""

    def request(number: int, of_path: int = 1, path: str = "/") -> Request:
        return Request(number, of_path, "GET", path, [], 1, 0.0)

    assert [answer([503, 200], request(number)).status for number in (1, 2, 3)] == [503, 200, 200]
    by_path = {"/x": [500, 201], "*": 404}
    assert answer(by_path, request(7, 2, "/x")).status == 201
    assert answer(by_path, request(7, 2, "/y?q")).status == 404
    assert answer(lambda one: Reply(200 + one.number), request(3)).status == 203


def test_names_are_unique() -> None:
    """No scenario hides another of the same name."""
    counted = Counter(scenario.name for members in suite.areas().values() for scenario in members)
    assert [name for name, count in counted.items() if count > 1] == []


def test_every_scenario_can_be_rendered_without_being_run() -> None:
    """`bootstraps` gives each scenario's document, its places filled."""
    rendered = suite.bootstraps()
    assert rendered.keys() == suite.everything().keys()
    assert "${" not in repr(rendered)


def test_the_table_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """`--list` names every scenario with its area."""
    assert table.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*suite.everything(), *suite.areas()))


@pytest.mark.slow
def test_the_table_says_same(capsys: pytest.CaptureFixture[str], laboratory: Laboratory) -> None:
    """A row a scenario: its sides, and the verdict."""
    assert table.main(["--only", "pool_keeps_connections", "-j", "1"]) == 0
    shown_table = capsys.readouterr().out
    assert "pool_keeps_connections  ok       ok       ok       same" in shown_table
    assert "1 same, 0 different, of 1" in shown_table
