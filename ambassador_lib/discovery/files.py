"""Following files: an update is a file that is moved to the path (semantics 8.3).

`FollowedFile` knows one path and tells, whenever it is asked to look, whether there is something new. `FileWatcher`
looks every now and then, as one watch on the control thread, which runs only while a file is followed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..runtime.base import Clock, Random
from ..runtime.shared import control_thread

if TYPE_CHECKING:
    from ..runtime.control import ControlThread, Watch

log = logging.getLogger("ambassador_lib.discovery")

POLL_INTERVAL = 0.2
"""Seconds between two looks at the files of a client: a look is one `stat` a file."""

_PIN = getattr(os, "O_PATH", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

_Mark = tuple[int, ...] | None


class FollowedFile:
    """One path, and what was last read from it.

    A file counts as new when it has been moved to the path; what is written into it where it lies does not count, and
    when it is deleted the last one stays. With `directory` (`watched_directory.path`) whatever comes into or goes from
    that directory counts instead, which is how Kubernetes swaps the links of a volume; with `watch_modify` writing
    into the file counts as well. A file that seems to have been created at the path is read once it rests. Unless it
    `repeats`, a file with the content of the one before is not told of.
    """

    def __init__(
        self, path: str, *, directory: str | None = None, watch_modify: bool = False, repeats: bool = False
    ) -> None:
        self.path = path
        self._directory = directory
        self._watch_modify = watch_modify
        self._repeats = repeats
        self._pin = -1
        self._seen: _Mark = None
        self._resting: _Mark = None
        self._content: bytes | None = None

    def read(self) -> bytes:
        """Read the file for the first time; raise `OSError` where that cannot be done."""
        seen = self._hold()
        try:
            self._content = _content_of(self.path)
        finally:  # also where it cannot be read: a directory that is watched has to change all the same
            self._seen = seen
        return self._content

    def look(self, use: Callable[[bytes], None]) -> None:
        """Call `use` with the content if there is a new one; raise nothing for a file that is not there."""
        if self._mark() == self._seen:
            return
        state = _state_of(self.path)
        if state is None:  # deleted: what was read stays
            if self._directory is None:
                self._seen = None
            return
        if state[-1] == state[-2] and state != self._resting:
            self._resting = state  # changed last by a write, perhaps not the last one
            return
        seen = self._hold()  # before it is read: what comes in between is seen by the next look
        try:
            content = _content_of(self.path)
        except OSError as error:
            log.warning("%s cannot be read: %s", self.path, error.strerror)
        else:
            if self._repeats or content != self._content:
                use(content)
            self._content = content
        # Noted afterwards: where a fork came in between, the child does it all again.
        self._seen = seen

    def close(self) -> None:
        """Let go of the file."""
        pin, self._pin = self._pin, -1
        if pin >= 0:
            with contextlib.suppress(OSError):
                os.close(pin)

    def __del__(self) -> None:
        self.close()

    def _hold(self) -> _Mark:
        """Keep the number of what stands at the path from being given to its successor; return its mark."""
        if self._directory is not None or not hasattr(os, "O_PATH"):
            return self._mark()
        self.close()
        try:
            self._pin = os.open(self.path, _PIN)
            return self._mark_of(os.fstat(self._pin))
        except OSError:
            return None

    def _mark(self) -> _Mark:
        """Return what changes when an update has come, `None` while nothing is there."""
        try:
            if self._directory is None:
                return self._mark_of(os.lstat(self.path))
            at = os.stat(self._directory)
            return (at.st_mtime_ns, *self._mark_of(at))
        except OSError:
            return None

    def _mark_of(self, at: os.stat_result) -> tuple[int, ...]:
        if not self._watch_modify:
            return (at.st_dev, at.st_ino)
        written = os.stat(self.path)
        return (at.st_dev, at.st_ino, written.st_ino, written.st_size, written.st_mtime_ns)


def _content_of(path: str) -> bytes:
    """Read a file; a pipe or a device at its place, which might never end, is an `OSError` at once."""
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe that nobody writes to opens, too


def _state_of(path: str) -> _Mark:
    """Return what changes as a file is written; its last two are the times of the last write and the last change."""
    try:
        at = os.stat(path)
    except OSError:
        return None
    return (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class _Following:
    file: FollowedFile
    use: Callable[[bytes], None]


class FileWatcher:
    """Looks at all the files that one client follows; what it calls runs on the control thread."""

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        control: ControlThread | None = None,
        interval: float = POLL_INTERVAL,
    ) -> None:
        self._clock = clock
        self._random = random
        self._control = control
        self._interval = interval
        self._followed: tuple[_Following, ...] = ()
        self._watch: Watch | None = None
        self._stopped = False

    def follow(self, file: FollowedFile, use: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `use` with each new content from now on; return what ends it.

        To be called before the first call is made, or on the control thread; so is what it returns.
        """
        following = _Following(file, use)
        self._followed = (*self._followed, following)
        if self._watch is None and not self._stopped:
            self._start()

        def end() -> None:
            self._followed = tuple(each for each in self._followed if each is not following)
            file.close()
            if not self._followed:
                self._end(0)

        return end

    def stop(self, timeout: float = 1.0) -> bool:
        """End it all and wait up to `timeout` (real) seconds for what is being done; True when it has ended."""
        self._stopped = True
        ended = self._end(timeout)
        for each in self._followed:
            each.file.close()
        self._followed = ()
        return ended

    def _start(self) -> None:
        control = control_thread(self._control)
        # A client that is dropped without being closed takes the watch along: that knows the watcher weakly.
        run = _weakly(weakref.ref(self), self._clock, self._interval)
        self._watch = control.watch(run, name="files", clock=self._clock, random=self._random)
        weakref.finalize(self, self._watch.abandon).atexit = False

    def _end(self, timeout: float) -> bool:
        watch, self._watch = self._watch, None
        return watch is None or watch.cancel(timeout)

    def look(self) -> None:
        """Look once at every file."""
        for each in self._followed:
            if each not in self._followed:  # ended by what an earlier file said
                continue
            try:
                each.file.look(each.use)
            except Exception:  # whoever uses one file must not keep the others from being seen
                log.exception("the update of %s could not be used", each.file.path)


def _weakly(
    reference: weakref.ref[FileWatcher], clock: Clock, interval: float
) -> Callable[[], Coroutine[Any, Any, None]]:
    async def run() -> None:
        while True:
            await clock.sleep_async(interval)
            watcher = reference()
            if watcher is None:
                return
            watcher.look()
            del watcher

    return run
