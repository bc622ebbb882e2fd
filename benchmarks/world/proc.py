"""What Linux says of a process: the processor time it took and the memory it holds; nothing elsewhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CAN_PIN = hasattr(os, "sched_setaffinity")


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time of all threads of a process and of its children, or `None` where it is not told."""
    found = [_own_cpu_seconds(one) for one in (pid, *children(pid))]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if known else None


def resident(pid: int) -> int | None:
    """Return the bytes of memory that a process and its children hold, or `None` where it is not told."""
    found = [_own_resident(one) for one in (pid, *children(pid))]
    known = [size for size in found if size is not None]
    return sum(known) if known else None


def anonymous(pid: int) -> int | None:
    """Return the bytes of a process's memory that are of no file, or `None` where it is not told.

    Pages of files, compiled code among them, are there once for all processes that have loaded them.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(one) for thread in threads for one in (thread / "children").read_text().split()]
    except OSError:
        return []


def pin(core: int | None, pid: int | None = None) -> None:
    """Keep every thread of a process, by default of this one, to one core; to all for `None`."""
    if not CAN_PIN:
        return
    cores = set(range(os.cpu_count() or 1)) if core is None else {core}
    try:
        threads = [int(one) for one in os.listdir(f"/proc/{pid or os.getpid()}/task")]
    except OSError:
        threads = [pid or 0]
    for thread in threads:
        # A thread may be gone, and a container may own fewer cores than the machine has.
        with suppress(OSError):
            os.sched_setaffinity(thread, cores)


def _own_cpu_seconds(pid: int) -> float | None:
    total = None
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    for thread in threads:
        with suppress(OSError, ValueError, IndexError):
            told = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
            total = (total or 0.0) + int(told[0]) / 1e9
    return total


def _own_resident(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
