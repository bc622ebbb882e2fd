"""Every scenario: Envoy does what is expected, and the library does the same, blocking and with asyncio."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from . import suite
from .compare import ROOT, Laboratory
from .conftest import SECOND_TRY

DIFFERENCES = Path(ROOT / "docs" / "parity.md").read_text()


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("name", suite.everything())
def test_the_library_does_what_envoy_does(name: str, laboratory: Laboratory, record_property: Any) -> None:
    """Envoy shows what the scenario says, and the library shows it too."""
    verdict = laboratory.compare(suite.everything()[name])
    assert verdict.same, f"{verdict.scenario.about}\n{verdict}\n--- the first try:\n{verdict.first_try}"
    if verdict.first_try:
        record_property(SECOND_TRY, verdict.first_try)


SECTIONS = {section.partition("\n")[0]: section for section in DIFFERENCES.split("\n## ")[1:]}
TABLE = "The hop that is not there"


def shown_by(text: str) -> list[str]:
    """Return what a section or a row of the table names as its proof: scenarios, and tests of other suites."""
    told = text.rpartition("*Shown by:*")[2] if "*Shown by:*" in text else text.strip().removesuffix("|").split("|")[-1]
    return re.findall(r"`([^`]+)`", told)


def is_there(name: str) -> bool:
    """Tell whether a scenario or a test of that name exists."""
    path, _, test = name.partition("::")
    return f"def {test}(" in (ROOT / path).read_text() if test else name in suite.everything()


@pytest.mark.parametrize("heading", [heading for heading in SECTIONS if heading != TABLE])
def test_a_difference_that_is_meant_is_shown(heading: str) -> None:
    """Each section of docs/parity.md names what shows it, and a scenario that it names differs for its reason."""
    names = shown_by(SECTIONS[heading])
    assert "*Shown by:*" in SECTIONS[heading]
    assert names != []
    assert [name for name in names if not is_there(name)] == []
    differing = [one.differs for name, one in suite.everything().items() if name in names]
    assert [differs.heading if differs else None for differs in differing] == [heading] * len(differing)


def test_every_trace_of_the_hop_is_shown() -> None:
    """So does each row of the table of traces, be it the same or not."""
    rows = [line for line in SECTIONS[TABLE].splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    assert [row for row in rows if not shown_by(row)] == []
    assert [name for row in rows for name in shown_by(row) if not is_there(name)] == []


def test_differences_that_are_meant_are_documented() -> None:
    """A scenario in which we differ names a section of docs/parity.md, which names it, too."""
    differing = {name: one.differs.heading for name, one in suite.everything().items() if one.differs is not None}
    assert [name for name, heading in differing.items() if f"`{name}`" not in SECTIONS.get(heading, "")] == []
