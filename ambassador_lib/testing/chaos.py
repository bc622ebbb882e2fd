"""The marker `chaos`: a test is run again and again, each time under another schedule of faults of its upstreams.

The first run is without faults: it shows which upstreams the test has, and that it passes when nothing is wrong. Each
further one is a whole run of the test, with new fixtures. A schedule that makes the test fail is shrunk by Hypothesis
to the smallest that does, and printed as the code that says it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from .misuse import MisuseError, nearest
from .plugin import PREPARE

if TYPE_CHECKING:
    from .kit import Kit
    from .strategies import Schedule

EXAMPLES = 20
"""How many schedules a test is run under unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `@pytest.mark.chaos(...)`.

    `examples` is how many schedules are tried, `schedules` a strategy for them (default `strategies.schedules()`),
    `upstreams` the names of those that are disturbed (default: all), `seed` chooses other schedules.
    """

    examples: int = EXAMPLES
    schedules: Any = None
    upstreams: tuple[str, ...] | None = None
    seed: int = 0

    @classmethod
    def of(cls, marker: pytest.Mark) -> Settings:
        """Read the marker; `MisuseError` for what it does not know."""
        if marker.args:
            raise MisuseError("chaos takes keywords only: @pytest.mark.chaos(examples=50)")
        known = {"examples", "schedules", "upstreams", "seed"}
        for name in marker.kwargs.keys() - known:
            raise MisuseError(f"chaos has no argument {name!r}: {nearest(name, known)}")
        given = dict(marker.kwargs)
        if isinstance(given.get("upstreams"), str):
            given["upstreams"] = (given["upstreams"],)
        settings = cls(**given)
        settings.check()
        return settings

    def check(self) -> None:
        """`MisuseError` for values that are of no use."""
        from hypothesis.strategies import SearchStrategy

        for name in ("examples", "seed"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise MisuseError(f"chaos({name}={value!r}): must be a whole number")
        if self.examples < 1:
            raise MisuseError(f"chaos(examples={self.examples!r}) would show nothing: at least 1")
        if self.schedules is not None and not isinstance(self.schedules, SearchStrategy):
            raise MisuseError(
                f"chaos(schedules={self.schedules!r}): must be a strategy, such as strategies.schedules(most_faults=2)"
            )
        names: Any = self.upstreams
        if names is not None and not (
            isinstance(names, tuple | list | set | frozenset) and all(isinstance(name, str) for name in names)
        ):
            raise MisuseError(f"chaos(upstreams={names!r}): must be a name, or several")


@dataclass(slots=True)
class Runs:
    """The runs of one test."""

    item: pytest.Item
    nextitem: pytest.Item | None
    settings: Settings
    names: list[str] = field(default_factory=list)
    """The upstreams that the test made in its first run."""
    count: int = 0
    reports: list[pytest.TestReport] = field(default_factory=list)
    """Those of the latest run."""
    has_failed: bool = False
    smallest: Mapping[str, Schedule] = field(default_factory=dict)

    def once(self, schedules: Mapping[str, Schedule]) -> bool:
        """Run the test with new fixtures under these schedules; whether it passed."""
        made: list[str] = []

        def prepare(kit: Kit) -> None:
            def made_one(upstream: Any) -> None:
                made.append(upstream.name)
                if (schedule := schedules.get(upstream.name)) is not None:
                    schedule.tell(upstream)

            kit.on_upstream = made_one
            kit.warns_of_unfired = False

        self.item.stash[PREPARE] = prepare
        try:
            # What is torn down is what belongs to the test alone: what it shares with its neighbours stays.
            self.reports = runtestprotocol(self.item, log=False, nextitem=self.item.parent)  # type: ignore[arg-type]
        finally:
            del self.item.stash[PREPARE]
        self.count += 1
        self.names = self.names or list(dict.fromkeys(made))
        return not any(report.failed for report in self.reports)

    @property
    def was_skipped(self) -> bool:
        """Whether the latest run said that there is nothing to run, or that it fails as expected."""
        return any(report.skipped for report in self.reports)


class _Failed(Exception):  # noqa: N818 - tells Hypothesis, and nobody else
    """The test failed under a schedule."""


def run(item: pytest.Item, nextitem: pytest.Item | None, marker: pytest.Mark) -> bool:
    """Run a test under many schedules, and report it as one."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    runs = Runs(item, nextitem, Settings())
    error: str | None = None
    try:
        runs.settings = Settings.of(marker)
        error = _explore(runs)
    except (MisuseError, ImportError) as misuse:
        error = str(misuse)
    except Exception as broken:  # noqa: BLE001 - what ends here would end all of the tests
        error = f"chaos cannot draw schedules: {type(broken).__name__}: {broken}"
    _log(runs, error)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _explore(runs: Runs) -> str | None:
    """Try schedules; return what is to be said about the failure, `None` where all went well."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    from .strategies import schedules

    if not runs.once({}):
        return "the test fails even without any fault"
    if runs.was_skipped:
        return None
    names = _disturbed(runs)
    one = runs.settings.schedules if runs.settings.schedules is not None else schedules()

    @seed(zlib.crc32(runs.item.nodeid.encode()) ^ runs.settings.seed)
    @settings(
        max_examples=runs.settings.examples,
        phases=(Phase.generate, Phase.shrink),
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.fixed_dictionaries(dict.fromkeys(names, one)))
    def under(found: dict[str, Schedule]) -> None:
        _check_schedules(found)
        if not runs.once(found):
            runs.smallest, runs.has_failed = found, True
            raise _Failed

    try:
        under()
    except Exception:  # Hypothesis has one of its own for what does not fail each time
        if not runs.has_failed:
            raise
        return _script(runs)
    return None


def _check_schedules(found: Mapping[str, object]) -> None:
    from .strategies import Schedule

    for each in found.values():
        if not isinstance(each, Schedule):
            raise MisuseError(f"chaos(schedules=...): the strategy gives {each!r}, no Schedule: strategies.schedules()")


def _disturbed(runs: Runs) -> list[str]:
    if not runs.names:
        raise MisuseError(
            "chaos has nothing to disturb: the test makes no upstream with `upstreams` or `simulated_upstreams`"
        )
    if runs.settings.upstreams is None:
        return runs.names
    for name in runs.settings.upstreams:
        if name not in runs.names:
            raise MisuseError(f"chaos: the test makes no upstream {name!r}: {nearest(name, runs.names)}")
    return list(runs.settings.upstreams)


def _script(runs: Runs) -> str:
    lines = [_code(name, schedule) for name, schedule in runs.smallest.items() if schedule.faults]
    said = "\n".join(f"    {line}" for line in lines) or "    (no fault at all: the test does not fail each time)"
    return (
        f"the smallest schedule that makes the test fail, of {runs.count} runs (seed {runs.settings.seed}); to see it "
        f"again, drop the marker and say, where the upstream is made:\n\n{said}\n"
    )


def _code(name: str, schedule: Schedule) -> str:
    """Return what to paste; where an upstream's name cannot stand in code, with a word on which one it is."""
    return schedule.code(name) if name.isidentifier() else f"{schedule.code()}  # of {name!r}"


def _log(runs: Runs, error: str | None) -> None:
    """Report the latest run as the test's; a failed one with what is to be said about it."""
    item = runs.item
    reports = runs.reports
    if error is not None and not any(report.failed for report in reports):
        reports = [_failed(item, error)]
        error = None
    # What the test shares with its neighbours goes now, where the next one has no use for it.
    state: Any = item.session._setupstate  # noqa: SLF001 - it is what pytest's own runner calls
    ends = pytest.CallInfo.from_call(lambda: state.teardown_exact(runs.nextitem), when="teardown")
    if ends.excinfo is not None:
        reports = [report for report in reports if report.when != "teardown"]
        reports.append(pytest.TestReport.from_item_and_call(item, ends))
    for report in reports:
        if error is not None and report.failed:
            report.sections.append(("ambassador_lib: chaos", error))
            error = None
        item.ihook.pytest_runtest_logreport(report=report)


def _failed(item: pytest.Item, error: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=f"MisuseError: {error}",
        when="call",
    )
