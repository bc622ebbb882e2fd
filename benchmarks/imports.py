"""How long the package takes to import, against httpx: `python -m benchmarks.imports`.

Each import runs in a fresh interpreter; the interpreters of all statements are interleaved and shuffled.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

from .progress import Progress

TARGET = 1.3
BASELINE = "import httpx"
STATEMENTS = (
    BASELINE,
    "import ambassador_lib",
    "from ambassador_lib import Client, AsyncClient",
)
HEAVY = (
    "google.protobuf",
    "yaml",
    "opentelemetry.sdk",
    "opentelemetry",
    "pybreaker",
    "tenacity",
    "redis",
    "tornado",
    "click",
)
"""Only the policy's loading may bring these in."""

_PROBE = """
import json, sys, time
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
from importlib.util import find_spec
def installed(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
heavy = {heavy!r}
print(json.dumps({{
    "seconds": seconds,
    "loaded": [name for name in heavy if name in sys.modules],
    "installed": [name for name in heavy if installed(name)],
}}))
"""


class Probe:
    """One statement in one interpreter's environment."""

    def __init__(self, python: str, statement: str) -> None:
        self.statement = statement
        self.seconds: list[float] = []
        self.loaded: list[str] = []
        self.installed: list[str] = []
        self._command = [python, "-c", _PROBE.format(statement=statement, heavy=HEAVY)]

    def run(self, *, keep: bool = True) -> None:
        """Import once."""
        done = subprocess.run(self._command, check=True, capture_output=True, text=True, timeout=60)
        told = json.loads(done.stdout)
        self.loaded, self.installed = told["loaded"], told["installed"]
        if keep:
            self.seconds.append(told["seconds"])


def measure(python: str, rounds: int) -> list[Probe]:
    """Time every statement `rounds` times; a first run, not counted, writes the byte code."""
    probes = [Probe(python, statement) for statement in STATEMENTS]
    for probe in probes:
        probe.run(keep=False)
    order = list(probes)
    with Progress(rounds * len(order)) as progress:
        for _ in range(rounds):
            random.shuffle(order)
            for probe in order:
                probe.run()
                progress.step()
    return probes


def print_table(python: str, probes: list[Probe]) -> None:
    """Print medians, their ratio to httpx and what else was loaded."""
    baseline = probes[0].seconds
    present = [name for name in ("redis", "tornado") if name in probes[0].installed]
    print(f"{python}, {' and '.join(present) or 'neither redis nor tornado'} installed")
    for probe in probes:
        ratio = statistics.median(own / base for own, base in zip(probe.seconds, baseline, strict=True))
        verdict = "" if probe.statement == BASELINE else f", target {TARGET}" + (" MISSED" if ratio > TARGET else "")
        loaded = ", ".join(probe.loaded) or "nothing heavy"
        milliseconds = statistics.median(probe.seconds) * 1e3
        print(f"  {probe.statement:<48}{milliseconds:>7.1f} ms  x {ratio:.2f}{verdict}; loaded: {loaded}")


def main() -> None:
    """Measure in this interpreter's environment and in those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default: %(default)s)")
    parser.add_argument(
        "--python",
        action="append",
        metavar="PATH",
        help="an environment's interpreter, may be repeated (default: this)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    found = {}
    for python in options.python or [sys.executable]:
        probes = measure(python, options.rounds)
        print_table(python, probes)
        found[python] = {
            probe.statement: {"seconds": statistics.median(probe.seconds), "loaded": probe.loaded} for probe in probes
        }
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
