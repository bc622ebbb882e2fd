"""The control thread: when it runs, what it survives."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import queue
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.discovery import start
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.runtime.control import ControlThread, restart_delay
from ambassador_lib.runtime.gate import Gate
from ambassador_lib.runtime.within import within

PATIENCE = 10.0
"""Seconds until a test that waits for another thread gives up; nothing takes that long."""


class ScriptedClock(SystemClock):
    """Real readings, but waiting is over when the test says so; tells of each wait."""

    def __init__(self) -> None:
        self.waits: queue.Queue[float] = queue.Queue()
        self._go = threading.Semaphore(0)

    def let_one_pass(self) -> None:
        self._go.release()

    async def sleep_async(self, seconds: float) -> None:
        self.waits.put(seconds)
        while not self._go.acquire(blocking=False):  # noqa: ASYNC110 - the semaphore is another thread's
            await asyncio.sleep(0.001)


@pytest.fixture
def control() -> Iterator[ControlThread]:
    control = ControlThread()
    yield control
    assert control.close(PATIENCE)


def watch(control: ControlThread, make: Any, name: str = "w", clock: Any = None) -> Any:
    return control.watch(make, name=name, clock=clock or SystemClock(), random=random.Random(1))


def control_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ambassador_lib-control"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_is_watched_belongs_to_no_call(control: ControlThread, backend: str) -> None:
    """Neither the caller's event loop nor its context variables reach the watch: it may sleep, whoever started it."""
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
    seen: queue.Queue[str] = queue.Queue()

    async def nap() -> None:
        await SystemClock().sleep_async(0)
        seen.put(caller.get())

    async def main() -> None:
        caller.set("a call")
        watch(control, nap)

    anyio.run(main, backend=backend)
    assert seen.get(timeout=PATIENCE) == "nobody"


def test_one_thread_for_all_watches_and_none_without(control: ControlThread) -> None:
    """The thread starts with the first watch, is shared by all, and has ended when the last cancel returns."""
    seen: queue.Queue[threading.Thread] = queue.Queue()

    async def forever() -> None:
        seen.put(threading.current_thread())
        await asyncio.get_running_loop().create_future()

    assert not control.is_running
    first, second = watch(control, forever), watch(control, forever)
    threads = {seen.get(timeout=PATIENCE), seen.get(timeout=PATIENCE)}
    assert len(threads) == 1
    assert first.cancel(PATIENCE)
    assert control.is_running
    assert second.cancel(PATIENCE)
    assert not control.is_running
    assert not threads.pop().is_alive()


def test_the_thread_comes_back_for_a_later_watch(control: ControlThread) -> None:
    """After the last watch ended a new one starts a new thread."""
    ran: queue.Queue[int] = queue.Queue()

    async def once() -> None:
        ran.put(1)

    for _ in range(3):
        watch(control, once)
        assert ran.get(timeout=PATIENCE) == 1


def test_a_watch_that_returns_is_over(control: ControlThread) -> None:
    """Returning ends a watch; with the last the thread ends by itself."""

    async def once() -> None:
        return

    handle = watch(control, once)
    assert handle.wait(PATIENCE)
    for thread in control_threads():
        thread.join(PATIENCE)
    assert not control.is_running
    assert handle.cancel(0)


def test_cancel_waits_for_the_end_of_cleaning_up(control: ControlThread) -> None:
    """When `cancel` has returned True, the coroutine's `finally` has run."""
    started, cleaned = threading.Event(), []

    async def careful() -> None:
        try:
            started.set()
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    handle = watch(control, careful)
    assert started.wait(PATIENCE)
    assert handle.cancel(PATIENCE)
    assert cleaned == [True]
    assert handle.cancel()  # safe to repeat


def test_cancel_is_bounded(control: ControlThread) -> None:
    """A watch that does not end is left behind when the time is over."""
    started, release = threading.Event(), threading.Event()

    async def stubborn() -> None:
        started.set()
        while not release.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue

    handle = watch(control, stubborn)
    assert started.wait(PATIENCE)
    assert handle.cancel(0.01) is False
    release.set()
    assert handle.cancel(PATIENCE)


def test_a_crash_is_logged_and_started_again(control: ControlThread, caplog: pytest.LogCaptureFixture) -> None:
    """A crashed watch is made anew after a back-off; its neighbours never notice."""
    clock = ScriptedClock()
    runs: queue.Queue[str] = queue.Queue()
    neighbour_cancelled = []

    async def crashes() -> None:
        runs.put("run")
        raise RuntimeError("bug")

    async def neighbour() -> None:
        try:
            runs.put("neighbour")
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            neighbour_cancelled.append(True)
            raise

    with caplog.at_level(logging.ERROR, logger="ambassador_lib.control"):
        other = watch(control, neighbour)
        assert runs.get(timeout=PATIENCE) == "neighbour"
        broken = watch(control, crashes, "broken", clock)
        delays = []
        for _ in range(3):
            assert runs.get(timeout=PATIENCE) == "run"
            delays.append(clock.waits.get(timeout=PATIENCE))
            clock.let_one_pass()
        assert runs.get(timeout=PATIENCE) == "run"
    assert neighbour_cancelled == []
    assert 0.25 <= delays[0] <= 0.5 <= delays[1] <= 1.0 <= delays[2] <= 2.0
    assert "watch broken crashed (1 in a row)" in caplog.text
    assert broken.cancel(PATIENCE)
    assert other.cancel(PATIENCE)


def test_cancelling_on_the_control_thread_does_not_wait_for_itself(control: ControlThread) -> None:
    """A watch may cancel a watch, itself included."""
    ready: queue.Queue[Any] = queue.Queue()
    results: queue.Queue[bool] = queue.Queue()

    async def cancels_itself() -> None:
        handle = await asyncio.to_thread(ready.get, timeout=PATIENCE)
        results.put(handle.cancel(PATIENCE))
        await asyncio.get_running_loop().create_future()

    handle = watch(control, cancels_itself)
    ready.put(handle)
    assert results.get(timeout=PATIENCE) is False
    assert handle.wait(PATIENCE)


def test_strays_are_ended_with_the_thread(control: ControlThread) -> None:
    """A task that a watch left behind does not outlive the thread."""
    ended = threading.Event()
    kept = []

    async def stray() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async def careless() -> None:
        kept.append(asyncio.ensure_future(stray()))
        await asyncio.sleep(0)

    watch(control, careless)
    assert ended.wait(PATIENCE)


def test_a_client_that_is_dropped_takes_its_watches_along(kit: Any) -> None:
    """Discovery that nobody holds any more is ended by the garbage collector, not kept by the control thread."""
    control = ControlThread()
    cluster = kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY")
    kit.resolver.set("a.test", ["10.0.0.1"])
    discovery = start(
        kit.upstream(cluster), clock=SystemClock(), random=kit.random, resolver=kit.resolver, control=control
    )
    (handle,) = discovery._watches
    del discovery
    gc.collect()
    assert handle.wait(PATIENCE)
    assert not control.is_running


def test_stop_from_real_threads(kit: Any) -> None:
    """On the shared control thread discovery resolves, opens its gate, and is gone after `stop`."""
    opened = threading.Event()

    class Ticket:
        def wake(self) -> None:
            opened.set()

    cluster = kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY")
    kit.resolver.set("a.test", ["10.0.0.1"])
    upstream = kit.upstream(cluster)
    discovery = start(upstream, clock=SystemClock(), random=kit.random, resolver=kit.resolver)
    discovery.gate.add(Ticket())
    assert opened.wait(PATIENCE)
    assert kit.keys(upstream) == ["10.0.0.1:80"]
    assert ControlThread.shared().is_running
    assert discovery.stop(PATIENCE)
    assert not ControlThread.shared().is_running
    assert control_threads() == []


FORK = """
    import asyncio, os, random, sys, threading
    from ambassador_lib.runtime.clock import SystemClock
    from ambassador_lib.runtime.control import ControlThread

    reports = os.pipe()

    async def tick():
        os.write(reports[1], b"c" if os.getpid() != parent else b"p")
        if os.getpid() != parent:
            child_ran.set()
        await asyncio.get_running_loop().create_future()

    parent = os.getpid()
    child_ran = threading.Event()
    control = ControlThread.shared()
    kept = control.watch(tick, name="kept", clock=SystemClock(), random=random.Random())
    gone = control.watch(tick, name="gone", clock=SystemClock(), random=random.Random())
    assert os.read(reports[0], 1) + os.read(reports[0], 1) == b"pp"
    assert gone.cancel(10)
    pid = os.fork()
    if pid == 0:
        ok = child_ran.wait(10) and kept.cancel(10) and not control.is_running
        sys.exit(0 if ok else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    # The parent's loop still hears of what other threads ask of it.
    assert not kept.ended
    again = control.watch(tick, name="again", clock=SystemClock(), random=random.Random())
    assert os.read(reports[0], 1) == b"c"
    assert os.read(reports[0], 1) == b"p"
    assert kept.cancel(10) and again.cancel(10) and not control.is_running
    print("fine")
"""


def run_python(source: str) -> subprocess.CompletedProcess[str]:
    # Python 3.12 warns of every fork in a process that has threads, which is the point here.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(source)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_thread_survives_a_fork() -> None:
    """In the child it is started anew with the watches that are open; the parent's goes on undisturbed."""
    done = run_python(FORK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


@pytest.mark.slow
def test_the_interpreter_exits_with_watches_open() -> None:
    """A client that is never closed does not hold the process back, and nothing is complained of."""
    done = run_python("""
        import asyncio, random
        from ambassador_lib.runtime.clock import SystemClock
        from ambassador_lib.runtime.control import ControlThread

        async def forever():
            await asyncio.get_running_loop().create_future()

        ControlThread.shared().watch(forever, name="w", clock=SystemClock(), random=random.Random())
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_within_cuts_work_off(kit: Any) -> None:
    """Work that takes longer than it may is cancelled, and its cleaning up waited for."""
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def main() -> None:
        task = asyncio.ensure_future(within(kit.clock, 2.0, work()))
        await kit.clock.advance(1.9)
        assert not task.done()
        await kit.clock.advance(0.1)
        with pytest.raises(TimeoutError):
            await task
        assert cleaned == [True]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("steps", range(1, 7))
def test_within_leaves_nothing_behind_when_cancelled(kit: Any, steps: int) -> None:
    """Cancelled after any step, neither the work nor the timer goes on."""

    async def work() -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return 1

    async def main() -> None:
        task = asyncio.ensure_future(within(kit.clock, 2.0, work()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@given(st.integers(1, 100_000), st.integers())
def test_restarts_are_neither_frantic_nor_forgotten(crashes: int, seed: int) -> None:
    """A watch that crashes is back after a quarter of a second at the least, half a minute at the most."""
    assert 0.25 <= restart_delay(crashes, random.Random(seed)) <= 30.0


def test_a_gate_wakes_everybody_once() -> None:
    """Tickets are woken when the gate opens, or at once when it is open; those taken back are not."""

    class Ticket:
        woken = 0

        def wake(self) -> None:
            self.woken += 1

    gate = Gate()
    early, taken_back, late = Ticket(), Ticket(), Ticket()
    gate.add(early)
    gate.add(taken_back)
    gate.discard(taken_back)
    gate.discard(taken_back)
    gate.open()
    gate.open()
    gate.add(late)
    assert (early.woken, taken_back.woken, late.woken) == (1, 0, 1)
