"""Measures along an axis: a process for everybody, turns in rounds, in another order each time."""

from __future__ import annotations

import json
import random
import select
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .. import compiled
from ..figures.recorder import spread
from ..figures.results import Curve, Point, Single
from ..world.errors import WorldError
from . import growth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .axes import Axis

OURS = "ambassador_lib"
LIMIT = 180.0
"""Seconds that a turn may take."""
SIDECAR = "cpu_sidecar"
"""A figure that only those have who have a sidecar."""
FIRST_USE = "first_use"
"""A figure of the axis of everything, and of its places with several endpoints."""
NAMELESS = ("rate", "p99")
"""A rate is the other side of what it takes, and a tail wavers too much to have a shape."""


class Worker:
    """A process that is measured; `orders` say what it is, see `worker`."""

    def __init__(self, orders: Mapping[str, Any], stack: ExitStack) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scale.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stack.callback(self._stop)
        self.setting_up: dict[str, float] = self.ask(orders)

    def ask(self, question: Mapping[str, Any]) -> dict[str, float]:
        """Ask, and wait for the answer; `WorldError` where the process has ended instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            # An answer is a line, written at once.
            if not select.select([self._process.stdout], [], [], LIMIT)[0]:
                raise WorldError(f"a measured process has not answered within {LIMIT:g} s")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorldError("a measured process ended by itself; what it said stands above")
        answer: dict[str, float] = json.loads(line)
        return answer

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Asked(Protocol):
    """Who is asked for turns; `setting_up` are figures that belong to each of them."""

    setting_up: dict[str, float]

    def ask(self, question: Mapping[str, Any]) -> dict[str, float]: ...


@dataclass
class Place:
    """One contestant at one place of an axis: who is asked what, and what came of it, round by round."""

    name: str
    x: int
    worker: Asked
    question: Mapping[str, Any]
    figures: list[dict[str, float]] = field(default_factory=list)

    def turn(self) -> None:
        self.figures.append(self.worker.ask(self.question) | self.worker.setting_up)


def libraries(notes: list[str] | None = None) -> dict[str, str]:
    """Return by their names where the library is imported from, and the compiled one; `notes` say why that is not."""
    found = {OURS: ""}
    if (why := compiled.amiss()) is None:
        found[OURS + compiled.SUFFIX] = str(compiled.folder())
    elif notes is not None:
        notes.append(why)
    return found


def null_places(axis: Axis, libraries: Mapping[str, str], stack: ExitStack, *, quick: bool, calls: int) -> list[Place]:
    """Return each library over a null transport, with a process for each size of policy."""
    return [
        Place(name, x, Worker({"what": "null", "axis": axis.name, "x": x, "compiled": path}, stack), {"calls": calls})
        for name, path in libraries.items()
        for x in (axis.quick if quick else axis.x)
    ]


def network_places(
    axis: Axis,
    stack: ExitStack,
    contestants: Mapping[str, tuple[str | None, str]],
    *,
    quick: bool,
    seconds: float,
) -> list[Place]:
    """Return everybody (name: policy file, base URL) at each place, with a process for each contestant."""
    places = []
    for name, (policy, base) in contestants.items():
        worker = Worker({"what": "network", "kind": axis.kind, "policy": policy}, stack)
        for x in axis.quick if quick else axis.x:
            path, callers = (f"/v1/bytes/{x}", 1) if axis.name == "body" else ("/v1/charges", x)
            places.append(Place(name, x, worker, {"url": base + path, "callers": callers, "seconds": seconds}))
    return places


def rounds(places: Sequence[Place], count: int, step: Callable[[], None]) -> None:
    """Give everybody a turn in each round; the first round is not counted."""
    order = list(places)
    for number in range(count + 1):
        random.shuffle(order)
        for place in order:
            place.turn()
            step()
            if number == 0:
                place.figures.clear()


def failed(axis: str, places: Sequence[Place]) -> list[str]:
    """Return a sentence for each place where calls failed."""
    return [
        f"{place.name}, {place.x:,} {axis}: {int(sum(one.get('failed', 0.0) for one in place.figures))} calls failed"
        for place in places
        if any(one.get("failed") for one in place.figures)
    ]


def curves(axis: Axis, places: Sequence[Place]) -> list[Curve]:
    """Return a curve for each contestant, its growth named."""
    found = []
    for name in dict.fromkeys(place.name for place in places):
        mine = [place for place in places if place.name == name]
        figures = [figure for figure in (*axis.figures, SIDECAR) if all(figure in one for one in mine[0].figures)]
        points = [
            Point(
                x=float(place.x),
                figures={figure: spread([one[figure] for one in place.figures]) for figure in figures},
            )
            for place in mine
        ]
        grown = {figure: _growth(points, figure) for figure in figures if figure not in NAMELESS}
        found.append(Curve(axis=axis.name, name=name, kind=axis.kind, points=tuple(points), growth=grown))
    return found


def first_uses(places: Sequence[Place]) -> list[Single]:
    """Return what a host's first use takes beyond a later one, where there are most of them."""
    found = {place.name: place.worker.setting_up[FIRST_USE] for place in places if FIRST_USE in place.worker.setting_up}
    return [
        Single(name="first-use-of-a-host", of=of, kind="sync", value=spread([value])) for of, value in found.items()
    ]


def _growth(points: Sequence[Point], figure: str) -> str:
    spreads = [point.figures[figure] for point in points]
    noise = statistics.median(one.high - one.low for one in spreads)
    return growth.name([point.x for point in points], [one.median for one in spreads], noise=noise)
