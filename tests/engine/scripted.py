"""A network in memory that does what it is told, for tasks of a loop in virtual time and for threads that take turns.

Nothing happens by itself: who tests says when a connection is there, which bytes come, and how time passes. Between two
such sentences `settle` lets everybody go on as far as they can.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ambassador_lib.call import INFINITY, Deadline
from ambassador_lib.engine.base import Exchange
from ambassador_lib.engine.blocking import BlockingNetwork, step
from ambassador_lib.engine.loop import LoopNetwork
from ambassador_lib.engine.wire import CLEANING_UP, PATIENCE, PeerReset
from ambassador_lib.errors import DeadlineExpired, connect_failure, connect_timeout

TURNS = 60
"""Turns of the loop within which everything has happened that can."""
ENDLESS = 10_000
"""Turns that threads cannot need between two sentences."""
STUCK = 10.0
"""Real seconds after which a thread waits for something that is not the network's."""


class Wire:
    """One connection, and what its peer does. `requests` are the targets of those that came whole, in their order."""

    alpn = None
    keeps_deadlines = True

    def __init__(self, world: World, exchange: Exchange) -> None:
        self.port = exchange.destination.port
        self.number = len(world.wires)
        self.requests: list[str] = []
        self.inbox: deque[bytes] = deque()
        self.has_ended = False
        self.is_reset = False
        self.is_open = True
        """Whether the client's side has neither closed nor, in a forked child, forgotten it."""
        self.is_aborted = False
        """Whether it is shut down: no byte comes through any more, but somebody has still to close it."""
        self.is_forgotten = False
        self._world = world
        self._sent = b""
        world.wires.append(self)

    # --- the peer's side

    def give(self, data: bytes) -> None:
        """Have something arrive."""
        if self.is_open:
            self.inbox.append(data)
        self._world.news()

    def end(self, *, by_reset: bool = False) -> None:
        """Have the peer close its side."""
        self.has_ended = True
        self.is_reset = by_reset
        self._world.news()

    # --- the client's side

    async def read(self, deadline: Deadline) -> bytes:
        await self._world.until(self.has_input, deadline)
        if self.is_reset or self.is_aborted or not self.is_open:
            raise PeerReset("reset")
        if self.inbox:
            return self.inbox.popleft()
        return b""

    async def write(self, data: bytes, deadline: Deadline) -> None:
        if self.has_ended or self.is_aborted or not self.is_open:
            raise PeerReset("broken pipe")
        self._sent += bytes(data)
        while b"\r\n\r\n" in self._sent:
            head, _, self._sent = self._sent.partition(b"\r\n\r\n")
            self.requests.append(head.split(b" ")[1].decode())

    def put(self, data: bytes, deadline: Deadline) -> Coroutine[Any, Any, None]:
        return self.write(data, deadline)

    def get(self, deadline: Deadline) -> bytes | None:
        return None

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        await sending
        return True

    async def close(self) -> None:
        self.is_open = False
        self._world.news()

    def abort(self) -> None:
        self.is_aborted = True
        self._world.news()

    def forget(self) -> None:
        self.is_forgotten = True
        self.is_open = False

    def has_input(self) -> bool:
        return bool(self.inbox) or self.has_ended or self.is_aborted or not self.is_open

    def has_hung_up(self) -> bool:
        return self.has_ended

    def get_extra_info(self, info: str) -> Any:
        return None

    def __repr__(self) -> str:
        return f"<Wire {self.number} to {self.port}, {'open' if self.is_open else 'closed'}>"


class Dial:
    """A connection under way: `answer` says what becomes of it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.is_accepted: bool | None = None
        self.is_over = False
        self.is_aborted = False
        """Whether the exchange was broken off meanwhile."""

    def has_news(self) -> bool:
        return self.is_accepted is not None or self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class World:
    """What both kinds of callers share: connections, dials, and the time."""

    is_blocking: bool

    def __init__(self) -> None:
        self.now = 1000.0
        self.wires: list[Wire] = []
        self.dials: list[Dial] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    async def sleep_async(self, seconds: float) -> None:
        raise NotImplementedError("engines do not sleep")

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError("engines do not sleep")

    async def connected(self, exchange: Exchange) -> Wire:
        """Wait until the dial is answered; whoever gives up leaves nothing behind."""
        dial = Dial(exchange)
        self.dials.append(dial)
        if self.is_blocking:
            exchange.abortable(dial.abort)
        timeout_at = self.now + exchange.destination.connect_timeout
        try:
            await self.until(dial.has_news, Deadline(min(timeout_at, exchange.deadline.at)))
        except DeadlineExpired:
            raise (connect_timeout() if self.now >= timeout_at else DeadlineExpired()) from None
        finally:
            dial.is_over = True
            self.dials.remove(dial)
        if dial.is_aborted or not dial.is_accepted:
            raise connect_failure("aborted" if dial.is_aborted else "refused")
        return Wire(self, exchange)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    # What differs.

    def news(self) -> None:
        """Something has changed."""

    async def until(self, ready: Callable[[], bool], deadline: Deadline) -> None:
        """Wait until `ready`; `DeadlineExpired`."""
        raise NotImplementedError

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Any:
        """Run `work` beside all else; what is returned has `done()` and `cancel()`."""
        raise NotImplementedError

    def settle(self, turns: int | None = None) -> None:
        """Let everybody go on as far as they can, or for some turns."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something short to its end."""
        raise NotImplementedError

    def end(self) -> None:
        """Nothing may be left: no task, no timer, no thread."""
        raise NotImplementedError


# --- an event loop ---------------------------------------------------------------------------------------------------


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time is the world's."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__()

    def time(self) -> float:
        return self._world.now


class LoopWorld(World):
    """Callers are tasks."""

    is_blocking = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop(self)
        self._waiting: set[asyncio.Future[None]] = set()

    def news(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, ready: Callable[[], bool], deadline: Deadline) -> None:
        left = min(deadline.at - self.now, PATIENCE)
        if ready():
            return
        waiter = self.loop.create_future()
        timer = self.loop.call_later(left, self.news)
        end = self.now + left
        try:
            while not ready():
                if self.now >= end:
                    raise DeadlineExpired
                waiter = self.loop.create_future()
                self._waiting.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiting.discard(waiter)
        finally:
            timer.cancel()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        return self.loop.create_task(work())

    def settle(self, turns: int | None = None) -> None:
        async def spin() -> None:
            for _ in range(TURNS if turns is None else turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(spin())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(work, 2 * PATIENCE))

    def end(self) -> None:
        self.settle()
        assert not asyncio.all_tasks(self.loop)
        left = [timer for timer in self.loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        assert not left, left
        assert not self._waiting
        self.loop.close()


class ScriptedLoopNetwork(LoopNetwork):
    def __init__(self, world: World) -> None:
        super().__init__(world.monotonic)
        self.world = world

    async def dial(self, exchange: Exchange) -> Any:
        return await self.world.connected(exchange)


# --- threads ---------------------------------------------------------------------------------------------------------


class Worker:
    """A thread that runs while it has the word, and gives it back where it waits."""

    def __init__(self, world: ThreadWorld, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.ready: Callable[[], bool] = lambda: True
        self.deadline = Deadline()
        self.patient_until = INFINITY
        self.state = "waiting"
        self._world = world
        self._work = work
        self.thread = threading.Thread(target=self._run, daemon=True)

    def done(self) -> bool:
        return self.state == "done"

    def may_go_on(self) -> bool:
        return self.state == "waiting" and (
            self.ready() or min(self.deadline.at, self.patient_until) <= self._world.now
        )

    def _run(self) -> None:
        self._world.wait_for_word(self)
        try:
            step(self._work())
        finally:
            self._world.hand_back(self, "done")


class ThreadWorld(World):
    """Callers are threads, of which one runs at a time."""

    is_blocking = True

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Condition()
        self._workers: list[Worker] = []
        self._current = threading.local()

    async def until(self, ready: Callable[[], bool], deadline: Deadline) -> None:
        worker = getattr(self._current, "worker", None)
        if worker is None:
            assert ready(), "who tests must not wait"
            return
        worker.ready, worker.deadline = ready, deadline
        worker.patient_until = self.now + PATIENCE
        self.hand_back(worker, "waiting")
        self.wait_for_word(worker)
        if not ready():
            raise DeadlineExpired

    def hand_back(self, worker: Worker, state: str) -> None:
        with self._lock:
            worker.state = state
            self._lock.notify_all()

    def wait_for_word(self, worker: Worker) -> None:
        self._current.worker = worker
        with self._lock:
            assert self._lock.wait_for(lambda: worker.state == "running", 10 * STUCK)

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Worker:
        worker = Worker(self, work)
        self._workers.append(worker)
        worker.thread.start()
        return worker

    def settle(self, turns: int | None = None) -> None:
        for _ in range(ENDLESS if turns is None else turns):
            worker = next((one for one in self._workers if one.may_go_on()), None)
            if worker is None:
                break
            with self._lock:
                worker.state = "running"
                self._lock.notify_all()
                has_stopped = self._lock.wait_for(lambda one=worker: one.state != "running", STUCK)  # type: ignore[misc]
                assert has_stopped, "a call waits, but not for the network"
        for worker in self._workers:
            if worker.done():
                worker.thread.join(STUCK)
        self._workers = [worker for worker in self._workers if not worker.done()]

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        step(work)

    def end(self) -> None:
        self.settle()
        assert not self._workers


class ScriptedBlockingNetwork(BlockingNetwork):
    def __init__(self, world: World) -> None:
        super().__init__(world.monotonic)
        self.world = world

    async def dial(self, exchange: Exchange) -> Any:
        return await self.world.connected(exchange)

    def grace(self) -> Deadline:
        return Deadline(self.world.now + CLEANING_UP)
