"""A contestant's process, as the one who measures sees it."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import compiled
from ..world.child import Child
from ..world.errors import WorldError
from .turn import Turn

if TYPE_CHECKING:
    from ..contestants.base import Contestant, Place
    from ..figures.results import Load

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds an answer may take beyond what was asked for."""


class ContestantError(Exception):
    """A contestant crashed, hung or could not begin; the others go on."""


class Driver(Child):
    """Runs from its making until `stop`. `absent` says why it cannot take part, `None` where it can."""

    def __init__(self, contestant: Contestant, folder: Path) -> None:
        self.contestant = contestant
        self.name = f"{contestant.name} ({contestant.kind})"
        self._unread = b""
        command = [
            sys.executable, "-m", "benchmarks.load.worker", contestant.name, contestant.kind,
            ",".join(contestant.needs), ",".join(contestant.without),
            str(compiled.folder()) if contestant.compiled else "",
        ]  # fmt: skip
        path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        super().__init__(
            command, folder / f"{contestant.name}-{contestant.kind}.log", core=None,
            answers=True, environment={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        self.import_time = 0.0
        self.memory_at_start = self.memory_at_end = 0
        self.absent: str | None = None

    def begin(self) -> None:
        """Wait until it has imported what it needs."""
        told = self._answer(PATIENCE)
        self.import_time, self.absent = told["import_time"], told["absent"]

    def open(self, place: Place, core: int | None) -> None:
        """Let it make its first call; `ContestantError` where that fails."""
        told = self._ask(PATIENCE, do="open", place=asdict(place), core=core)
        self.start_time, self.memory_at_start = told["start_time"], told["memory"]

    def turn(self, load: Load, seconds: float, core: int | None) -> Turn:
        """Let it run for `seconds`; `ContestantError` where it does not come back."""
        told = self._ask(
            2 * seconds + PATIENCE, do="turn", core=core, callers=load.callers, seconds=seconds, rate=load.rate
        )
        self.memory_at_end = told["memory"]
        return Turn.unpacked(told)

    def collections(self, calls: int, core: int | None) -> int:
        """Let it make so many calls; return how often cyclic garbage was looked for meanwhile."""
        return int(self._ask(PATIENCE, do="collections", core=core, calls=calls)["collections"])

    def close(self) -> None:
        """Let it close what it opened; `stop` ends it whatever comes of this."""
        self._ask(PATIENCE, do="close")

    def _ask(self, limit: float, **command: Any) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._crashed() from error
        return self._answer(limit)

    def _answer(self, limit: float) -> Any:
        assert self._process.stdout is not None
        end = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise ContestantError(f"no answer within {limit:g} s")
                if not (data := os.read(self._process.stdout.fileno(), 1 << 20)):
                    raise self._crashed()
                self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        told = json.loads(line)
        if "error" in told:
            raise ContestantError(told["error"])
        return told

    def _crashed(self) -> ContestantError:
        try:
            code: int | None = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = None
        last = self.tail().splitlines()[-1:] or ["it left no word"]
        return ContestantError(f"crashed with {code}: {last[0]}")


def start(contestant: Contestant, folder: Path) -> Driver:
    try:
        return Driver(contestant, folder)
    except WorldError as error:
        raise ContestantError(str(error)) from error
