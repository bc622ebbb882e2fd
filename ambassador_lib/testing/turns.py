"""Who may go on in virtual time: threads and event loops take turns, and time passes while all of them wait.

Threads that the kit starts itself hold the baton one at a time, so that the same seed gives the same trace. Any other
thread may wait for virtual time as well, without such an order. Who neither waits nor comes back for a moment is taken
for blocked by something real.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import FrameType

from .agenda import INFINITY, Agenda
from .misuse import MisuseError

GRACE = 0.01
"""Real seconds for which a thread is seen waiting for something real, before time passes without it."""
BUSY_PATIENCE = 2.0
"""Real seconds that a thread gets which does something, but never comes to wait for virtual time."""
PATIENCE = 0.5
"""Real seconds until somebody who waits for nothing is told so, where another thread might still wake him."""
MOST_AT_ONCE = 200_000
"""Turns that an event loop may take at one instant."""
MOST_BESIDE = 50_000
"""Events beside (health checks, say) that may pass while somebody waits without a bound."""

PACKAGE = str(Path(__file__).parent.parent)


class Outcome(Enum):
    """What became of a look around."""

    GO = "it is your turn"
    STAY = "somebody else's turn"
    HOLD = "something real may be going on"
    NOTHING = "nothing will ever happen"


class Actor:
    """A thread, or the event loop that runs in it."""

    def __init__(self, thread: threading.Thread | None, *, holds_baton: bool = False) -> None:
        self.thread = thread
        self.has_begun = thread is not None
        """Whether its thread runs, or has run: one that is just starting is not alive yet."""
        self.holds_baton = holds_baton
        self.waits = False
        self.is_starting = False
        """Whether it is about to start another one."""
        self.since = 0
        self.ready: Callable[[], bool] = _never
        self.until: Callable[[], float] = _at_no_time
        self.is_held: Callable[[], bool] = _never
        """For an event loop: whether something real may be about to wake it."""

    def may_go(self, now: float) -> bool:
        """Whether what it waits for has come."""
        return self.ready() or self.until() <= now

    @property
    def is_gone(self) -> bool:
        """Whether its thread has ended."""
        thread = self.thread
        return thread is not None and self.has_begun and not thread.is_alive()


class Turns:
    """Everybody who waits in one world."""

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.changed = threading.Condition(threading.RLock())
        self.jumps = 0
        """How often time has passed."""
        self.is_over = False
        self._actors: list[Actor] = []
        self._local = threading.local()
        self._waits = 0
        self.strangers: set[int] = set()
        """Threads that were there before: nobody waits for them."""
        self._seen: dict[int, tuple[tuple[int, int], float]] = {}
        """Where each thread was found, and since when."""
        self._held_since: float | None = None
        self._given_up: set[int] = set()

    # --- who --------------------------------------------------------------------------------------------------------

    def me(self) -> Actor:
        """Return who runs in this thread."""
        actor: Actor | None = getattr(self._local, "actor", None)
        if actor is None:
            actor = self._local.actor = Actor(threading.current_thread())
            with self.changed:
                self._actors = [each for each in self._actors if not each.is_gone]
                self._actors.append(actor)
        return actor

    def waiting(self) -> set[int]:
        """Return which threads of the application's wait for virtual time."""
        waiting = (each.thread for each in self._actors if each.waits and not each.holds_baton)
        return {thread.ident or 0 for thread in waiting if thread is not None}

    def start(self, run: Callable[[], None], name: str) -> threading.Thread:
        """Run something in a thread that takes turns with the others, once this one waits."""
        starter = self.me()  # whoever starts others is one of those who take turns
        actor = Actor(None, holds_baton=True)
        actor.ready = _always

        def body() -> None:
            self._local.actor = actor
            actor.has_begun = True
            try:
                self._stay(actor, "")
                run()
            finally:
                with self.changed:
                    self._actors.remove(actor)
                    self.changed.notify_all()

        actor.thread = thread = threading.Thread(target=body, name=name, daemon=True)
        with self.changed:
            self.begin(actor)
            self._actors.append(actor)
            starter.is_starting = True
        try:
            thread.start()  # waits for it to begin
        except BaseException:
            with self.changed:
                self._actors.remove(actor)
            raise
        finally:
            starter.is_starting = False
        return thread

    @property
    def batons(self) -> list[threading.Thread]:
        """The threads that take turns."""
        return [each.thread for each in self._actors if each.holds_baton and each.thread is not None]

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait(self, ready: Callable[[], bool], until: Callable[[], float], what: str) -> bool:
        """Wait in this thread until `ready`, or until virtual time has come to `until`; return whether it is."""
        actor = self.me()
        actor.ready, actor.until = ready, until
        with self.changed:
            self.begin(actor)
        self._stay(actor, what)
        return ready()

    def begin(self, actor: Actor) -> None:
        """It begins to wait; under the lock."""
        self._waits += 1
        actor.since = self._waits
        actor.waits = True
        if actor.thread is not None:
            self._given_up.discard(actor.thread.ident or 0)
        self.changed.notify_all()

    def _stay(self, actor: Actor, what: str) -> None:
        with self.changed:
            until: float | None = None
            happened, beside = self.agenda.happened, self.jumps
            try:
                while True:
                    outcome = self.look(actor)
                    if outcome is Outcome.GO:
                        return
                    if outcome is Outcome.NOTHING:
                        until = until or time.monotonic() + (PATIENCE if self._has_strangers() else 0.0)
                        if time.monotonic() >= until:
                            raise MisuseError(stands_still(f"{what or 'somebody'} (asked for at {caller()})"))
                    if self.agenda.happened != happened:
                        happened, beside = self.agenda.happened, self.jumps
                    if actor.until() == INFINITY and self.jumps - beside > MOST_BESIDE:
                        raise MisuseError(stands_still(f"{what or 'somebody'} (asked for at {caller()})"))
                    self.changed.wait(GRACE)
            finally:
                actor.waits = False

    def look(self, actor: Actor) -> Outcome:
        """Let happen what can, and say whether `actor` may go on; under the lock."""
        while True:
            if self.is_over:
                raise MisuseError("virtual time is over, and somebody still waits for it")
            self.agenda.run_due()
            if self._has_baton_elsewhere(actor):
                return Outcome.STAY
            waiting = sorted((each for each in self._actors if each.waits), key=lambda each: each.since)
            chosen = next((each for each in waiting if each.may_go(self.agenda.now)), None)
            if chosen is not None:
                if chosen is not actor:
                    self.changed.notify_all()
                    return Outcome.STAY
                return Outcome.GO
            when = min(self.agenda.next(), *(each.until() for each in waiting), INFINITY)
            if any(each.is_held() for each in waiting) or self._does_somebody_run():
                return Outcome.HOLD
            if when == INFINITY:
                return Outcome.NOTHING
            self.agenda.move_to(when)
            self.jumps += 1
            self._held_since = None
            if self.jumps % MOST_BESIDE == 0:
                return Outcome.STAY  # whoever waits without a bound has a look at how long it takes

    def _has_baton_elsewhere(self, actor: Actor) -> bool:
        """Whether somebody else does something, where only one may."""
        if len(self._actors) == 1:
            return False
        self._actors = [each for each in self._actors if not each.is_gone]
        batons = any(each.holds_baton for each in self._actors)
        others = [each for each in self._actors if each is not actor and not each.waits]
        if any(each.holds_baton or each.is_starting for each in others):
            return True
        return batons and bool(others) and self._does_somebody_run()

    def _does_somebody_run(self) -> bool:
        """Whether a thread does something and may yet come to wait: time does not pass without it.

        Seen from outside: a thread that stands where threads wait for something real has a moment, any other longer.
        """
        if threading.active_count() == 1:
            return False
        passed_over = {threading.get_ident(), *self.strangers, *self._given_up}
        passed_over.update(each.thread.ident or 0 for each in self._actors if each.waits and each.thread is not None)
        others = [thread.ident for thread in threading.enumerate() if thread.ident not in passed_over]
        if not others:
            return False
        now, frames = time.monotonic(), sys._current_frames()
        self._held_since = self._held_since or now
        running = [ident for ident in others if ident is not None and self._runs(ident, frames.get(ident), now)]
        if running and now - self._held_since > BUSY_PATIENCE:
            self._given_up.update(running)  # until it waits itself
            return False
        return bool(running)

    def _runs(self, ident: int, frame: FrameType | None, now: float) -> bool:
        if frame is None:
            return False
        place = (id(frame), frame.f_lasti)
        known = self._seen.get(ident)
        if known is None or known[0] != place:
            known = self._seen[ident] = (place, now)
        return now - known[1] < (GRACE if _waits_for_something_real(frame) else BUSY_PATIENCE)

    def _has_strangers(self) -> bool:
        return threading.active_count() > len([each for each in self._actors if not each.is_gone])

    def end(self) -> None:
        """Send everybody home who still waits."""
        with self.changed:
            self.is_over = True
            threads = self.batons
            self.changed.notify_all()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(PATIENCE)


def stands_still(who: str) -> str:
    """Say that nobody can go on."""
    return (
        f"virtual time stands still: {who} waits without a bound, and nothing is planned that could end the wait: no "
        "timer, no answer of a simulated upstream; give the wait a timeout, or the upstream something to do"
    )


class Standstill:
    """Notices that an event loop goes round and round while time cannot pass."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._at = -1.0
        self._count = 0

    def count(self) -> None:
        """One more turn; `MisuseError` for too many of them at one instant."""
        now = self._turns.agenda.now
        if now != self._at:
            self._at, self._count = now, 0
        self._count += 1
        if self._count > MOST_AT_ONCE:
            self._count = 0
            raise MisuseError(
                "virtual time stands still: tasks take turns without an end, and time passes only while all wait (does "
                "somebody wait in a loop, with sleep(0)?)"
            )


def caller() -> str:
    """Return from where in the tests it was asked for, as `file:line`; of what a fixture of ours did, which test."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not any(part in name for part in _BETWEEN):
            return f"{name}:{frame.f_lineno}"
        if "_pytest" in name:
            break
        frame = frame.f_back
    return os.environ.get("PYTEST_CURRENT_TEST", "the start of the program")


_BETWEEN = (PACKAGE, "contextlib.py", "_pytest", "pluggy")
"""Who calls on behalf of others."""


def _waits_for_something_real(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_name in _WAITING.get(code.co_filename.replace("\\", "/").rpartition("/")[2], ())


_WAITING = {
    "threading.py": {"wait", "wait_for", "join", "acquire", "_wait_for_tstate_lock"},
    "queue.py": {"get", "put", "join"},
    "selectors.py": {"select"},
    "thread.py": {"_worker"},  # of concurrent.futures: it has nothing to do
    "socket.py": {"accept", "readinto"},
    "subprocess.py": {"_wait", "_try_wait"},
}
"""Where threads of the standard library stand while they wait, by file and function."""


def _never() -> bool:
    return False


def _always() -> bool:
    return True


def _at_no_time() -> float:
    return INFINITY
