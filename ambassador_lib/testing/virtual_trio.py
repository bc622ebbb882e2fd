"""Trio in virtual time: a clock that moves the world on where trio would wait."""

from __future__ import annotations

import sys
import threading
import time as system
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from .misuse import MisuseError
from .turns import GRACE, Outcome, Standstill, stands_still

if TYPE_CHECKING:
    from .virtual_time import VirtualTime

if TYPE_CHECKING or "trio" in sys.modules:
    from trio.abc import Clock
else:
    try:
        from trio.abc import Clock
    except ImportError:
        Clock = object

PATIENCE = 0.5


class TrioClock(Clock):
    """What trio asks for the time, and how long to wait."""

    def __init__(self, world: VirtualTime) -> None:
        self._world = world
        self._standstill = Standstill(world.turns)
        self._patience: float | None = None

    def start_clock(self) -> None:
        """The world's time runs already; trio throws its dice, which are for the order of tasks, by the seed."""
        from trio._core import _run

        _run._r.seed(self._world.seed)
        _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # as pytest-trio does

    def current_time(self) -> float:
        """Return virtual seconds."""
        self._standstill.count()
        return self._world.monotonic()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Trio has nothing to do until `deadline`: let time pass; return the real seconds to wait for sockets."""
        from trio.lowlevel import current_root_task

        runner = current_root_task()._runner  # type: ignore[union-attr]
        turns = self._world.turns
        actor = turns.me()
        actor.ready = lambda: bool(runner.runq) or runner.entry_queue.size() > 0
        actor.until = lambda: deadline
        with turns.changed:
            turns.begin(actor)
            try:
                outcome = turns.look(actor)
            finally:
                actor.waits = False
        if outcome is Outcome.GO:
            self._patience = None
            return 0.0
        if outcome is Outcome.NOTHING:
            self._complain(runner)
        return 0.0 if runner.runq else GRACE

    def _complain(self, runner: Any) -> None:
        now = system.monotonic()
        self._patience = self._patience or now + PATIENCE
        if now < self._patience or threading.get_ident() != self._world.owner:
            return
        message = stands_still("trio")

        def stop() -> NoReturn:
            raise MisuseError(message)

        self._patience = None
        task = runner.main_task
        if task is not None and task._abort_func is not None:
            task._attempt_abort(stop)


def remembered_trio() -> Callable[[], None]:
    """Return what lets trio's dice fall as they did before."""
    from trio._core import _run

    before = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()

    def again() -> None:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]
        _run._r.setstate(before[1])

    return again


def check_trio(world: VirtualTime) -> None:
    """Raise `MisuseError` where trio runs by another clock."""
    trio = sys.modules.get("trio")
    if trio is None:
        return
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, TrioClock) or clock._world is not world:
        raise MisuseError(
            "trio does not follow virtual time: run it with clock=virtual_time.trio_clock(), with anyio as the backend "
            '("trio", {"clock": virtual_time.trio_clock()})'
        )
