"""What tests of the plugin share: pytest runs of their own, in processes that find this very library."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[tool.pytest.ini_options]
filterwarnings = ["error"]
addopts = ["--strict-markers", "-p", "no:cacheprovider"]
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest in a process of its own on the files in the current folder; without pytest-asyncio unless asked."""
    found = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *([found] if found else [])]))
    pytester.makepyprojecttoml(CONFIG)

    def run_apart(*options: str, asyncio: bool = False) -> pytest.RunResult:
        without = [] if asyncio else ["-p", "no:asyncio"]
        return pytester.runpytest_subprocess(*without, *options, timeout=120)

    return run_apart
