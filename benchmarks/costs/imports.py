"""How long the package takes to import, against httpx: `python -m benchmarks imports`.

Each import runs in a fresh interpreter; the interpreters of all statements are interleaved and shuffled.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..figures.recorder import Recorder, spread
from ..figures.results import Cost
from ..reports.output import add_output_arguments, tell
from ..reports.progress import Progress

if TYPE_CHECKING:
    import argparse

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


def evaluate(python: str, probes: list[Probe], *, name_python: bool) -> list[Cost]:
    """Compare each statement with the baseline, round by round."""
    baseline = probes[0].seconds
    return [
        Cost(
            group="imports",
            name=f"{probe.statement} ({python})" if name_python else probe.statement,
            kind="sync",
            total=spread(probe.seconds),
            share=spread([own / base for own, base in zip(probe.seconds, baseline, strict=True)]),
        )
        for probe in probes
    ]


def notes(python: str, probes: list[Probe]) -> list[str]:
    """Say what was loaded that is heavy, and what a reader may not expect of the environment."""
    present = [name for name in ("redis", "tornado") if name in probes[0].installed]
    told = [f"{python}: {' and '.join(present) or 'neither redis nor tornado'} installed"]
    return told + [f"{probe.statement} loads {', '.join(probe.loaded)}" for probe in probes if probe.loaded]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how fast")
    parser.add_argument(
        "--python",
        action="append",
        metavar="PATH",
        help="an environment's interpreter, may be repeated (default: this)",
    )
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Measure in this interpreter's environment, or in those that are named."""
    recorder = Recorder("imports", options)
    costs = []
    pythons = options.python or [sys.executable]
    for python in pythons:
        probes = measure(python, 2 if options.quick else options.rounds)
        name = Path(python).name if len(pythons) == 1 else python
        costs += evaluate(name, probes, name_python=len(pythons) > 1)
        recorder.notes += notes(name, probes)
    return tell(recorder.run(costs=tuple(costs)), options)
