"""Memory: what is weighed, in processes of their own, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.contestants.base import KINDS
from benchmarks.costs import memory
from benchmarks.figures.about import about_now
from benchmarks.figures.results import Run, Single, Spread
from benchmarks.reports import memory as told
from benchmarks.reports import output
from benchmarks.world.errors import WorldError

from .test_world import needs_proc


@needs_proc
@pytest.mark.slow
def test_everything_is_weighed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process of both kinds, a connection, an endpoint and a route, each with a figure for every round."""
    document = tmp_path / "memory.json"
    assert main(["memory", "--quick", "--json", str(document)]) == 0
    singles = {(one.name, one.kind): one for one in output.read(document).singles if one.of == "ours"}
    assert set(singles) == {
        *((name, kind) for name in ("memory-of-process", "own-memory-of-process") for kind in KINDS),
        ("memory-a-connection", "async"), ("memory-an-endpoint", "sync"), ("memory-a-route", "sync"),
    }  # fmt: skip
    for (name, _), single in singles.items():
        if not name.endswith("of-process"):
            assert 0 < single.value.median < 100_000
    assert "an endpoint" in capsys.readouterr().out


def test_a_process_that_fails_is_told() -> None:
    """What it said comes with the error, which ends the command."""
    with pytest.raises(WorldError, match=r"(?s)failed.*nothing of that name"):
        memory._ask("", "nothing of that name")


def single(of: str, name: str, value: float) -> Single:
    return Single(name=name, of=of, kind="sync", value=Spread(median=value, low=value, high=value))


def test_both_libraries_stand_side_by_side() -> None:
    """One row a figure; a column for each library that was weighed, named where there are two."""
    about = about_now()
    one = single("ours", "memory-a-route", 512.0), single("ours", "memory-an-endpoint", 1024.0)
    (section,) = told.sections(Run(subject="memory", about=about, seconds=0.0, quick=True, singles=one))
    assert list(section.tables[0].columns) == ["memory of", "", "", ""]
    both = (*one, single("ours-compiled", "memory-a-route", 256.0))
    (section,) = told.sections(Run(subject="memory", about=about, seconds=0.0, quick=True, singles=both))
    assert list(section.tables[0].columns) == ["memory of", "", "interpreted", "compiled", ""]
    rows = [list(row) for row in section.tables[0].rows]
    assert rows == [["a route", "sync", "0.50", "0.25", "KiB"], ["an endpoint", "sync", "1.00", "", "KiB"]]
