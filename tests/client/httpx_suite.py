"""httpx's own test suite: fetched as the sdist of the installed version, and run in a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent
PORT = 8000
"""The suite's server listens here, and its tests know."""
DOWNLOAD_LIMIT, PORT_LIMIT, RUN_LIMIT = 120.0, 60.0, 1800.0
"""Seconds; a run takes 20, and on a busy machine a hundred times as much is not a fault of ours."""


class UnreachableError(Exception):
    """The registry could not be asked."""


@dataclass(frozen=True)
class Outcome:
    """The tests of one run by how they ended, how many requests the clients sent, and what pytest said."""

    passed: frozenset[str]
    failed: frozenset[str]
    skipped: frozenset[str]
    sent: int
    output: str

    @property
    def ran(self) -> frozenset[str]:
        return self.passed | self.failed | self.skipped


def fetch(version: str, cache: Path) -> Path:
    """Return the sdist of httpx `version`, from `cache` if it is there. Raises `UnreachableError`."""
    archive = cache / f"httpx-{version}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", str(cache), f"httpx=={version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT, check=False)
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"pip download took more than {DOWNLOAD_LIMIT:.0f} s") from error
        if done.returncode:
            raise UnreachableError(done.stderr)
    return archive


def unpack(archive: Path, target: Path) -> Path:
    """Unpack all but the package itself, so that the installed httpx is tested, and return the folder."""
    with tarfile.open(archive) as files:
        root = files.getnames()[0].partition("/")[0]
        wanted = [member for member in files.getmembers() if not member.name.startswith(f"{root}/httpx/")]
        files.extractall(target, wanted, filter="data")
    return target / root


def count_test_functions(suite: Path) -> int:
    """Return how many test functions the suite's source has; with parameters they make at least as many tests."""
    sources = (suite / "tests").rglob("test_*.py")
    return sum(len(re.findall(r"^(?:async )?def test_", source.read_text(), re.MULTILINE)) for source in sources)


def wait_for_port() -> bool:
    """Tell whether the suite's server can listen, perhaps after another run has ended; it hangs where it cannot."""
    last = time.monotonic() + PORT_LIMIT
    while not _is_port_free():
        if time.monotonic() > last:
            return False
        time.sleep(0.25)
    return True


def _is_port_free() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return False
    return True


def run(suite: Path, *, swapped: bool) -> Outcome:
    """Run the suite with httpx's classes, or with ours in their place."""
    report = suite / f"report-{swapped}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "anyio.pytest_plugin"]
    command += ["-p", "count_and_swap", "--tb=short", f"--junitxml={report}"]
    paths = [str(HERE / "plugins"), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        # Other plugins of this environment (pytest-httpx, respx, hypothesis) have no business in httpx's suite.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SWAP_CLIENTS": str(int(swapped)),
    }
    done = subprocess.run(
        command, cwd=suite, env=environment, capture_output=True, text=True, timeout=RUN_LIMIT, check=False
    )
    return _read(report, done.stdout + done.stderr)


def _read(report: Path, output: str) -> Outcome:
    if not report.exists():
        raise AssertionError(f"httpx's test suite did not run:\n{output}")
    by_end: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
    for case in ET.parse(report).iter("testcase"):
        tags = {child.tag for child in case}
        end = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        by_end[end].add(f"{case.get('classname')}::{case.get('name')}")
    sent = re.search(r"^requests sent: (\d+)$", output, re.MULTILINE)
    return Outcome(
        passed=frozenset(by_end["passed"] - by_end["failed"]),  # some are there twice: passed, and torn down badly
        failed=frozenset(by_end["failed"]),
        skipped=frozenset(by_end["skipped"]),
        sent=int(sent.group(1)) if sent else 0,
        output=output,
    )
