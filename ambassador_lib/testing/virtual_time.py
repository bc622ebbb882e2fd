"""Virtual time: a clock that jumps to whatever happens next, for all timers of ours and of the test.

    with VirtualTime(seed=7) as virtual_time:
        virtual_time.sleep(300)          # at once
        asyncio.run(app())               # so do its sleeps, its timeouts, its timers

Time stands still while somebody does something, and passes while all wait. It is a simulation of discrete events: the
same seed gives the same trace.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from .agenda import Agenda, Event
from .guards import guarded
from .misuse import MisuseError
from .turns import Turns, caller

if TYPE_CHECKING:
    from trio.abc import Clock as TrioAbcClock

    from ..runtime.background import Background
    from ..runtime.control import ControlThread
    from .network import VirtualWorld

T = TypeVar("T")


class VirtualTime:
    """The clock and the world of one test; at work between `__enter__` and `__exit__`, one at a time in a process.

    `seed` starts `random`, from which everything draws that is left to chance. `start` is the first reading of
    `monotonic`, `epoch` that of `time`, in seconds. It is a `clock=` for clients; with the kit's surroundings installed
    they have it anyway.
    """

    _active: ClassVar[VirtualTime | None] = None

    def __init__(self, *, seed: int = 0, start: float = 1000.0, epoch: float = 1_700_000_000.0) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.agenda = Agenda(start)
        self.turns = Turns(self.agenda)
        self.owner = threading.get_ident()
        self.begun_at = ""
        """Where in the tests it began, as `file:line`."""
        self._start = start
        self._offset = epoch - start
        self.sleep_is_virtual = False
        """Whether `time.sleep` passes virtual time: see `takes_over_sleep`."""
        self._stack = ExitStack()
        self._control: ControlThread | None = None
        self._network: VirtualWorld | None = None

    # --- its life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if VirtualTime._active is not None:
            raise MisuseError(
                f"virtual time has begun already, at {VirtualTime._active.begun_at}, and there is one at a time in a "
                "process: let it end with each test (a fixture of function scope), or share that one"
            )
        from .virtual_loops import Loops

        VirtualTime._active = self
        self.begun_at = caller()
        self.owner = threading.get_ident()
        self.turns.strangers = {thread.ident or 0 for thread in threading.enumerate()} - {self.owner}
        with ExitStack() as stack:
            stack.callback(self._forget)
            stack.callback(self.turns.end)
            stack.enter_context(guarded(self))
            self.loops = stack.enter_context(Loops(self))
            stack.callback(self._end_control)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _forget(self) -> None:
        VirtualTime._active = None

    def _end_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self.run_due()

    @classmethod
    def current(cls) -> VirtualTime:
        """Return the virtual time at work; `MisuseError` where there is none."""
        if cls._active is None:
            raise MisuseError("no virtual time is at work: take the fixture `virtual_time`, or `with VirtualTime():`")
        return cls._active

    # --- the clock --------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self.agenda.now

    def time(self) -> float:
        """Return virtual seconds since the epoch; they move with `monotonic`."""
        return self.agenda.now + self._offset

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the beginning."""
        return self.agenda.now - self._start

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass in this thread, and all happen that happens meanwhile."""
        if seconds < 0:
            raise ValueError(f"time only moves forward, not by {seconds}")
        until = self.agenda.now + seconds
        self.wait(_never, lambda: until, "a sleep")

    def advance(self, seconds: float) -> None:
        """As `sleep`: let `seconds` pass."""
        self.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the task for `seconds`, under asyncio and trio alike; so do `asyncio.sleep` and `anyio.sleep`."""
        self.loops.check()
        if asyncio_runs():
            await asyncio.sleep(seconds)
        else:
            import trio

            await trio.sleep(max(0.0, seconds))

    # --- the world --------------------------------------------------------------------------------------------------

    def call_at(self, when: float, do: Callable[[], object], *, beside: bool = False) -> Event:
        """Have `do` done at `when`; `beside` says that it goes on for ever by itself. It must not wait."""
        with self.turns.changed:
            return self.agenda.add(when, do, beside=beside)

    def call_later(self, seconds: float, do: Callable[[], object]) -> Event:
        """Have `do` done in so many seconds; it must not wait."""
        return self.call_at(self.agenda.now + seconds, do)

    def run_due(self) -> None:
        """Let happen what is due at this instant."""
        with self.turns.changed:
            self.agenda.run_due()

    def wait(self, ready: Callable[[], bool], until: Callable[[], float], what: str = "") -> bool:
        """Let time pass in this thread until `ready`, at most until `until`; return whether it is ready.

        Raises `MisuseError` where nothing is planned that could end the wait.
        """
        return self.turns.wait(ready, until, what)

    def background(self, limit: int, name: str) -> Background:
        """Return where up to `limit` pieces of blocking work run beside their callers, one at a time."""
        from .virtual_threads import VirtualThreads

        return VirtualThreads(self, limit, name)

    @property
    def control(self) -> ControlThread:
        """What runs discovery and health checks: no thread, but steps in between."""
        if self._control is None:
            from ..runtime.control import ControlThread
            from .stepped_loop import SteppedThread

            self._control = ControlThread(partial(SteppedThread, self))
        return self._control

    @property
    def network(self) -> VirtualWorld:
        """The simulated network: upstreams by their addresses and names."""
        if self._network is None:
            from .network import VirtualWorld

            self._network = VirtualWorld(self)
        return self._network

    # --- for tests --------------------------------------------------------------------------------------------------

    def together(self, *functions: Callable[[], T]) -> list[T]:
        """Call functions in threads of their own, which take turns in a fixed order, and return what they return.

        While one of them waits for virtual time the next one goes on. What the first of them raised is raised, when
        all have ended.
        """
        from .virtual_threads import together

        return together(self, functions)

    def trio_clock(self) -> TrioAbcClock:
        """Return the clock to run trio with: `trio.run(..., clock=...)`, `("trio", {"clock": ...})` for anyio."""
        from .virtual_trio import TrioClock, remembered_trio

        self._stack.callback(remembered_trio())
        return TrioClock(self)

    def takes_over_sleep(self) -> None:
        """Let `time.sleep` pass virtual time, for code that is not yours; otherwise it is a misuse that is told."""
        self.sleep_is_virtual = True

    def __repr__(self) -> str:
        return f"<VirtualTime {self.elapsed:g} s after its start>"


def asyncio_runs() -> bool:
    """Whether this is a task of asyncio, and not of trio."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _never() -> bool:
    return False
