"""Reports: a run is told as text, as a page and as pictures, and nothing of it is lost on the way."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.budget import command as budget
from benchmarks.figures.results import (
    About,
    Cost,
    Curve,
    Entry,
    Failure,
    Latency,
    Load,
    Measured,
    Point,
    Process,
    Ratio,
    Round,
    Run,
    Second,
    Spread,
    to_json,
)
from benchmarks.reports import command, html, output, png, readme
from benchmarks.reports.model import Chart, Series, Table, nines, short, spread
from benchmarks.reports.table import as_markdown, as_text

ONE = Spread(median=1.5, low=1.0, high=2.0)
CLOSED = Load(loop="closed", callers=1)
OPEN = Load(loop="open", callers=64, rate=250.0)


def latency(seconds: float) -> Latency:
    curve = tuple((percent, seconds * (1 + percent / 100)) for percent in (0.0, 50.0, 90.0, 99.0, 100.0))
    return Latency(
        count=9, mean=seconds, p50=seconds, p90=seconds, p99=seconds * 2, p999=seconds * 2, max=seconds * 3, curve=curve
    )


def measured(name: str, seconds: float, load: Load, sidecar: float | None = None) -> Measured:
    turn = Round(
        number=1, calls=9, errors=0, unsent=0, seconds=1.0, rate=9.0, latency=latency(seconds), cpu_client=seconds,
        cpu_upstream=None, cpu_sidecar=sidecar,
    )  # fmt: skip
    return Measured(
        name=name,
        kind="async",
        placement="unpinned",
        load=load,
        rounds=(turn, turn),
        latency=latency(seconds),
        errors={},
    )


def entry(name: str, family: str, memory: int, *, through: str | None = None, absent: str | None = None) -> Entry:
    return Entry(
        name=name, kind="async", title=f"{name}!", family=family, through=through, absent=absent,
        memory_at_start=memory, memory_at_end=memory,
    )  # fmt: skip


@pytest.fixture
def everything() -> Run:
    """A run in which everything was measured."""
    about = About(
        command="python -m benchmarks compare", started="2024-01-01T00:00:00+00:00", system="<Linux>", processor="x",
        cores=2, memory=2**34, python="CPython 3.11", load=(0.1, 0.2, 0.3), versions={"httpx": "0.28"},
    )  # fmt: skip
    loads = (CLOSED, Load(loop="closed", callers=32), OPEN)
    return Run(
        subject="compare", about=about, seconds=3.0, quick=True, notes=("a note",),
        entries=(
            entry("httpx", "httpx", 30 << 20), entry("ours", "ours", 33 << 20),
            entry("through", "httpx", 30 << 20, through="envoy"),
            entry("missing", "others", 0, absent="not installed"),
        ),
        processes=(
            Process(name="envoy", version="1", start_time=0.2, memory_at_start=60 << 20, memory_at_end=110 << 20,
                    memory_per_connection=50 * 1024.0),
        ),
        measured=tuple(
            one for load in loads for one in (
                measured("httpx", 400e-6, load), measured("ours", 300e-6, load),
                measured("through", 600e-6, load, sidecar=90e-6),
            )
        ),
        ratios=(
            Ratio(kind="async", placement="unpinned", load=CLOSED, figure="p50", name="ours", against="httpx",
                  spread=Spread(median=0.75, low=0.7, high=0.8), verdict="less"),
            Ratio(kind="async", placement="unpinned", load=CLOSED, figure="p99", name="ours", against="httpx",
                  spread=Spread(median=1.0, low=0.7, high=1.8), verdict="no difference"),
        ),
        curves=(
            Curve(axis="routes", name="ours", kind="sync", growth={"cpu_client": "constant"},
                  points=tuple(Point(x=x, figures={"cpu_client": ONE}) for x in (1.0, 10.0, 100.0))),
        ),
        failures=(
            Failure(scenario="one killed", name="ours", calls=9, success=ONE, extra_load=ONE, p50=ONE, p99=ONE,
                    recovery=None, timeline=(Second(at=0.0, calls=3, succeeded=2, p99=0.1),)),
        ),
        costs=(
            Cost(group="layers", name="Retry", kind="sync", total=ONE, over=ONE, share=ONE),
            Cost(group="imports", name="import x", kind="sync", total=ONE, share=ONE),
        ),
    )  # fmt: skip


def test_everything_is_told(everything: Run) -> None:
    """Each kind of result has its section, and what could not be measured is named."""
    sections = output.sections(everything)
    titles = [section.title for section in sections]
    assert titles[:3] == ["In brief", "Ratios", "Latency: async, unpinned, closed loop, 1 caller"]
    assert {"Throughput", "Start and memory", "Layers", "Imports", "Failure: one killed"} <= set(titles)
    assert "missing!: not installed" in sections[titles.index("Start and memory")].text
    [ratios] = sections[1].tables
    [brief] = sections[0].tables
    assert brief.rows == [["ours!", "300", "9.00", "300", "", "", ""], ["httpx!", "400", "9.00", "400", "", "", ""]]
    assert ratios.rows == [["ours!", "0.75 (0.70 .. 0.80)", "no difference (0.70 .. 1.80)"]]


def test_names_of_pictures_are_their_own(everything: Run) -> None:
    """No chart of a run overwrites another."""
    names = [chart.name for section in output.sections(everything) for chart in section.charts]
    assert len(names) == len(set(names))
    assert all(name.replace("-", "").isalnum() for name in names)


def arguments(module: object, *given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(given)


def test_a_page_holds_everything(everything: Run, tmp_path: Path) -> None:
    """The page needs no other file, names the machine, and takes nothing that it is told for markup."""
    pytest.importorskip("plotly")
    path, page = tmp_path / "run.json", tmp_path / "page.html"
    path.write_text(to_json(everything))
    assert command.run(arguments(command, str(path), "--html", str(page))) == 0
    text = page.read_text()
    assert "&lt;Linux&gt;" in text
    assert "<Linux>" not in text
    assert "Plotly.newPlot" in text
    assert "<script src" not in text
    for section in output.sections(everything):
        assert html.html.escape(section.title) in text


def test_every_chart_becomes_a_picture(everything: Run, tmp_path: Path) -> None:
    """Each chart has its PNG."""
    pytest.importorskip("matplotlib")
    sections = output.sections(everything)
    drawn = png.write(tmp_path, sections)
    assert len(drawn) == sum(len(section.charts) for section in sections)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_without_a_plotting_library_it_says_what_is_missing(
    everything: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables come without it; only the page does not."""

    def missing(*_: object) -> None:
        raise ImportError("No module named 'plotly'")

    monkeypatch.setattr(html, "write", missing)
    path = tmp_path / "run.json"
    path.write_text(to_json(everything))
    assert command.run(arguments(command, str(path), "--html", str(tmp_path / "x.html"))) == 1
    printed = capsys.readouterr()
    assert "Ratios" in printed.out
    assert "ambassador_lib[bench]" in printed.err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1}'])
def test_what_is_no_result_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that holds no result is named, and ends the command with 2."""
    path = tmp_path / "x.json"
    path.write_text(content)
    assert command.run(arguments(command, str(path))) == 2
    assert "x.json" in capsys.readouterr().err


def test_a_budget_from_a_comparison(everything: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fan-out takes its distributions from the run, the fleet its memory and CPU beyond bare httpx."""
    path = tmp_path / "run.json"
    path.write_text(to_json(everything))
    assert budget.run(arguments(budget, "--from", str(path), "--quick", "--pods", "10", "--connections", "100")) == 0
    printed = capsys.readouterr().out
    assert "10 of 15" in printed
    sections = budget.sections(everything, arguments(budget, "--quick", "--pods", "1024", "--connections", "0"))
    rows = {row[0]: row for row in sections[1].tables[0].rows}
    assert set(rows) == {"envoy as a sidecar", "ours!"}
    assert rows["envoy as a sidecar"][1:5] == ["60.0", "50.0", "90.0", "60.0"]
    assert rows["ours!"][1:5] == ["3.00", "not apart", "-100", "3.00"]
    fan_out = [row[0] for row in sections[0].tables[0].rows]
    assert fan_out == ["no stack at all", "httpx!", "ours!", "through!"]


def test_a_budget_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of another command has nothing to plan with, and says so."""
    about = About(
        command="", started="", system="", processor="", cores=1, memory=1, python="", load=(0.0, 0.0, 0.0), versions={}
    )
    path = tmp_path / "run.json"
    path.write_text(to_json(Run(subject="scale", about=about, seconds=0.0, quick=True)))
    assert budget.run(arguments(budget, "--from", str(path))) == 2
    assert "nothing was measured" in capsys.readouterr().err


@given(st.floats(1e-3, 1e9))
def test_short_figures_are_close(value: float) -> None:
    """What is written is the figure to within a hundredth, or a thousandth of one."""
    written = float(short(value).replace(",", ""))
    assert math.isclose(written, value, rel_tol=0.051, abs_tol=0.0006)
    assert short(-value) == f"-{short(value)}"
    assert "e" not in short(value)


def test_a_spread_that_is_none_is_not_told() -> None:
    """A figure that was the same in all rounds, or had one, stands alone."""
    assert spread(1.0, 1.0, 1.0) == "1.00"
    assert spread(1.0, 0.5, 20.0) == "1.00 (0.50 .. 20.0)"


def test_nines_are_equally_far_apart() -> None:
    """On the axis of percentiles 90, 99 and 99.9 have the same distance."""
    assert [round(math.log10(nines(at)), 9) for at in (0, 90, 99, 99.9)] == [0, 1, 2, 3]


def test_tables_are_aligned() -> None:
    """The first column is set to the left, all others to the right; a README's has the same cells."""
    table = Table(["a", "figure"], [["long name", "1"], ["x", "1000"]])
    assert as_text(table).splitlines() == [
        "a          figure", "─" * 17, "long name       1", "x            1000",
    ]  # fmt: skip
    assert as_markdown(table).splitlines() == ["| a | figure |", "|---|--:|", "| long name | 1 |", "| x | 1000 |"]


def test_a_chart_of_percentiles_has_room_for_each_nine() -> None:
    """plotly's axis is logarithmic in what is left to 100 %, and says percent."""
    pytest.importorskip("plotly")
    chart = Chart("x", "x", "percentiles", "", "", [Series("x", [0.0, 90.0, 99.0], [1, 2, 3])])
    figure = html.figure(chart)
    assert list(figure.data[0].x) == pytest.approx([1, 10, 100])
    assert "99.9 %" in figure.layout.xaxis.ticktext


ROOT = Path(__file__).parents[2]


def test_a_readme_says_what_results_say(everything: Run, tmp_path: Path) -> None:
    """What stands between the marks is replaced by the section's tables, and all else is left."""
    (tmp_path / "run.json").write_text(to_json(everything))
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- results: run.json, In brief -->\nold\n<!-- end of results -->\nafter\n")
    assert command.run(arguments(command, "--readme", str(page))) == 0
    text = page.read_text()
    assert "| ours! | 300 | 9.00 | 300 |" in text
    assert "`python -m benchmarks compare`, 2024-01-01: x, 2 cores, CPython 3.11, httpx 0.28." in text
    assert "old" not in text
    assert text.startswith("before\n<!-- results")
    assert text.endswith("<!-- end of results -->\nafter\n")
    assert command.run(arguments(command, "--readme", str(page))) == 0
    assert page.read_text() == text


@pytest.mark.parametrize("place", ["run.json, Nothing", "missing.json, In brief"])
def test_a_readme_that_asks_for_what_is_not_there_is_left(
    everything: Run, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with 2, and the file is as it was."""
    (tmp_path / "run.json").write_text(to_json(everything))
    page = tmp_path / "README.md"
    page.write_text(f"<!-- results: {place} -->\nold\n<!-- end of results -->")
    assert command.run(arguments(command, "--readme", str(page))) == 2
    assert page.read_text().split("\n")[1] == "old"
    assert place.partition(",")[0] in capsys.readouterr().err


def test_a_report_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a result and without a README there is nothing to do."""
    assert command.run(arguments(command)) == 2
    assert "--readme" in capsys.readouterr().err


def test_tables_as_markdown(everything: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each section comes with its headline and its tables."""
    path = tmp_path / "run.json"
    path.write_text(to_json(everything))
    assert command.run(arguments(command, str(path), "--markdown")) == 0
    printed = capsys.readouterr().out
    assert "### In brief" in printed
    assert "| x httpx! | p50 | p99 |" in printed


@pytest.mark.parametrize("place", [ROOT / "README.md", ROOT / "benchmarks" / "README.md"], ids=["root", "benchmarks"])
def test_our_readmes_say_what_our_results_say(place: Path) -> None:
    """Their tables are those of the results that are kept: `python -m benchmarks report --readme README.md`."""
    text = place.read_text(encoding="utf-8")
    assert readme.MARKED.search(text)
    assert readme.update(text, place.parent, output.read, output.sections) == text


def test_results_name_no_place_of_a_machine() -> None:
    """What is kept says with which command it was made, in terms of the repository."""
    kept = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert kept
    assert all(" /" not in output.read(path).about.command for path in kept)
