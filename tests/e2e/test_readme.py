"""Every snippet of the README runs, every command and link in it exists."""

from __future__ import annotations

import builtins
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pybreaker
import pytest
import yaml

import ambassador_lib
from ambassador_lib import Policy
from ambassador_lib.testing import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

RETRY = {"cluster": "up", "retry_policy": {"retry_on": "5xx", "num_retries": 1}}


def blocks(language: str) -> list[str]:
    """Return the fenced blocks in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def upstream(policy_for: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """An upstream, and the `envoy.yaml` that leads to it in the current folder (JSON is YAML)."""
    with Upstream() as running:
        document = json.dumps(policy_for(running, route=RETRY)).replace('"up"', '"billing_upstream"')
        (tmp_path / "envoy.yaml").write_text(document)
        monkeypatch.chdir(tmp_path)
        yield running


@pytest.mark.parametrize("snippet", blocks("python"), ids=lambda snippet: f"block-{blocks('python').index(snippet)}")
def test_python_runs(snippet: str, upstream: Upstream, capsys: pytest.CaptureFixture[str]) -> None:
    """A snippet runs as it stands, and what it prints shows that the upstream was reached."""
    exec(compile(snippet, "README.md", "exec"), {"__name__": "__main__"})
    if "client.get" in snippet and "MockTransport" not in snippet and "simulation()" not in snippet:
        assert upstream.requests
        assert "200" in capsys.readouterr().out


def test_the_example_is_ten_lines() -> None:
    """The first snippet is short enough to be read at a glance."""
    assert len(blocks("python")[0].splitlines()) <= 10


def test_yaml_is_accepted(policy_for: Callable[..., Any]) -> None:
    """The breaker's metadata is what a cluster takes."""
    for snippet in blocks("yaml"):
        with Upstream() as upstream:
            Policy.parse(policy_for(upstream, cluster=yaml.safe_load(snippet)))


def test_commands_exist() -> None:
    """Every `make` target that the README names is there (CI runs `test`, another test the demo)."""
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(blocks("sh") + re.findall(r"`([^`\n]+)`", README))))
    assert {"demo", "test"} <= named
    make = shutil.which("make")
    assert make
    for target in sorted(named):
        done = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
    others = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("make ")]
    assert others == []


def test_links_lead_somewhere() -> None:
    """Every relative link is a file of the repository, and what follows its `#` a heading in there."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        name, _, anchor = target.partition("#")
        name = name or "README.md"
        assert (ROOT / name).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / name).read_text(), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target


def test_the_table_of_failures_is_true() -> None:
    """Each exception exists and is what the table says it also is."""
    rows = re.findall(r"^\| (`\w+Error`(?:, `\w+Error`)*) \| (`[^|]+`) \|", README, re.MULTILINE)
    assert len(rows) >= 9
    for names, bases in rows:
        for name in re.findall(r"`(\w+)`", names):
            error = getattr(ambassador_lib, name)
            assert issubclass(error, ambassador_lib.AmbassadorError)
            for base in re.findall(r"`([\w.]+)`", bases):
                assert issubclass(error, _resolve(base)), (name, base)


def _resolve(dotted: str) -> type[Exception]:
    module, _, name = dotted.rpartition(".")
    found = getattr({"httpx": httpx, "pybreaker": pybreaker}[module], name) if module else getattr(builtins, name)
    assert isinstance(found, type)
    assert issubclass(found, Exception)
    return found
