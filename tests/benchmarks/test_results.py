"""The shape of results, and their way through JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.figures.results import Load, Run, from_json, to_json

PARTS = [field.name for field in dataclasses.fields(Run) if field.default == ()]
HINTS = get_type_hints(Run)


def runs_of(part: str) -> st.SearchStrategy[Run]:
    """Runs that hold anything of one part, since everything at once is too much to draw."""
    nothing = {other: st.just(()) for other in PARTS if other != part}
    return st.builds(Run, schema=st.just(1), **{part: st.from_type(HINTS[part])}, **nothing)


@settings(max_examples=60)
@given(st.sampled_from(PARTS).flatmap(runs_of))
def test_json_there_and_back(run: Run) -> None:
    """What is written is what is read."""
    # By what they look like: not-a-number is not equal to itself.
    assert repr(from_json(to_json(run))) == repr(run)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"quick": "yes"},
        {"unknown": 1},
        {"entries": [{"name": "x"}]},
        {"about": None},
        {"seconds": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    """A document of another shape is a `ValueError`, never half a result."""
    about: dict[str, object] = {
        "command": "",
        "started": "",
        "system": "",
        "processor": "",
        "cores": 1,
        "memory": 1,
        "python": "",
        "load": [0] * 3,
    }
    about["versions"] = {}
    document = {"subject": "compare", "seconds": 1, "quick": True, "about": about, "schema": 1}
    assert from_json(json.dumps(document)).seconds == 1.0
    with pytest.raises(ValueError, match=r"."):
        from_json(json.dumps(document | change))


def test_loads_have_titles() -> None:
    """A load is named for people."""
    assert Load(loop="closed", callers=1).title == "closed loop, 1 caller"
    assert Load(loop="open", callers=64, rate=250.0).title == "open loop, 250 calls/s"
