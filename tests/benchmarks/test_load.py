"""Closed and open loops: what is counted, and from when."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import loops
from benchmarks.load.arrivals import SECOND, Arrivals
from benchmarks.load.pacer import Pacer
from benchmarks.load.turn import Turn

RATES = st.floats(0.5, 5000, allow_nan=False)


def served(arrivals: Arrivals, service: list[int], callers: int) -> tuple[list[int], int]:
    """Let callers take calls on a clock of their own: latencies of the calls made, and when the last one was free."""
    free = [0] * callers
    latencies = []
    for number in itertools.count():
        who = min(range(callers), key=free.__getitem__)
        due = arrivals.take(free[who])
        if due is None:
            return latencies, max(free)
        free[who] = max(due, free[who]) + service[number % len(service)]
        latencies.append(free[who] - due)
    raise AssertionError


@given(RATES, st.floats(0.01, 3), st.lists(st.integers(1, SECOND), min_size=1, max_size=20), st.integers(1, 8))
def test_each_call_of_an_open_loop_is_made_or_given_up(
    rate: float, seconds: float, service: list[int], callers: int
) -> None:
    """However slow the upstream, no call that was due is forgotten: coordinated omission cannot flatter."""
    arrivals = Arrivals(rate, seconds, 0, grace=seconds)
    latencies, end = served(arrivals, service, callers)
    given_up = arrivals.given_up(end)
    assert len(latencies) + len(given_up) == arrivals.count == max(1, round(rate * seconds))
    assert all(wait > 0 for wait in given_up)
    assert sorted(given_up, reverse=True) == given_up


@given(RATES, st.integers(1, 50))
def test_a_stall_is_felt_by_all_calls_that_were_due_meanwhile(rate: float, count: int) -> None:
    """Latency begins when a call was due, so that one slow answer is as long for those behind it."""
    step = SECOND / rate
    stall = round(count * step)
    arrivals = Arrivals(rate, 2 * count / rate, 0, grace=1e6)
    latencies, _ = served(arrivals, [stall, *[0] * 3 * count], 1)
    expected = [max(0, stall - round(number * step)) for number in range(len(latencies))]
    assert latencies == expected


@given(RATES, st.integers(0, SECOND), st.floats(0.01, 2))
def test_calls_are_due_at_a_constant_rate(rate: float, begin: int, seconds: float) -> None:
    """The distance between two calls is that of the rate, to the nanosecond, without drift."""
    arrivals = Arrivals(rate, seconds, begin, grace=0)
    dues = list(iter(lambda: arrivals.take(begin), None))
    assert dues == [begin + round(number * SECOND / rate) for number in range(arrivals.count)]


def test_nothing_is_taken_after_the_grace() -> None:
    """A loop comes to an end whatever the contestant does."""
    arrivals = Arrivals(10, 1, 0, grace=0.5)
    assert arrivals.take(0) == 0
    assert arrivals.take(2 * SECOND) is None
    assert len(arrivals.given_up(2 * SECOND)) == 9


@given(st.lists(st.integers(0, 1 << 60)), st.dictionaries(st.text(), st.integers(1, 9)), st.integers(0, 5))
def test_a_turn_survives_its_pipe(latencies: list[int], errors: dict[str, int], unsent: int) -> None:
    """What a contestant's process packs is what is unpacked."""
    turn = Turn(errors=errors, seconds=1.5, cpu=0.5, memory=7)
    turn.omit([1] * unsent)
    for latency in latencies:
        turn.answer(0, latency)
    assert Turn.unpacked(turn.packed()) == turn
    assert turn.answered == len(latencies)


class Flaky:
    """Fails every third call; blocking and async."""

    def __init__(self) -> None:
        self.calls = itertools.count(1)
        self.made = 0

    def __call__(self) -> None:
        time.sleep(0.0005)
        self.made += 1
        if next(self.calls) % 3 == 0:
            raise OSError

    async def later(self) -> None:
        await asyncio.sleep(0)
        self.made += 1
        if next(self.calls) % 3 == 0:
            raise OSError


@pytest.mark.parametrize("callers", [1, 4])
def test_closed_loops_count_what_they_made(callers: int) -> None:
    """Every call is an answer or an error."""
    flaky = Flaky()
    turn = loops.closed(flaky, callers, 0.02)
    assert turn.answered + turn.failed == flaky.made > 0
    flaky = Flaky()
    turn = asyncio.run(loops.closed_async(flaky.later, callers, 0.02))
    assert turn.answered + turn.failed == flaky.made > 0
    assert set(turn.errors) == {"OSError"}


@pytest.mark.parametrize("callers", [1, 4])
def test_open_loops_make_as_many_calls_as_are_due(callers: int) -> None:
    """The rate decides how many calls there are, not how fast they are answered."""
    flaky = Flaky()
    turn = loops.opened(flaky, callers, 0.05, 400)
    assert turn.answered + turn.failed + turn.unsent == 20
    assert turn.answered + turn.failed == flaky.made
    flaky = Flaky()
    turn = asyncio.run(loops.opened_async(flaky.later, callers, 0.05, 400))
    assert turn.answered + turn.failed + turn.unsent == 20
    assert turn.answered + turn.failed == flaky.made


def test_an_open_loop_tells_what_was_never_sent() -> None:
    """Calls that a slow contestant never made are in its latencies, with the time they have waited."""
    turn = loops.opened(lambda: time.sleep(0.08), 1, 0.05, 200)
    assert turn.unsent > 0
    assert turn.answered == 10 - turn.unsent
    assert len(turn.latencies) == 10


def test_calls_that_never_return_end_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contestant that hangs is told of; the measuring goes on."""
    monkeypatch.setattr(loops, "LIMIT", 0.05)

    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(loops.StuckError):
        asyncio.run(loops.closed_async(hang, 2, 0.01))


def test_the_pacer_is_never_early_and_keeps_the_order() -> None:
    """Tasks wake when they are due, the earliest first."""
    afters = (3_000_000, 200_000, 1_500_000, 0)

    async def attempt(lead: int) -> tuple[int, list[int]]:
        pacer = Pacer()
        begin = time.perf_counter_ns() + lead
        woken: list[int] = []

        async def sleeper(after: int) -> None:
            await pacer.until(begin + after)
            assert time.perf_counter_ns() >= begin + after
            woken.append(after)

        tasks = [asyncio.create_task(sleeper(after)) for after in afters]
        await asyncio.sleep(0)
        asleep = len(afters) - len(woken)
        await asyncio.gather(*tasks)
        pacer.close()
        return asleep, woken

    # On a machine that is too busy to begin in time nobody has to be woken: there is no order then.
    for lead in (1_000_000, 10_000_000, 100_000_000, 1_000_000_000):
        asleep, woken = asyncio.run(attempt(lead))
        if asleep == len(afters):
            break
    assert woken == sorted(afters)
