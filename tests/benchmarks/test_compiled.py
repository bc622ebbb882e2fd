"""The compiled library beside the interpreted one: found, refused where it is of other sources, and missed aloud."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from benchmarks import compiled
from benchmarks.cli import main
from benchmarks.contestants.ours import COMPILED
from benchmarks.contestants.registry import everybody, find
from benchmarks.figures.about import about_now
from benchmarks.figures.results import from_json
from benchmarks.load import driver
from benchmarks.scale import measure

LIST = """
[tool.hatch.build.targets.wheel.hooks.mypyc]
include = ["/ambassador_lib/hot.py"]
"""
HOT = f"ambassador_lib/hot{EXTENSION_SUFFIXES[0]}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository whose one module of the list is compiled."""
    files = {"ambassador_lib/hot.py": "x = 1", "ambassador_lib/inner/cold.py": "y = 1"}
    for root in (tmp_path, tmp_path / "build" / "compiled"):
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    (tmp_path / "pyproject.toml").write_text(LIST)
    (tmp_path / "build" / "compiled" / HOT).write_bytes(b"")
    return tmp_path


def test_what_is_of_these_sources_can_be_measured(tree: Path) -> None:
    """The same sources, and every module of the list compiled for this Python."""
    assert compiled.amiss(tree) is None


def other_sources(tree: Path) -> str:
    (tree / "ambassador_lib" / "hot.py").write_text("x = 2")
    return "of other sources (ambassador_lib/hot.py)"


def a_new_source(tree: Path) -> str:
    (tree / "ambassador_lib" / "new.py").write_text("")
    return "of other sources (ambassador_lib/new.py)"


def a_source_less(tree: Path) -> str:
    (tree / "ambassador_lib" / "inner" / "cold.py").unlink()
    return "of other sources (ambassador_lib/inner/cold.py)"


def another_list(tree: Path) -> str:
    (tree / "pyproject.toml").write_text(LIST.replace("hot.py", "*/cold.py"))
    return "of another list of modules (ambassador_lib/hot.py)"


def another_python(tree: Path) -> str:
    made = tree / "build" / "compiled"
    (made / HOT).rename(made / "ambassador_lib" / "hot.cpython-27.so")
    return "for another Python, or of another list of modules (ambassador_lib/hot.py)"


def nothing(tree: Path) -> str:
    (tree / "build").rename(tree / "elsewhere")
    return "there is no build/compiled"


@pytest.mark.parametrize("change", [other_sources, a_new_source, a_source_less, another_list, another_python, nothing])
def test_what_is_not_of_these_sources_is_refused(tree: Path, change: Callable[[Path], str]) -> None:
    """A sentence says what differs, and how it is made."""
    why = change(tree)
    told = compiled.amiss(tree)
    assert told is not None
    assert why in told
    assert "make compiled" in told


def test_what_is_measured_is_told_among_the_versions(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result says how much was compiled, where the compiled library could take part, and nothing where not."""
    monkeypatch.setattr(compiled, "_repository", lambda: tree)
    assert about_now().versions["build/compiled"] == "mypyc, 1 module"
    nothing(tree)
    assert "build/compiled" not in about_now().versions


def test_who_runs_it_is_named_after_who_runs_the_other() -> None:
    """Each has its interpreted twin, which differs in nothing else."""
    mine = [one for one in everybody() if one.compiled]
    assert {one.name for one in mine} == {name.replace("ours", "ours-compiled") for name in COMPILED}
    for one in mine:
        twin = find(one.name.replace("ours-compiled", "ours"), one.kind)
        assert one.title == f"{twin.title}, compiled"
        assert (one.policy, one.telemetry, one.loop) == (twin.policy, twin.telemetry, twin.loop)


@pytest.mark.parametrize("really", [True, False])
def test_a_process_runs_what_it_is_told_to(tmp_path: Path, really: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder goes before all else that Python looks through; what is found there and not compiled is refused."""
    package = tmp_path / "ambassador_lib"
    package.mkdir()
    (package / "__init__.py").write_text(f"__compiled__ = {really}")
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    only = dataclasses.replace(find("ours-compiled", "sync"), needs=("ambassador_lib",))
    with driver.start(only, tmp_path) as worker:
        if really:
            worker.begin()
            assert worker.absent is None
        else:
            with pytest.raises(driver.ContestantError, match="is not compiled"):
                worker.begin()


def test_who_is_left_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the compiled library everybody else is measured, and the way to it is said once."""
    monkeypatch.setattr(compiled, "amiss", lambda: "Run `make compiled`.")
    document = tmp_path / "run.json"
    arguments = ["--rounds", "1", "--seconds", "0.01", "--callers", "1", "--mode", "same-core", "--sync"]
    only = [argument for name in ("floor", "ours-compiled", "ours-compiled-bare") for argument in ("--only", name)]
    assert main(["compare", *arguments, *only, "--json", str(document)]) == 0
    run = from_json(document.read_text())
    assert {one.name for one in run.measured} == {"floor"}
    assert run.notes.count("Run `make compiled`.") == 1
    assert {one.absent for one in run.entries} == {None, "Run `make compiled`."}
    assert "Run `make compiled`." in capsys.readouterr().err


def test_curves_are_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Along an axis the compiled library is measured where it is there, and else it is said why not."""
    notes: list[str] = []
    monkeypatch.setattr(compiled, "amiss", lambda: None)
    assert measure.libraries(notes) == {"ambassador_lib": "", "ambassador_lib, compiled": str(compiled.folder())}
    assert notes == []
    monkeypatch.setattr(compiled, "amiss", lambda: "why")
    assert measure.libraries(notes) == {"ambassador_lib": ""}
    assert notes == ["why"]
