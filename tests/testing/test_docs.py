"""docs/testing.md: every snippet is a test that runs, every verb and name in it exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ambassador_lib import testing
from ambassador_lib.testing.script import Scripted

from .conftest import Run
from .documents import policy

pytest_plugins = ("pytester",)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
TEXT = PAGE.read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)

CHECK = {
    "timeout": "1s",
    "interval": "5s",
    "no_traffic_interval": "5s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 2,
    "http_health_check": {"path": "/health"},
}


@pytest.mark.slow
def test_every_snippet_runs(run: Run) -> None:
    """The first one is what all others begin with; each of them is a module of tests that pass."""
    preamble, *snippets = SNIPPETS
    assert len(snippets) >= 15
    Path("envoy.yaml").write_text(json.dumps(policy()))
    Path("checked.yaml").write_text(json.dumps(policy(health_checks=[CHECK])))
    for number, snippet in enumerate(snippets):
        assert "def test_" in snippet, snippet
        Path(f"test_{number}.py").write_text(f"{preamble}\n\n{snippet}")
    result = run("-q")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}, outcomes
    assert outcomes["passed"] >= len(snippets)


def test_every_verb_of_the_table_exists() -> None:
    """The table of verbs has all of them, and no other."""
    table = TEXT.partition("| verb | the upstream |")[2].partition("\n\n")[0]
    named = {
        name for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)\(", cell)
    }
    named -= set(testing.__all__)  # distributions
    there = {
        name
        for kind in Scripted.__mro__
        for name, value in vars(kind).items()
        if hasattr(value, "__wrapped__") and not name.startswith("_")
    }
    assert named == there


def test_links_lead_somewhere() -> None:
    """Anchors are headings of the page."""
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings


def test_every_public_name_can_be_imported() -> None:
    """`__all__` is sorted and true, and each name comes when it is asked for."""
    assert list(testing.__all__) == sorted(testing.__all__)
    for name in testing.__all__:
        assert getattr(testing, name) is not None
        assert name in dir(testing)
    with pytest.raises(AttributeError, match="no attribute 'Upstraem'"):
        testing.Upstraem  # noqa: B018
