"""A program that runs beside the client, in a process of its own, from its making until `stop`."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from .errors import WorldError
from .proc import pin, resident

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

START_LIMIT = 30.0
"""Seconds within which a program must be ready."""
STOP_LIMIT = 3.0
TURN = 0.01
DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_running: set[Child] = set()


class Child:
    """`log`: where what it prints goes, except for its standard output where that `answers`.

    It has a session of its own: Ctrl-C reaches us alone, and we end it.
    """

    name = "child"

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        core: int | None,
        answers: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._began = time.monotonic()
        self.start_time = 0.0
        """Seconds until it was ready."""
        with undisturbed():
            try:
                with log.open("wb") as output:
                    self._process = subprocess.Popen(
                        [str(one) for one in command],
                        # A pipe that breaks when we are gone, however that came about: ours watch it.
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE if answers else output,
                        stderr=output,
                        env=environment,
                        start_new_session=True,
                    )
            except OSError as error:
                raise WorldError(f"{self.name} cannot be started: {error}") from error
            _running.add(self)
        pin(core, self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def memory(self) -> int:
        """Return the bytes it holds, 0 where the system does not tell."""
        return resident(self.pid) or 0

    def wait_for(self, port: int) -> None:
        """Wait until it accepts connections; `WorldError` where it ends before, or takes too long."""
        while not accepts(port):
            self.check()
            self.pause()
        self.start_time = time.monotonic() - self._began

    def pause(self) -> None:
        """Let a little time pass, but not for ever."""
        if time.monotonic() - self._began > START_LIMIT:
            raise WorldError(f"{self.name} is not ready after {START_LIMIT:g} s: {self.tail()}")
        time.sleep(TURN)

    def check(self) -> None:
        """Raise where it has ended by itself."""
        if (code := self._process.poll()) is not None:
            raise WorldError(f"{self.name} ended with {code}: {self.tail()}")

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-1500:].strip()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _running.discard(self)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_all() -> None:
    """End what is left, should a signal have come where nobody held it yet."""
    for child in list(_running):
        child.stop()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and its like wait: a process that was just begun would be known to nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {one: signal.signal(one, lambda number, _: pending.append(number)) for one in DEFERRED}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in pending:
            signal.raise_signal(number)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
