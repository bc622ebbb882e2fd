"""The process a contestant lives in: `python -m benchmarks.load.worker NAME KIND NEEDS WITHOUT COMPILED`, told by JSON.

`COMPILED` is the folder with the compiled library, "" for whichever Python finds. Commands are lines on standard input
and each is answered by one line on standard output. The first line is sent unasked: how long it took to import what is
needed, before anything else of weight was there. It ends with its input.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module

from .. import compiled
from .absence import remove

if __name__ == "__main__":
    remove({name for name in sys.argv[4].split(",") if name})
    compiled.use(sys.argv[5])
_BEGAN = time.perf_counter()
_ABSENT = ""
try:
    for _name in sys.argv[3].split(",") if __name__ == "__main__" else ():
        import_module(_name)
    if __name__ == "__main__":
        compiled.check(sys.argv[5])
except ImportError as error:
    _ABSENT = f"{error.name or error} is not installed"
IMPORT_TIME = time.perf_counter() - _BEGAN

import asyncio  # noqa: E402 - only now: its import is part of what contestants need
import gc  # noqa: E402
import json  # noqa: E402
import signal  # noqa: E402
from contextlib import suppress  # noqa: E402
from typing import TYPE_CHECKING, Any, TextIO  # noqa: E402

from ..contestants.base import Place  # noqa: E402
from ..contestants.registry import find  # noqa: E402
from ..world.proc import pin, resident  # noqa: E402
from . import loops  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contestants.base import Contestant, Session
    from ..figures.results import Kind
    from .turn import Turn

WARM_UP = 5
"""Calls before a turn counts: others had the caches since the last."""


class Worker:
    """Does what it is told; `runner` is the event loop of an async contestant, asleep between turns."""

    def __init__(self, contestant: Contestant, runner: asyncio.Runner | None) -> None:
        self._contestant = contestant
        self._runner = runner
        self._session: Session | None = None

    def open(self, place: dict[str, Any], core: int | None) -> dict[str, Any]:
        """Open the session and make a first call."""
        pin(core)
        began = time.perf_counter()

        async def begin() -> None:
            self._session = self._contestant.open(Place(**place))
            await self._session.call()

        if self._runner is not None:
            self._runner.run(begin())
        else:
            self._session = self._contestant.open(Place(**place))
            self._session.call()
        return {"start_time": time.perf_counter() - began, "memory": resident(os.getpid()) or 0}

    def turn(self, *, core: int | None, callers: int, seconds: float, rate: float | None) -> dict[str, Any]:
        """Let it run once."""
        pin(core)
        gc.collect()
        assert self._session is not None
        run: Callable[[], Turn]
        if self._runner is not None:
            runner, call = self._runner, self._session.call
            run = lambda: runner.run(_turn_async(call, callers, seconds, rate))  # noqa: E731
        else:
            call = self._session.call
            run = lambda: _turn(call, callers, seconds, rate)  # noqa: E731
        return {**run().packed(), "memory": resident(os.getpid()) or 0}

    def collections(self, *, core: int | None, calls: int) -> dict[str, Any]:
        """Let one caller make so many calls; return how often the collector of cyclic garbage ran meanwhile."""
        pin(core)
        assert self._session is not None
        call = self._session.call
        if self._runner is not None:
            return {"collections": self._runner.run(_collections_async(call, calls))}
        gc.collect()
        before = _collections()
        for _ in range(calls):
            call()
        return {"collections": _collections() - before}

    def close(self) -> dict[str, Any]:
        session, self._session = self._session, None
        if session is None:
            return {}
        if self._runner is None:
            session.close()
            return {}

        async def end() -> None:
            closing = session.close()
            if closing is not None:
                await closing

        self._runner.run(end())
        return {}


def _turn(call: Callable[[], Any], callers: int, seconds: float, rate: float | None) -> Turn:
    for _ in range(WARM_UP):
        with suppress(Exception):  # it will fail again, where it is counted
            call()
    cpu, began = time.process_time(), time.perf_counter()
    turn = loops.closed(call, callers, seconds) if rate is None else loops.opened(call, callers, seconds, rate)
    turn.seconds, turn.cpu = _elapsed(began, seconds, rate), time.process_time() - cpu
    return turn


async def _turn_async(call: Callable[[], Any], callers: int, seconds: float, rate: float | None) -> Turn:
    for _ in range(WARM_UP):
        with suppress(Exception):  # it will fail again, where it is counted
            await call()
    cpu, began = time.process_time(), time.perf_counter()
    if rate is None:
        turn = await loops.closed_async(call, callers, seconds)
    else:
        turn = await loops.opened_async(call, callers, seconds, rate)
    turn.seconds, turn.cpu = _elapsed(began, seconds, rate), time.process_time() - cpu
    return turn


async def _collections_async(call: Callable[[], Any], calls: int) -> int:
    gc.collect()
    before = _collections()
    for _ in range(calls):
        await call()
    return _collections() - before


def _collections() -> int:
    """Return how often the youngest generation was looked through so far."""
    return int(gc.get_stats()[0]["collections"])


def _elapsed(began: float, seconds: float, rate: float | None) -> float:
    """Return how long a turn was; an open loop is no shorter than its schedule, though its last call is answered."""
    elapsed = time.perf_counter() - began
    return elapsed if rate is None else max(elapsed, seconds)


def serve(worker: Worker, commands: TextIO, answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer every command, with `error` where it failed; end after `close` or with the input."""
    for line in commands:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer(getattr(worker, name)(**command))
        except Exception as error:  # noqa: BLE001 - the parent tells of it
            answer({"error": f"{type(error).__name__}: {error}"})
        if name == "close":
            return


def main() -> None:
    # Ctrl-C is the parent's business, which ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints goes to the log and not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(told: dict[str, Any]) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    answer({"import_time": IMPORT_TIME, "absent": _ABSENT or None})
    if _ABSENT:
        return
    kind: Kind = "sync" if sys.argv[2] == "sync" else "async"
    contestant = find(sys.argv[1], kind)
    if kind == "sync":
        serve(Worker(contestant, None), sys.stdin, answer)
        return
    factory = import_module(contestant.loop).new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        serve(Worker(contestant, runner), sys.stdin, answer)


if __name__ == "__main__":
    main()
