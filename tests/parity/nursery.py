"""`python -m tests.parity.nursery`: forks a child for each side of each scenario.

A child is isolated (its own process group, threads and ports), cheap (all imports are done), and bounded in time.
Jobs come as lines on stdin, `number time-limit path`, where the file at `path` holds the pickled `Job`; for each that
has ended a line with its number goes to stdout, and `<path>.shown` holds what it showed. The end of stdin ends all.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import pkgutil
import selectors
import signal
import sys
import time
import traceback
from pathlib import Path

from . import suite
from .sides import Job, Shown, show

PR_SET_PDEATHSIG = 1


def main() -> None:
    _warm()
    nursery = _Nursery()
    try:
        nursery.run()
    finally:
        nursery.end_all()


LATE = (
    "anyio._backends._asyncio",
    "encodings.idna",
    "envoy",
    "h2.connection",
    "httpcore",
    "opentelemetry.trace",
    "tenacity",
    "xxhash",
)
"""What is only imported when a call needs it."""


def _warm() -> None:
    """Do once what every child would do again: most of a child's time would go into imports."""
    import ambassador_lib
    from ambassador_lib.policy import Policy

    for module in pkgutil.walk_packages(ambassador_lib.__path__, "ambassador_lib."):
        if not module.name.startswith("ambassador_lib.testing"):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    suite.everything()
    Policy.parse({"static_resources": {}})
    gc.freeze()  # what is shared with the children stays shared


class _Nursery:
    def __init__(self) -> None:
        self._children: dict[int, tuple[str, float]] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        wake, signalled = os.pipe()
        for end in (wake, signalled):
            os.set_blocking(end, False)
        self._selector.register(wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(signalled)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._wake = wake
        self._read = b""

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._until_deadline()):
                if key.fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                elif not self._take_jobs():
                    return
            self._reap()

    def end_all(self) -> None:
        for child in list(self._children):
            _end_group(child)

    def _until_deadline(self) -> float | None:
        deadlines = [deadline for _, deadline in self._children.values()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _take_jobs(self) -> bool:
        data = os.read(0, 65536)
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            number, limit, path = line.decode().split(" ", 2)
            self._children[self._bear(Path(path))] = (number, time.monotonic() + float(limit))
        return bool(data)

    def _bear(self, path: Path) -> int:
        child = os.fork()
        if child:
            with contextlib.suppress(OSError):
                os.setpgid(child, child)
            return child
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            _die_with_parent()
            _live(path)
        finally:
            os._exit(0)  # threads that a library left behind must not hold us

    def _reap(self) -> None:
        while self._children:
            child, _ = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            self._over(child)
        for child, (_, deadline) in list(self._children.items()):
            if deadline < time.monotonic():
                _end_group(child)
                os.waitpid(child, 0)
                self._over(child)

    def _over(self, child: int) -> None:
        _end_group(child)  # an Envoy whose parent crashed
        number, _ = self._children.pop(child)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def _live(path: Path) -> None:
    """Do the job whose file is at `path`."""
    job: Job = pickle.loads(path.read_bytes())
    log = os.open(path.with_suffix(".log"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        shown = show(suite.find(job.scenario), job)
    except BaseException as error:  # noqa: BLE001 - whatever happened is the result
        traceback.print_exc()
        shown = Shown(error=traceback.format_exception_only(error)[-1].strip())
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(shown))
    part.rename(path.with_suffix(".shown"))


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _die_with_parent() -> None:
    with contextlib.suppress(AttributeError, OSError):  # Linux only; elsewhere the end of stdin has to do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
