"""Memory: what is weighed, in processes of their own, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.contestants.base import KINDS
from benchmarks.costs import memory
from benchmarks.reports import output
from benchmarks.world.errors import WorldError

from .test_world import needs_proc


@needs_proc
@pytest.mark.slow
def test_everything_is_weighed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process of both kinds, a connection, an endpoint and a route, each with a figure for every round."""
    document = tmp_path / "memory.json"
    assert main(["memory", "--quick", "--json", str(document)]) == 0
    singles = {(one.name, one.kind): one for one in output.read(document).singles}
    assert set(singles) == {
        *(("memory-of-process", kind) for kind in KINDS),
        ("memory-a-connection", "async"), ("memory-an-endpoint", "sync"), ("memory-a-route", "sync"),
    }  # fmt: skip
    for (name, _), single in singles.items():
        if name != "memory-of-process":
            assert 0 < single.value.median < 100_000
    assert "an endpoint" in capsys.readouterr().out


def test_a_process_that_fails_is_told() -> None:
    """What it said comes with the error, which ends the command."""
    with pytest.raises(WorldError, match=r"(?s)failed.*nothing of that name"):
        memory._ask("nothing of that name")
