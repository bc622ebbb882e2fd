"""`python -m benchmarks scale`: what it costs against how much there is of it, as curves."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..figures.recorder import Recorder
from ..reports.output import add_output_arguments, tell
from ..reports.progress import Progress
from ..world import policy
from ..world.child import free_port
from ..world.envoy import Envoy, find, version
from ..world.errors import EnvoyMissingError, WorldError
from ..world.upstream import Upstream
from . import through_envoy
from .axes import AXES, Axis
from .measure import OURS, Place, curves, failed, first_uses, libraries, network_places, null_places, rounds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..figures.results import Curve, Single


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=1000, help="calls a turn without network (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn over the network (default: %(default)s)")
    parser.add_argument(
        "--only", choices=[axis.name for axis in AXES], action="append",
        help="only this axis, may be repeated (default: all)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="shows that it works, not how fast")
    add_output_arguments(parser)


def run(options: Any) -> int:
    """Measure and tell; 1 where something could not be started, or ended by itself."""
    chosen = [axis for axis in AXES if not options.only or axis.name in options.only]
    programs, notes = _envoy()
    recorder = Recorder("scale", options, programs)
    if any(axis.over == "network" or axis.name in through_envoy.AXES for axis in chosen):
        recorder.notes += notes
    ours = libraries(recorder.notes)
    found: list[Curve] = []
    singles: list[Single] = []
    try:
        for axis in chosen:
            with ExitStack() as stack:
                places = _measured(axis, ours, options, stack, envoy=bool(programs))
                recorder.notes += failed(axis.name, places)
                found += curves(axis, places)
                singles += first_uses(places)
    except WorldError as error:
        print(error, file=sys.stderr)
        return 1
    return tell(recorder.run(curves=tuple(found), singles=tuple(singles)), options)


def _envoy() -> tuple[dict[str, str], list[str]]:
    try:
        return {"envoy": version(find())}, []
    except EnvoyMissingError as error:
        return {}, [str(error)]


def _measured(axis: Axis, ours: Mapping[str, str], options: Any, stack: ExitStack, *, envoy: bool) -> list[Place]:
    """Measure one axis; `stack` stops all that was started for it."""
    count = 2 if options.quick else options.rounds
    places = _places(axis, ours, options, stack, envoy=envoy)
    with Progress((count + 1) * len(places)) as progress:
        rounds(places, count, progress.step)
    return places


def _places(axis: Axis, ours: Mapping[str, str], options: Any, stack: ExitStack, *, envoy: bool) -> list[Place]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="scale-")))
    if axis.over == "null":
        calls = 50 if options.quick else options.calls
        found = null_places(axis, ours, stack, quick=options.quick, calls=calls)
        if envoy and axis.name in through_envoy.AXES:
            found += through_envoy.places(axis, folder, stack, quick=options.quick, calls=calls)
        return found
    upstream = stack.enter_context(Upstream(folder))
    port = free_port()
    path = policy.write(folder / "policy.yaml", port, [upstream.port])
    through = f"http://127.0.0.1:{port}"
    contestants: dict[str, tuple[str | None, str]] = {
        OURS: (str(path), through),
        "httpx": (None, f"http://127.0.0.1:{upstream.port}"),
    }
    if envoy:
        stack.enter_context(Envoy(path, [port], folder))
        contestants["httpx through Envoy"] = (None, through)
    seconds = 0.1 if options.quick else options.seconds
    return network_places(axis, stack, contestants, quick=options.quick, seconds=seconds)
