"""Every scenario: Envoy does what is expected, and the library does the same, blocking and with asyncio."""

from __future__ import annotations

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


def test_differences_that_are_meant_are_documented() -> None:
    """A scenario in which we differ names a section of docs/parity.md."""
    headings = {one.differs.heading for one in suite.everything().values() if one.differs is not None}
    assert [heading for heading in headings if f"\n## {heading}\n" not in DIFFERENCES] == []
