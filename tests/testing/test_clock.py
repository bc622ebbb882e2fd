"""Virtual time and scripted randomness."""

from __future__ import annotations

import anyio
import pytest

from ambassador_lib.testing import FakeClock, FakeRandom


def test_time_stands_still_until_somebody_sleeps() -> None:
    """Reading the clock does not move it; a sleep moves both readings by as much, and is remembered."""
    clock = FakeClock(start=10.0, epoch=100.0)
    assert (clock.monotonic(), clock.monotonic(), clock.time()) == (10.0, 10.0, 100.0)
    clock.sleep(2.5)
    assert (clock.monotonic(), clock.time(), clock.sleeps) == (12.5, 102.5, [2.5])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_sleep_moves_the_clock_at_once(backend: str) -> None:
    """Under either loop an hour passes without waiting."""
    clock = FakeClock()
    anyio.run(clock.sleep_async, 3600.0, backend=backend)
    assert clock.monotonic() == 4600.0


def test_asynchronous_sleep_delivers_a_cancellation() -> None:
    """A cancelled task does not come out of a virtual sleep, as it would not out of a real one."""
    reached = []

    async def main() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await FakeClock().sleep_async(1.0)
            reached.append("after the sleep")

    anyio.run(main)
    assert reached == []


def test_advance_moves_forward_only() -> None:
    """`advance` is no sleep, and refuses to turn the clock back."""
    clock = FakeClock()
    clock.advance(1.0)
    assert clock.sleeps == []
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1.0)


def test_random_numbers_follow_the_script_and_then_the_seed() -> None:
    """Scripted numbers come first, in order; afterwards equal seeds give equal numbers."""
    one, other = FakeRandom(0.25, 0.5, seed=7), FakeRandom(0.25, 0.5, seed=7)
    assert [one.random(), one.getrandbits(4)] == [0.25, 8]
    assert [other.random(), other.getrandbits(4)] == [0.25, 8]
    assert one.random() == other.random()


def test_random_numbers_outside_the_interval_are_refused() -> None:
    """1.0 is no random number."""
    with pytest.raises(ValueError, match=r"1\.0"):
        FakeRandom(1.0)
