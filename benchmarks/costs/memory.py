"""What memory the library takes: `python -m benchmarks memory`. Of a process, a connection, an endpoint, a route."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..contestants.base import KINDS
from ..figures.recorder import Recorder, spread
from ..figures.results import Single
from ..reports.output import add_output_arguments, tell
from ..reports.progress import Progress
from ..scale.documents import DOCUMENTS
from ..world import policy
from ..world.child import free_port
from ..world.errors import WorldError
from ..world.upstream import Upstream

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from ..figures.results import Kind

LIMIT = 120.0
"""Seconds that a process may take to be weighed."""
CONNECTIONS, ENDPOINTS, ROUTES = 500, 2000, 1000
STEPS = 5
"""Figures of a round."""


class Scales:
    """Weighs, in fresh processes, with what it needs in a folder. `small` for a quick run."""

    def __init__(self, folder: Path, upstream: Upstream, *, small: bool) -> None:
        self._port = free_port()
        self._upstream = f"http://127.0.0.1:{upstream.port}{policy.PATH}"
        self._policy = policy.write(folder / "policy.yaml", self._port, [upstream.port])
        self._connections = 50 if small else CONNECTIONS
        self._many = {"endpoints": 50 if small else ENDPOINTS, "routes": 50 if small else ROUTES}
        self._sizes = {
            axis: [_written(folder, axis, count) for count in (1, many)] for axis, many in self._many.items()
        }

    def process(self, kind: Kind) -> float:
        """Return the bytes of our process beyond those of one that has made a single request with httpx."""
        ours = _ask("process", "ours", kind, self._listener, self._policy)
        return ours - _ask("process", "httpx", kind, self._upstream, self._policy)

    def connection(self) -> float:
        """Return the bytes of a connection."""
        path = self._listener.partition("?")[0] + "/bytes/200000"
        return _ask("connections", str(self._connections), path, self._policy)

    def each(self, axis: str) -> float:
        """Return the bytes of an endpoint or a route."""
        return _ask("sized", *self._sizes[axis]) / (self._many[axis] - 1)

    @property
    def _listener(self) -> str:
        return f"http://127.0.0.1:{self._port}{policy.PATH}"


def measure(rounds: int, *, small: bool) -> list[Single]:
    """Weigh everything in so many rounds; `WorldError` where a process does not tell."""
    with TemporaryDirectory(prefix="memory-") as made, Upstream(Path(made)) as upstream:
        scales = Scales(Path(made), upstream, small=small)
        weighed: list[tuple[str, Kind, Callable[[], float]]] = [
            *(("memory-of-process", kind, lambda kind=kind: scales.process(kind)) for kind in KINDS),
            ("memory-a-connection", "async", scales.connection),
            ("memory-an-endpoint", "sync", lambda: scales.each("endpoints")),
            ("memory-a-route", "sync", lambda: scales.each("routes")),
        ]
        found: dict[tuple[str, Kind], list[float]] = {}
        with Progress(rounds * len(weighed)) as progress:
            for _ in range(rounds):
                for name, kind, weigh in weighed:
                    found.setdefault((name, kind), []).append(weigh())
                    progress.step()
    return [Single(name=name, of="ours", kind=kind, value=spread(values)) for (name, kind), values in found.items()]


def _written(folder: Path, axis: str, count: int) -> Path:
    path = folder / f"{axis}-{count}.json"
    path.write_text(json.dumps(DOCUMENTS[axis](count)))
    return path


def _ask(*arguments: str | Path) -> float:
    command: Sequence[str] = [sys.executable, "-m", "benchmarks.costs.memory_worker", *map(str, arguments)]
    # Certificates that the environment names are read at once by either client, those of httpx's own when needed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise WorldError(f"a process that was weighed has not ended within {LIMIT:g} s") from None
    if done.returncode:
        raise WorldError(f"a process that was weighed has failed: {done.stderr.strip()[-500:]}")
    return float(json.loads(done.stdout))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how much")
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Weigh and tell."""
    recorder = Recorder("memory", options)
    singles = measure(2 if options.quick else options.rounds, small=options.quick)
    return tell(recorder.run(singles=tuple(singles)), options)
