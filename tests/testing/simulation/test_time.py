"""Virtual time by itself: what passes, when, for whom; and what is told of its misuse."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep as imported_sleep
from types import ModuleType
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import httpx
import pytest
import trio

from ambassador_lib import AsyncClient
from ambassador_lib.testing import turns
from ambassador_lib.testing.misuse import MisuseError
from ambassador_lib.testing.simulated import SimulatedUpstream, Simulation
from ambassador_lib.testing.virtual_time import VirtualTime
from tests.spec.documents import bootstrap

LIMIT = 20.0
"""Real seconds that nothing of this takes, on a busy machine either."""


def test_sleeping_takes_no_time(virtual_time: VirtualTime) -> None:
    """A sleep moves both readings of the clock, and nothing else does."""
    assert (virtual_time.monotonic(), virtual_time.time(), virtual_time.elapsed) == (1000.0, 1_700_000_000.0, 0.0)
    virtual_time.sleep(300)
    virtual_time.advance(0.5)
    assert virtual_time.elapsed == 300.5
    assert virtual_time.time() == 1_700_000_300.5
    for moves in (virtual_time.sleep, virtual_time.advance):
        with pytest.raises(ValueError, match="only moves forward"):
            moves(-1)
    assert repr(virtual_time) == "<VirtualTime 300.5 s after its start>"


def test_what_is_planned_happens_in_its_order(virtual_time: VirtualTime) -> None:
    """Events happen by time, then in the order of their making; cancelled ones do not, late ones at once."""
    told: list[Any] = []
    virtual_time.call_later(2, lambda: told.append(("b", virtual_time.elapsed)))
    virtual_time.call_later(1, lambda: told.append(("a", virtual_time.elapsed)))
    virtual_time.call_later(2, lambda: told.append(("c", virtual_time.elapsed)))
    virtual_time.call_later(2, lambda: told.append("never")).cancel()
    virtual_time.call_at(0, lambda: told.append(("late", virtual_time.elapsed)))
    virtual_time.sleep(1.5)
    assert told == [("late", 0), ("a", 1)]
    virtual_time.sleep(10)
    assert told[2:] == [("b", 2), ("c", 2)]


def test_a_wait_ends_when_it_is_ready_or_over(virtual_time: VirtualTime) -> None:
    """`wait` says whether what it waited for has come; an event at the very moment of its end still counts."""
    here: list[int] = []
    virtual_time.call_later(5, lambda: here.append(1))
    assert not virtual_time.wait(lambda: bool(here), lambda: 1004.0)
    assert virtual_time.elapsed == 4
    assert virtual_time.wait(lambda: bool(here), lambda: 1005.0)
    assert virtual_time.elapsed == 5


async def sleeps(virtual_time: VirtualTime, sleep: Callable[[float], Any]) -> None:
    """Sleep, be cut short, sleep side by side."""
    began = virtual_time.elapsed
    await sleep(30)
    assert virtual_time.elapsed - began == pytest.approx(30)
    with anyio.move_on_after(7) as scope:
        await sleep(1000)
    assert scope.cancelled_caught
    assert virtual_time.elapsed - began == pytest.approx(37)
    order = []

    async def one(seconds: float) -> None:
        await sleep(seconds)
        order.append(seconds)

    async with anyio.create_task_group() as group:
        for seconds in (3, 1, 2):
            group.start_soon(one, seconds)
    assert order == [1, 2, 3]
    assert virtual_time.elapsed - began == pytest.approx(40)


@pytest.mark.parametrize("name", ["asyncio", "anyio", "ours"])
def test_sleeps_of_asyncio_jump(virtual_time: VirtualTime, name: str) -> None:
    """The test's own `asyncio.sleep` and `anyio.sleep` take no time, nor do ours."""
    sleep = {"asyncio": asyncio.sleep, "anyio": anyio.sleep, "ours": virtual_time.sleep_async}[name]
    asyncio.run(sleeps(virtual_time, sleep))


@pytest.mark.parametrize("name", ["trio", "anyio", "ours"])
def test_sleeps_of_trio_jump(virtual_time: VirtualTime, name: str) -> None:
    """Under the kit's clock, trio does as asyncio."""
    sleep = {"trio": trio.sleep, "anyio": anyio.sleep, "ours": virtual_time.sleep_async}[name]
    trio.run(sleeps, virtual_time, sleep, clock=virtual_time.trio_clock())
    options = {"clock": virtual_time.trio_clock()}
    anyio.run(sleeps, virtual_time, sleep, backend="trio", backend_options=options)


def test_timeouts_of_asyncio_are_exact(virtual_time: VirtualTime) -> None:
    """`wait_for`, `timeout` and `call_later` go by virtual time, and cut at their moment."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 10)
        assert virtual_time.elapsed == 10
        assert await asyncio.wait_for(asyncio.sleep(5, "done"), 10) == "done"
        assert virtual_time.elapsed == 15
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        assert virtual_time.elapsed == 17.5
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(60, event.set)
        await event.wait()
        assert virtual_time.elapsed == 77.5
        assert asyncio.get_running_loop().time() == virtual_time.monotonic()

    asyncio.run(main())


def test_a_loop_is_adopted_in_its_midst_and_released(request: pytest.FixtureRequest) -> None:
    """A world that begins and ends inside a running loop leaves its clock, its selector and its timers as they were."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        selector, clock = loop._selector, loop.time
        fired = []
        loop.call_later(0.05, lambda: fired.append("real"))
        far = loop.call_later(3600, lambda: fired.append("far"))
        before = far.when() - loop.time()
        with VirtualTime() as world:
            await asyncio.sleep(0.01)
            await asyncio.sleep(100)
            assert world.elapsed == pytest.approx(100.01)
            assert fired == ["real"]
            left = far.when() - loop.time()
            assert left == pytest.approx(3500, abs=0.1)
        assert loop._selector is selector
        assert loop.time == clock
        assert far.when() - loop.time() == pytest.approx(before - 100, abs=LIMIT)
        began = time.monotonic()
        await asyncio.sleep(0.02)
        assert 0.01 < time.monotonic() - began < LIMIT
        far.cancel()

    asyncio.run(main())


def test_loops_come_one_after_the_other(virtual_time: VirtualTime) -> None:
    """Each `asyncio.run` has its loop; time goes on over all of them."""
    for _ in range(3):
        asyncio.run(asyncio.sleep(10))
    assert virtual_time.elapsed == 30


def test_threads_of_executors_are_waited_for(virtual_time: VirtualTime) -> None:
    """While a thread does something real, no virtual time passes, and its timeout does not strike."""
    release = threading.Event()

    def work() -> str:
        release.wait(5)
        return "done"

    async def main() -> None:
        threading.Timer(0.05, release.set).start()
        assert await asyncio.wait_for(asyncio.to_thread(work), 1) == "done"
        assert virtual_time.elapsed == 0
        release.clear()
        threading.Timer(0.05, release.set).start()
        with anyio.fail_after(1):
            assert await anyio.to_thread.run_sync(work) == "done"
        assert virtual_time.elapsed == 0
        assert await asyncio.to_thread(virtual_time.sleep, 40) is None
        assert virtual_time.elapsed == pytest.approx(40)
        await asyncio.sleep(1)

    asyncio.run(main())


def test_real_sockets_get_their_moment(virtual_time: VirtualTime) -> None:
    """Bytes that are under way on a real socket come before a virtual timeout."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        for number in range(5):
            theirs.sendall(b"%d" % number)
            assert await asyncio.wait_for(reader.read(10), 0.5) == b"%d" % number
        assert virtual_time.elapsed == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(10), 60)
        assert virtual_time.elapsed == 60
        writer.close()
        theirs.close()

    asyncio.run(main())


def test_an_application_in_a_portal_follows(virtual_time: VirtualTime) -> None:
    """A loop in a thread that the test starts (Starlette's TestClient, say) is in the same world."""

    async def application() -> float:
        await asyncio.sleep(30)
        return virtual_time.elapsed

    with anyio.from_thread.start_blocking_portal() as portal:
        assert portal.call(application) == pytest.approx(30)
        virtual_time.sleep(10)
        assert portal.call(application) == pytest.approx(70)


def test_together_is_the_same_each_time(virtual_time: VirtualTime) -> None:
    """Threads take turns in a fixed order; results come in the order of the functions, the first error is raised."""
    told = []

    def one(name: str, seconds: float) -> Callable[[], str]:
        def run() -> str:
            for _ in range(3):
                told.append(name)
                virtual_time.sleep(seconds)
            return name

        return run

    for _ in range(3):
        told.clear()
        began = virtual_time.elapsed
        assert virtual_time.together(one("a", 2), one("b", 3), one("c", 2)) == ["a", "b", "c"]
        assert "".join(told) == "abcacbacb"
        assert virtual_time.elapsed - began == 9

    def fails() -> str:
        virtual_time.sleep(1)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        virtual_time.together(fails, one("a", 1))
    assert virtual_time.together() == []


def test_other_threads_may_wait_too(virtual_time: VirtualTime) -> None:
    """Pools of the application's own wait for virtual time side by side, in whatever order."""

    def work(number: int) -> int:
        total = sum(range(20_000))  # does something, too
        virtual_time.sleep(1)
        return total and number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(20))) == list(range(20))
    assert 3 <= virtual_time.elapsed < 20  # side by side, unless the system has no time for them

    async def main() -> None:
        with ThreadPoolExecutor(4) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, work, number) for number in range(8)))

    began, before = time.monotonic(), virtual_time.elapsed
    asyncio.run(main())
    assert 2 <= virtual_time.elapsed - before < 8
    assert time.monotonic() - began < LIMIT


def test_threads_that_never_wait_do_not_hold_time_for_long(virtual_time: VirtualTime) -> None:
    """Who goes round and round is passed over after a while, and does not count any more."""
    ends = threading.Event()

    def spin() -> None:
        while not ends.is_set():
            sum(range(1000))

    thread = threading.Thread(target=spin)
    thread.start()
    began = time.monotonic()
    for _ in range(50):
        virtual_time.sleep(10)
    assert time.monotonic() - began < LIMIT
    ends.set()
    thread.join()


# --- misuse ----------------------------------------------------------------------------------------------------------


def test_really_sleeping_is_told(virtual_time: VirtualTime) -> None:
    """`time.sleep` is a misuse that names what to use, in threads of the application as well; code that is taken over
    may sleep."""
    with pytest.raises(MisuseError, match=r"time.sleep\(5\).*virtual_time.sleep"):
        time.sleep(5)
    time.sleep(0)
    with ThreadPoolExecutor(1) as pool, pytest.raises(MisuseError, match=r"time.sleep\(5\)"):
        pool.submit(time.sleep, 5).result()
    assert virtual_time.elapsed == 0
    with pytest.raises(MisuseError, match=r"time.sleep\(5\)"):
        imported_sleep(5)

    virtual_time.takes_over_sleep()
    time.sleep(2)
    imported_sleep(3)
    assert virtual_time.elapsed == 5


def test_a_wait_for_nothing_is_told_at_once(virtual_time: VirtualTime) -> None:
    """Nobody waits for ever: thread, task and trio are told that nothing will wake them."""
    began = time.monotonic()
    with pytest.raises(MisuseError, match=r"stands still: a sign \(asked for at .*test_time.py:\d+\)"):
        virtual_time.wait(lambda: False, lambda: float("inf"), "a sign")
    with pytest.raises(MisuseError, match="stands still: the event loop"):
        asyncio.run(asyncio.wait_for(asyncio.Event().wait(), None))
    with pytest.raises(MisuseError, match="stands still: trio"):
        trio.run(trio.sleep_forever, clock=virtual_time.trio_clock())
    assert time.monotonic() - began < LIMIT


def test_waiting_while_only_the_background_goes_on_is_told(virtual_time: VirtualTime) -> None:
    """What repeats for ever by itself does not keep a wait without a bound alive."""

    def again() -> None:
        virtual_time.call_at(virtual_time.monotonic() + 1, again, beside=True)

    again()
    with pytest.raises(MisuseError, match="stands still"):
        virtual_time.wait(lambda: False, lambda: float("inf"))


def test_an_instant_without_end_is_told(virtual_time: VirtualTime) -> None:
    """Events that make events of the same instant are cut."""

    def again() -> None:
        virtual_time.call_at(virtual_time.monotonic(), again)

    event = virtual_time.call_later(1, again)
    with pytest.raises(MisuseError, match="at one virtual instant"):
        virtual_time.sleep(2)
    assert event.is_off


def test_turns_without_an_end_are_told(virtual_time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that waits for time to pass, and lets nobody wait, is cut, after as many turns as it may take."""
    assert turns.MOST_AT_ONCE > 100_000, "a program that does a lot at one instant is not stopped"
    monkeypatch.setattr(turns, "MOST_AT_ONCE", 1000)
    taken = 0

    async def main() -> None:
        nonlocal taken
        while virtual_time.elapsed < 1:
            taken += 1
            await anyio.lowlevel.checkpoint()

    with pytest.raises(MisuseError, match="tasks take turns"):
        asyncio.run(main())
    assert taken == pytest.approx(1000, abs=10)


def test_one_world_at_a_time(virtual_time: VirtualTime) -> None:
    """A second world is refused, and the first one is there for whoever asks."""
    with pytest.raises(MisuseError, match=r"has begun already, at .*conftest.py:\d+"), VirtualTime():
        pass
    assert VirtualTime.current() is virtual_time


def test_no_world_is_told() -> None:
    """Without a world there is none to be asked for."""
    with pytest.raises(MisuseError, match="no virtual time is at work"):
        VirtualTime.current()


def test_two_loops_at_the_same_time_are_told(virtual_time: VirtualTime) -> None:
    """A second event loop beside the test's own is refused, with what to do."""

    async def main() -> None:
        def beside() -> None:
            work = asyncio.sleep(1)
            with pytest.raises(MisuseError, match="two event loops"):
                asyncio.run(work)
            work.close()

        await asyncio.to_thread(beside)

    asyncio.run(main())


def test_sleep_imported_by_name_is_itself_again_afterwards() -> None:
    """What modules have imported is taken over while virtual time lasts, also what they import meanwhile."""
    genuine, late = imported_sleep, ModuleType("late")
    with VirtualTime() as world:
        assert imported_sleep is not genuine
        late.sleep = time.sleep  # type: ignore[attr-defined]
    assert imported_sleep is genuine
    late.sleep(0.001)  # type: ignore[attr-defined]
    assert world.elapsed == 0
    with VirtualTime() as world:
        world.takes_over_sleep()
        late.sleep(3)  # type: ignore[attr-defined]
        imported_sleep(4)
        assert world.elapsed == 7


def test_sockets_to_simulated_addresses_are_refused(virtual_time: VirtualTime) -> None:
    """Clients of other libraries would look for a simulated upstream in the real world."""
    payment = SimulatedUpstream("payment", world=virtual_time)
    with pytest.raises(MisuseError, match="which is simulated"), httpx.Client(trust_env=False) as client:
        client.get(payment.url)

    with pytest.raises(MisuseError, match="which is simulated"):
        asyncio.run(asyncio.open_connection(payment.host, payment.port))


def test_beginning_in_a_loop_of_another_make_is_told_and_leaves_nothing() -> None:
    """Under uvloop, say, virtual time refuses to begin, and loops of later tests are as they were."""

    class Foreign(asyncio.AbstractEventLoop):
        """Has nothing of asyncio's own loops inside."""

        def is_running(self) -> bool:
            return True

    genuine, slept = asyncio.BaseEventLoop._run_once, time.sleep  # type: ignore[attr-defined]
    asyncio._set_running_loop(Foreign())
    try:
        with pytest.raises(MisuseError, match="not uvloop"), VirtualTime():
            pass
    finally:
        asyncio._set_running_loop(None)
    assert asyncio.BaseEventLoop._run_once is genuine  # type: ignore[attr-defined]
    assert time.sleep is slept
    asyncio.run(asyncio.sleep(0.001))


def test_whoever_keeps_what_was_patched_has_real_time_again() -> None:
    """A wrapper put around the patched loop by somebody else works on when virtual time is over."""
    base: Any = asyncio.BaseEventLoop
    genuine = base._run_once
    with VirtualTime():
        kept = base._run_once
    base._run_once = kept
    try:
        assert asyncio.run(asyncio.sleep(0.001, "done")) == "done"
    finally:
        base._run_once = genuine


def test_a_loop_of_another_make_is_told(virtual_time: VirtualTime) -> None:
    """Who cannot be adopted (uvloop; trio with a clock of its own) is told when it waits for virtual time."""

    class Foreign(asyncio.SelectorEventLoop):
        def run_forever(self) -> None:  # as loops that are not written in Python do
            asyncio._set_running_loop(self)
            try:
                while not self._stopping:  # type: ignore[attr-defined]
                    genuine(self)
            finally:
                asyncio._set_running_loop(None)
                self._stopping = False

    genuine = virtual_time.loops._genuine
    loop = Foreign()
    with pytest.raises(MisuseError, match="not uvloop"):
        loop.run_until_complete(virtual_time.sleep_async(1))
    assert virtual_time.elapsed == 0
    loop.close()
    with pytest.raises(MisuseError, match=r"trio_clock\(\)"):
        trio.run(virtual_time.sleep_async, 1)

    async def call() -> None:
        async with AsyncClient(bootstrap(cluster={"type": "STRICT_DNS"})) as client:
            with pytest.raises(MisuseError, match=r"trio_clock\(\)"):
                await client.get("http://127.0.0.1:15001/")
            with pytest.raises(MisuseError, match=r"trio_clock\(\)"):
                await client.ready()

    with Simulation(virtual_time):
        trio.run(call)


def test_who_still_waits_at_the_end_is_sent_home() -> None:
    """The end of a world ends the threads that it started."""
    with VirtualTime() as world:
        failures: list[BaseException] = []

        def waits() -> None:
            try:
                world.wait(lambda: False, lambda: float("inf"), "nothing")
            except MisuseError as error:
                failures.append(error)

        world.turns.start(waits, "left behind")
        world.call_later(5, lambda: None)
        world.sleep(1)
    assert "virtual time is over" in str(failures[0])
    assert "left behind" not in {thread.name for thread in threading.enumerate()}
