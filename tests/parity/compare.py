"""Runs scenarios on their sides in children of the nursery, and compares what they showed."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from . import certificates, envoy
from .expect import complaints
from .model import Scenario
from .sides import SIDES, Job, Shown
from .upstreams.server import reserve

ROOT = Path(__file__).parents[2]
SHARED_PORTS = 16
ALONE_LIMIT = 60.0
"""Seconds to wait for others on this machine to be done before a second try."""


@dataclass
class Verdict:
    """What the sides of one scenario showed, and what is wrong with it."""

    scenario: Scenario
    shown: dict[str, Shown] = field(default_factory=dict)
    complaints: dict[str, list[str]] = field(default_factory=dict)
    """By side; none where it is empty."""
    first_try: str = ""
    """What the first of two tries complained about."""

    @property
    def same(self) -> bool:
        return not any(self.complaints.values())

    def __str__(self) -> str:
        told = [f"{side}: {line}" for side, lines in self.complaints.items() for line in lines]
        messages = [f"  {side}: {text}" for side, shown in self.shown.items() for text in shown.messages]
        return "\n".join([*told, *(["exceptions of calls:", *messages] if told and messages else [])])


def judge(scenario: Scenario, shown: dict[str, Shown]) -> Verdict:
    """Compare: Envoy with the scenario's expectation; the library with its own, and with Envoy where that is asked."""
    verdict = Verdict(scenario, shown)
    envoys = shown.get("envoy", Shown())
    for side, one in shown.items():
        expected = {look.name: look.expected for look in scenario.expect}
        if side != "envoy":
            expected = scenario.expected_of_us()
        verdict.complaints[side] = found = [one.error] if one.error is not None else []
        for name in one.values:
            wanted, value = expected[name], one.values[name]
            if side == "envoy" or name not in envoys.values:
                found += complaints(wanted, value, at=f"{name}: ")
            else:
                found += complaints(wanted, value, envoys.values[name], at=f"{name}: ")
    return verdict


class Laboratory:
    """Owns the nursery, the certificates and the folder of a session; a context manager."""

    def __init__(self, sides: Sequence[str] = SIDES, *, keep: Path | None = None, one_by_one: bool = False) -> None:
        self.sides = tuple(sides)
        self._kept = keep
        self._one_by_one = one_by_one
        self.folder = keep or Path(tempfile.mkdtemp(prefix="parity-"))
        self._certificates = self.folder / "certificates"
        self._envoy = envoy.find() if "envoy" in self.sides else None
        self._numbers = itertools.count(1)
        self._nursery: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._certificates.mkdir(parents=True, exist_ok=True)
        certificates.make(self._certificates)
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.nursery"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self._nursery is not None
        with self._nursery as nursery:
            assert nursery.stdin is not None
            nursery.stdin.close()
            try:
                nursery.wait(10)
            except subprocess.TimeoutExpired:
                nursery.kill()
        if self._kept is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def compare(self, scenario: Scenario) -> Verdict:
        """Carry out one scenario; what is not as expected is tried once more, with nothing beside it."""
        with _beside_others():
            verdict = next(self.compare_all([scenario], 1))
        if verdict.same:
            return verdict
        with _alone():
            again = next(self.compare_all([scenario], 1))
        again.first_try = str(verdict)
        return again

    def compare_all(self, chosen: Iterable[Scenario], jobs: int) -> Iterator[Verdict]:
        """Carry out scenarios, `jobs` at a time, and give each verdict as it comes."""
        waiting = iter(chosen)
        under_way: dict[int, _UnderWay] = {}
        while True:
            for scenario in itertools.islice(waiting, max(0, jobs - len({id(one) for one in under_way.values()}))):
                one = _UnderWay(scenario, self.sides, sequential=self._one_by_one or scenario.same_ports)
                under_way.update(self._start(one))
            if not under_way:
                return
            number = self._next_done()
            one = under_way.pop(number)
            self._collect(one, number)
            if one.waiting:
                under_way.update(self._start(one))
            elif not one.paths:
                one.close()
                yield judge(one.scenario, {side: one.shown[side] for side in self.sides})

    def _start(self, one: _UnderWay) -> dict[int, _UnderWay]:
        started = {}
        for side in one.next_sides():
            number = next(self._numbers)
            folder = self.folder / f"{number}-{one.scenario.name}-{side}"
            folder.mkdir()
            job = Job(one.scenario.name, side, folder, self._certificates, self._envoy, one.ports, one.scenario.ignores)
            one.paths[number] = (side, folder / "job")
            (folder / "job").write_bytes(pickle.dumps(job))
            assert self._nursery is not None and self._nursery.stdin is not None
            self._nursery.stdin.write(f"{number} {one.scenario.limit} {folder / 'job'}\n")
            self._nursery.stdin.flush()
            started[number] = one
        return started

    def _next_done(self) -> int:
        assert self._nursery is not None and self._nursery.stdout is not None
        line = self._nursery.stdout.readline()
        if not line:
            raise RuntimeError("the nursery has ended")
        return int(line)

    def _collect(self, one: _UnderWay, number: int) -> None:
        side, path = one.paths.pop(number)
        result = path.with_suffix(".shown")
        if result.exists():
            one.shown[side] = pickle.loads(result.read_bytes())
        else:
            one.shown[side] = Shown(error=f"no result: crashed, or not done after {one.scenario.limit:.0f} s")
        if self._kept is None:
            shutil.rmtree(path.parent, ignore_errors=True)


class _UnderWay:
    """One scenario at work."""

    def __init__(self, scenario: Scenario, sides: Sequence[str], *, sequential: bool) -> None:
        self.scenario = scenario
        self.waiting = list(sides)
        self.sequential = sequential
        self.paths: dict[int, tuple[str, Path]] = {}
        self.shown: dict[str, Shown] = {}
        self._held = [reserve("127.0.0.1") for _ in range(SHARED_PORTS)] if scenario.same_ports else []
        self.ports = tuple(held.getsockname()[1] for held in self._held)

    def next_sides(self) -> list[str]:
        """Take what is to be started now: all sides, or one after the other."""
        if self.paths:
            return []
        taken = self.waiting[:1] if self.sequential else self.waiting
        self.waiting = self.waiting[len(taken) :]
        return taken

    def close(self) -> None:
        for held in self._held:
            held.close()


# --- on one machine --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    """Hold a lock of this machine's user; given up waiting for after `ALONE_LIMIT`: it only keeps the noise down."""
    path = Path(tempfile.gettempdir()) / f"ambassador-parity-{os.getuid()}-{name}"
    with path.open("a") as lock:
        end = time.monotonic() + ALONE_LIMIT
        while time.monotonic() < end:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)
        yield


@contextlib.contextmanager
def _beside_others() -> Iterator[None]:
    with _locked("gate", fcntl.LOCK_EX):  # whoever wants to be alone keeps the gate
        room = contextlib.ExitStack()
        room.enter_context(_locked("room", fcntl.LOCK_SH))
    with room:
        yield


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with _locked("gate", fcntl.LOCK_EX), _locked("room", fcntl.LOCK_EX):
        yield
