"""Threads under virtual time: work beside blocking calls (hedges, mirrored copies), and the test's own concurrency.

They take turns, in the order in which they began to wait: the twin of `runtime.background` that is the same each time.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..runtime.background import PATIENCE, Job, Work
from ..runtime.stepping import run_sync
from .agenda import INFINITY

if TYPE_CHECKING:
    from .virtual_time import VirtualTime

T = TypeVar("T")

_log = logging.getLogger("ambassador_lib.background")


class VirtualThreads:
    """At most `limit` threads at once, each for one piece of work."""

    def __init__(self, time: VirtualTime, limit: int, name: str) -> None:
        self._time = time
        self._limit = limit
        self._name = name
        self._jobs: list[_VirtualJob] = []

    def start(self, work: Work, on_cancel: Callable[[], None]) -> Job | None:
        """Run `work` in a thread of its own; `None` where too many run already."""
        self._jobs = [job for job in self._jobs if not job.is_done]
        if len(self._jobs) >= self._limit:
            return None
        job = _VirtualJob(self._time, work, on_cancel)
        self._jobs.append(job)
        self._time.turns.start(job.run, self._name)
        return job

    def cancel(self) -> None:
        """Break off whatever runs."""
        for job in list(self._jobs):
            job.cancel()

    async def ended(self) -> None:
        """Wait until nothing runs any more, for a moment."""
        for job in list(self._jobs):
            if not await job.ended():
                return


class _VirtualJob:
    def __init__(self, time: VirtualTime, work: Work, on_cancel: Callable[[], None]) -> None:
        self.is_done = False
        self._time = time
        self._work = work
        self._on_cancel = on_cancel
        self._context = contextvars.copy_context()

    def run(self) -> None:
        try:
            self._context.run(run_sync, self._work())
        except BaseException:  # noqa: BLE001 - told to whom it concerns
            _log.debug("work beside a call has failed", exc_info=True)
        finally:
            self.is_done = True

    def cancel(self) -> None:
        if not self.is_done:
            self._on_cancel()

    async def ended(self) -> bool:
        until = self._time.monotonic() + PATIENCE
        return self._time.wait(lambda: self.is_done, lambda: until, "the end of work beside a call")


def together(time: VirtualTime, functions: Sequence[Callable[[], T]]) -> list[T]:
    """Do what `VirtualTime.together` says."""
    results: dict[int, T] = {}
    errors: list[tuple[int, BaseException]] = []

    def runner(number: int, function: Callable[[], T]) -> Callable[[], None]:
        context = contextvars.copy_context()

        def run() -> None:
            try:
                results[number] = context.run(function)
            except BaseException as error:  # noqa: BLE001 - raised by the caller
                errors.append((number, error))

        return run

    for number, function in enumerate(functions):
        time.turns.start(runner(number, function), f"together-{number}")
    time.wait(lambda: len(results) + len(errors) == len(functions), lambda: INFINITY, "the end of what runs together")
    for _, error in sorted(errors, key=lambda pair: pair[0]):
        raise error
    return [results[number] for number in range(len(functions))]
