"""What memory the library takes: `python -m benchmarks memory`. Of a process, a connection, an endpoint, a route.

A process is weighed with Python's bytecode on the disk, as it runs from its second start on: whoever has to compile
sources has the compiler's memory, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .. import compiled
from ..contestants.base import KINDS
from ..contestants.ours import compiled as compiled_name
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
    from .memory_worker import Weights

LEFT_OUT = ("SSL_CERT_", "PYTHONDONTWRITEBYTECODE")
"""Beginnings of what a process that is weighed does not find in its environment."""
LIMIT = 120.0
"""Seconds that a process may take to be weighed."""
CONNECTIONS, ENDPOINTS, ROUTES = 500, 2000, 1000


class Scales:
    """Weighs, in fresh processes, with what it needs in a folder. `small` for a quick run.

    `library`: the folder with the compiled one, "" for whichever Python finds.
    """

    def __init__(self, folder: Path, upstream: Upstream, *, small: bool) -> None:
        self._port = free_port()
        self._upstream = f"http://127.0.0.1:{upstream.port}{policy.PATH}"
        self._policy = policy.write(folder / "policy.yaml", self._port, [upstream.port])
        self._connections = 50 if small else CONNECTIONS
        self._many = {"endpoints": 50 if small else ENDPOINTS, "routes": 50 if small else ROUTES}
        self._sizes = {
            axis: [_written(folder, axis, count) for count in (1, many)] for axis, many in self._many.items()
        }

    def process(self, kind: Kind, library: str) -> Weights:
        """Return the bytes of our process beyond those of one that has made a single request with httpx."""
        ours = _ask(library, "process", "ours", kind, self._listener, self._policy)
        theirs = _ask(library, "process", "httpx", kind, self._upstream, self._policy)
        return {name: ours[name] - theirs[name] for name in ours}

    def connection(self, library: str) -> Weights:
        """Return the bytes of a connection."""
        path = self._listener.partition("?")[0] + "/bytes/200000"
        return _ask(library, "connections", str(self._connections), path, self._policy)

    def each(self, axis: str, name: str, library: str) -> Weights:
        """Return the bytes of an endpoint or a route."""
        found = _ask(library, "sized", name, *self._sizes[axis])
        return {name: found[name] / (self._many[axis] - 1)}

    @property
    def _listener(self) -> str:
        return f"http://127.0.0.1:{self._port}{policy.PATH}"


def measure(rounds: int, *, small: bool) -> list[Single]:
    """Weigh everything in so many rounds, of the compiled library, too, where it is there; `WorldError` where a process
    does not tell."""
    libraries = {"ours": ""}
    if compiled.amiss() is None:
        libraries[compiled_name("ours")] = str(compiled.folder())
    with TemporaryDirectory(prefix="memory-") as made, Upstream(Path(made)) as upstream:
        scales = Scales(Path(made), upstream, small=small)
        weighed: list[tuple[Kind, Callable[[str], Weights]]] = [
            *((kind, partial(scales.process, kind)) for kind in KINDS),
            ("async", scales.connection),
            ("sync", partial(scales.each, "endpoints", "memory-an-endpoint")),
            ("sync", partial(scales.each, "routes", "memory-a-route")),
        ]
        for kind, library in product(KINDS, libraries.values()):
            scales.process(kind, library)  # uncounted: it may have to write the bytecode
        found: dict[tuple[str, str, Kind], list[float]] = {}
        with Progress(rounds * len(weighed) * len(libraries)) as progress:
            for _ in range(rounds):
                for (kind, weigh), (of, library) in product(weighed, libraries.items()):
                    for name, weight in weigh(library).items():
                        found.setdefault((name, of, kind), []).append(weight)
                    progress.step()
    return [Single(name=name, of=of, kind=kind, value=spread(values)) for (name, of, kind), values in found.items()]


def _written(folder: Path, axis: str, count: int) -> Path:
    path = folder / f"{axis}-{count}.json"
    path.write_text(json.dumps(DOCUMENTS[axis](count)))
    return path


def _ask(library: str, *arguments: str | Path) -> Weights:
    command: Sequence[str] = [sys.executable, "-m", "benchmarks.costs.memory_worker", library, *map(str, arguments)]
    # Certificates that the environment names are read at once by either client, those of httpx's own when needed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise WorldError(f"a process that was weighed has not ended within {LIMIT:g} s") from None
    if done.returncode:
        raise WorldError(f"a process that was weighed has failed: {done.stderr.strip()[-500:]}")
    weights: Weights = json.loads(done.stdout)
    return weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how much")
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Weigh and tell."""
    recorder = Recorder("memory", options)
    if (why := compiled.amiss()) is not None:
        recorder.notes.append(why)
    singles = measure(2 if options.quick else options.rounds, small=options.quick)
    return tell(recorder.run(singles=tuple(singles)), options)
