"""Work beside the caller's: bounded, ended by `cancel`, and begun anew in a forked child."""

from __future__ import annotations

import contextvars
import threading
import time

import anyio
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.runtime.background import IDLE, Job, Threads, Work
from ambassador_lib.runtime.blocking import BlockingRuntime
from ambassador_lib.runtime.fed import LAG, BrokenOff, FedBody
from ambassador_lib.runtime.loop_background import Tasks
from ambassador_lib.runtime.stepping import run_sync
from ambassador_lib.testing.clock import FakeClock

PATIENCE = 30.0
"""Seconds that nothing here takes, on a busy machine either."""
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


def nothing() -> None:
    """Nothing waits."""


def started(threads: Threads, work: Work) -> Job:
    """Start work as soon as a thread is free: one that has told of its work's end is so a moment later."""
    latest = time.monotonic() + PATIENCE
    while (job := threads.start(work, nothing)) is None:
        assert time.monotonic() < latest, "no thread came free"
    return job


def test_threads_run_so_much_and_no_more() -> None:
    """The bound counts what runs; a thread that is free again takes the next piece of work."""
    threads, go, ran = Threads(2, "test"), threading.Event(), []

    async def work() -> None:
        assert go.wait(5)
        ran.append(threading.current_thread())

    jobs = [threads.start(work, go.set) for _ in range(3)]
    assert [False, False, True] == [job is None for job in jobs]
    go.set()
    run_sync(threads.ended())
    assert 2 == len(ran)
    assert run_sync(started(threads, work).ended())
    assert 3 == len(ran)
    assert len(set(ran)) <= 2


@pytest.mark.parametrize("busy", [False, True])
def test_cancel_sends_threads_home(busy: bool) -> None:
    """Who is free goes at once, who is busy when done; what is started later still finds a thread, for itself."""
    threads, go, ran = Threads(2, "test"), threading.Event(), []

    async def work() -> None:
        ran.append(threading.current_thread())
        assert go.wait(5)

    jobs = [started(threads, work) for _ in range(2)]
    if not busy:
        go.set()
        assert all(run_sync(job.ended()) for job in jobs)
    threads.cancel()
    go.set()
    assert run_sync(started(threads, work).ended())
    latest = time.monotonic() + IDLE - 1  # sooner than one that is kept would go by itself
    for thread in ran:
        thread.join(max(0.0, latest - time.monotonic()))
    assert len(ran) == 3
    assert not any(thread.is_alive() for thread in ran)


def test_work_sees_its_starters_context() -> None:
    """Context variables, a current span among them, go along into the thread."""
    seen = []

    async def work() -> None:
        seen.append(VARIABLE.get())

    token = VARIABLE.set("mine")
    job = Threads(1, "test").start(work, nothing)
    VARIABLE.reset(token)
    assert job is not None
    assert run_sync(job.ended())
    assert ["mine"] == seen


def test_without_more_threads_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, it is as where the bound is reached: the caller goes on without."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def work() -> None:
        raise AssertionError("there is no thread for it")

    threads = Threads(1, "test")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert threads.start(work, nothing) is None
    ran = []

    async def later() -> None:
        ran.append(1)

    job = threads.start(later, nothing)
    assert job is not None
    assert run_sync(job.ended())
    assert ran == [1]


def test_a_thread_outlives_what_goes_wrong_in_it() -> None:
    """Work that fails in an unforeseen way leaves its thread to the next."""

    async def leave() -> None:
        raise SystemExit

    async def work() -> None:
        pass

    threads = Threads(1, "test")
    for one in (leave, work):
        assert run_sync(started(threads, one).ended())


def test_a_forked_child_begins_without_threads() -> None:
    """What the parent's threads held is forgotten, the whole bound is free again."""
    threads, go = Threads(1, "test"), threading.Event()

    async def work() -> None:
        assert go.wait(5)

    assert threads.start(work, go.set) is not None
    assert threads.start(work, go.set) is None
    threads.start_afresh()
    assert threads.start(work, go.set) is not None
    go.set()


@pytest.mark.parametrize("mode", ["asyncio", "trio"])
def test_tasks_are_bounded_and_cancelled(mode: str) -> None:
    """Cancelled work cleans up before `ended` returns, and makes room."""
    ended = []

    async def main() -> None:
        tasks = Tasks(1, "test")

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(VARIABLE.get())

        VARIABLE.set("mine")
        assert tasks.start(work, nothing) is not None
        await anyio.lowlevel.checkpoint()
        assert tasks.start(work, nothing) is None
        tasks.cancel()
        await tasks.ended()
        assert ["mine"] == ended
        assert tasks.start(work, nothing) is not None
        await anyio.lowlevel.checkpoint()
        tasks.cancel()
        await tasks.ended()

    anyio.run(main, backend=mode)
    assert 2 == len(ended)


@pytest.mark.parametrize("mode", ["asyncio", "trio"])
def test_work_that_is_cancelled_at_once_cleans_up(mode: str) -> None:
    """It begins all the same: what it was given to look after would never be given back otherwise."""
    ended = []

    async def main() -> None:
        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(1)

        tasks = Tasks(1, "test")
        tasks.start(work, nothing)
        tasks.cancel()
        await tasks.ended()

    anyio.run(main, backend=mode)
    assert [1] == ended


def fed() -> FedBody:
    return FedBody(BlockingRuntime(FakeClock()).ticket, Deadline())


def test_a_fed_body_gives_what_was_put_in_order() -> None:
    """What comes before and after the reader is read once, up to the end."""
    body = fed()
    body.put(b"a")
    reader = iter(body)
    assert b"a" == next(reader)
    body.put(b"b")
    body.end()
    body.put(b"late")
    assert [b"b"] == list(reader)


def test_a_fed_body_that_breaks_off_is_never_taken_for_whole() -> None:
    """The reader gets an error in place of the end; breaking off behind the end changes nothing."""
    body = fed()
    body.put(b"a")
    body.break_off()
    with pytest.raises(BrokenOff):
        list(body)
    whole = fed()
    whole.put(b"a")
    whole.end()
    whole.break_off()
    assert [b"a"] == list(whole)


def test_a_reader_too_far_behind_is_broken_off() -> None:
    """What is kept for it has a bound."""
    body = fed()
    body.put(b"x" * LAG)
    body.put(b"y")
    with pytest.raises(BrokenOff):
        list(body)
