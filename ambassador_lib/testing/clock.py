"""Virtual time and scripted randomness: `runtime.base.Clock` and `Random` for tests that never wait."""

from __future__ import annotations

import random
import threading

from anyio.lowlevel import checkpoint


class FakeClock:
    """A clock that stands still until somebody sleeps or calls `advance`.

    A sleep returns at once, with the clock moved by as much; `sleeps` lists them in order. Made for one caller at a
    time: several sleeping at once each move the clock, as if they slept one after the other. `start` is the first
    reading of `monotonic`, `epoch` that of `time`, both in seconds.
    """

    def __init__(self, start: float = 1000.0, *, epoch: float = 1_700_000_000.0) -> None:
        self._now = start
        self._epoch_offset = epoch - start
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self._now

    def time(self) -> float:
        """Return virtual seconds since the epoch; they move with `monotonic`."""
        return self._now + self._epoch_offset

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        if seconds < 0:
            raise ValueError(f"time only moves forward, not by {seconds}")
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once, and remember them."""
        self.advance(max(0.0, seconds))
        with self._lock:
            self.sleeps.append(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """As `sleep`; other tasks get their turn, and a cancellation is delivered, as in a real sleep."""
        self.sleep(seconds)
        await checkpoint()


class FakeRandom:
    """The given numbers (0 <= n < 1) in their order, then those of a generator started with `seed`."""

    def __init__(self, *numbers: float, seed: int = 0) -> None:
        for number in numbers:
            if not 0 <= number < 1:
                raise ValueError(f"random numbers lie in [0, 1), {number} does not")
        self._numbers = list(reversed(numbers))
        self._generator = random.Random(seed)

    def random(self) -> float:
        """Return the next number."""
        return self._numbers.pop() if self._numbers else self._generator.random()

    def getrandbits(self, k: int, /) -> int:
        """Return the next number stretched over `k` bits: 0.0 gives 0, 0.5 the middle."""
        return int(self._numbers.pop() * (1 << k)) if self._numbers else self._generator.getrandbits(k)
