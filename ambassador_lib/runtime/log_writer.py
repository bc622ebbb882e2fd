"""Lines of access logs on their way to files: kept in memory for a moment, written by one thread of the process.

A call only appends to a queue. Whoever logs to one path shares its queue and its file. A queue is bounded, and what
does not fit is lost and counted: a full disk or a stuck pipe costs lines and never a call, nor a line of other files.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import select
import stat
import threading
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from .afresh import after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_INTERVAL = 1.0
"""Seconds between two writes. Envoy's `--file-flush-interval-msec` is 10 s; a shorter one loses less in a crash."""
MOST_PENDING = 50_000
"""Lines that a queue may hold."""
CLOSE_PATIENCE = 1.0
"""Seconds to wait at most for the last lines to be written."""
STUCK = 0.1
"""Seconds for which a pipe may take nothing until the rest is left for later."""

_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_log = logging.getLogger("ambassador_lib.access_log")


class LogFile:
    """One path: lines that wait, and the file they go to. `lost` counts lines that found no room or no file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lost = 0
        self.users = 0
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._file: BinaryIO | None = None
        self._has_room: Callable[[], bool] | None = None
        """For what is no file on a disk: whether `_PIPE_BUF` bytes can be written without waiting."""
        self._complained = False

    def write(self, line: bytes) -> None:
        """Have a line written soon."""
        if len(self._lines) >= MOST_PENDING:
            self.lost += 1
            return
        self._lines.append(line)
        _writer.wanted()

    def drain(self) -> None:
        """Write what waits; only the writer's thread does."""
        lines = []
        while self._lines and not self._rest:
            lines.append(self._lines.popleft())
        if lines or self._rest:
            try:
                self._put(self._rest or b"".join(lines))
            except OSError as error:
                self.lost += len(lines) or self._rest.count(b"\n")
                self._rest = b""
                self._complain(error)

    def _put(self, text: bytes) -> None:
        if self._file is None:
            self._open()
        assert self._file is not None, "just opened"
        view = memoryview(text)
        while view:
            written: int | None = 0
            if self._has_room is None:
                written = self._file.write(view)
            elif self._has_room():
                written = self._file.write(view[:_PIPE_BUF])
            if not written:  # it is full: the reader may come back
                break
            view = view[written:]
        self._rest = bytes(view)

    def _open(self) -> None:
        stream = _STREAMS.get(self.path)
        if stream is None:
            self._file = open(self.path, "ab", buffering=0, opener=_open_at_once)  # noqa: SIM115 - kept, as Envoy does
        else:
            self._file = open(os.dup(stream), "ab", buffering=0)  # noqa: SIM115 - as above
        self._has_room = _room_of(self._file)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("access log %s: lines are lost: %s", self.path, error)

    def close(self) -> None:
        """Let go of the file; only the writer's thread does, while there is one."""
        self.lost += self._rest.count(b"\n")
        self._rest = b""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def forget(self) -> None:
        """In a forked child: what waits is the parent's to write."""
        self._lines.clear()
        self._rest = b""


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the reader of a pipe: one without any is an `OSError`."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def _room_of(file: BinaryIO) -> Callable[[], bool] | None:
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return lambda: bool(poll.poll(STUCK * 1000))


class _Writer:
    """The thread; it begins with the first line and ends when nobody logs any more."""

    def __init__(self) -> None:
        self._files: dict[str, LogFile] = {}
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # whoever holds it may be the one whose garbage gives a queue back
        self._hurry = threading.Event()
        self._drained = threading.Condition()
        self._rounds = 0
        self._running = False

    def start_afresh(self) -> None:
        self._begin()
        for file in self._files.values():
            file.forget()

    def open(self, path: str) -> LogFile:
        with self._lock:
            file = self._files.setdefault(path, LogFile(path))
            file.users += 1
        return file

    def release(self, file: LogFile, *, waits: bool) -> None:
        with self._lock:
            file.users -= 1
            if not file.users and not self._running:  # nothing was ever written
                self._files.pop(file.path, None)
                file.close()
        if waits and not file.users:
            self.flush()

    def wanted(self) -> None:
        if not self._running:
            with self._lock:
                if not self._running:
                    self._running = True
                    try:
                        threading.Thread(target=self._run, name="ambassador-access-log", daemon=True).start()
                    except RuntimeError:  # the system gives no more of them just now
                        self._running = False

    def flush(self, patience: float = CLOSE_PATIENCE) -> None:
        """Wait until all that waits now is written, at most `patience` seconds."""
        if not self._running:
            return
        with self._drained:
            until = self._rounds + 2  # the round under way may have passed our lines
            self._hurry.set()
            self._drained.wait_for(lambda: self._rounds >= until or not self._running, patience)

    def _run(self) -> None:
        while True:
            self._hurry.wait(FLUSH_INTERVAL)
            for _ in range(2 if self._hurry.is_set() else 1):
                self._hurry.clear()
                for file in list(self._files.values()):
                    file.drain()
                self._round()
            with self._lock:
                self._close_unused()
                if not self._files:
                    self._running = False
            if not self._running:
                self._round()
                return

    def _round(self) -> None:
        with self._drained:
            self._rounds += 1
            self._drained.notify_all()

    def _close_unused(self) -> None:
        for path, file in list(self._files.items()):
            if not file.users:
                file.drain()
                file.close()
                del self._files[path]


_writer = _Writer()
after_fork(_writer)
atexit.register(_writer.flush)


def open_log(path: str) -> LogFile:
    """Return the queue of a path; `/dev/stdout` and `/dev/stderr` are the process's own streams."""
    return _writer.open(path)


def close_log(file: LogFile) -> None:
    """Give the queue back; with its last user gone, its lines are written first, within `CLOSE_PATIENCE`."""
    _writer.release(file, waits=True)


def abandon_log(file: LogFile) -> None:
    """Give the queue back, and wait for nothing; for a user that was dropped."""
    _writer.release(file, waits=False)
