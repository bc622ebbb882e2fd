"""What a connection's task waits for on asyncio, under a deadline that costs next to nothing until it strikes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..call import Deadline
from ..errors import DeadlineExpired


class Waiting:
    """The waits of one direction of one connection, one after the other, each under a deadline that may move.

    One timer serves them all. It is armed by the first wait, stays when that ends, and looks at the deadline of
    whichever wait there is when it fires: so an exchange costs no timer, but a timeout's length of exchanges does.
    Whether a deadline has passed is decided by the injected clock alone; `patience` bounds, in the loop's seconds,
    each wait that no deadline ends, up to twice.
    """

    __slots__ = (
        "_deadline", "_delay", "_future", "_loop", "_now", "_outer", "_patience", "_spent", "_timed", "_timer",
        "_timer_at",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float], patience: float) -> None:
        self._loop = loop
        self._now = now
        self._patience = patience
        self._future: asyncio.Future[bool] | None = None
        self._deadline = Deadline()
        self._outer: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._delay = 0.0
        self._timed: asyncio.Future[bool] | None = None
        """The wait that was there when the timer was armed, and the patience it has used up."""
        self._spent = 0.0

    async def under(self, deadline: Deadline) -> None:
        """Suspend until `wake`; `DeadlineExpired` when the deadline passes, wherever it moves meanwhile."""
        future = self._future = self._loop.create_future()
        self._deadline = deadline
        outer, moved = deadline.watch, self._moved
        self._outer, deadline.watch = outer, moved
        try:
            if self._timer is None or deadline.at < self._timer_at:
                if self._now() >= deadline.at:  # the timer would lose against a peer that never stops
                    raise DeadlineExpired
                self._arm()
            if not await future:
                raise DeadlineExpired
        finally:
            self._future = None
            if deadline.watch is moved:  # else somebody further out watches by now, and sees to it
                deadline.watch = outer

    def wake(self) -> None:
        """Let who waits go on."""
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def stop(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.wake()

    def is_loop_closed(self) -> bool:
        """Whether nothing can be waited for any more."""
        return self._loop.is_closed()

    def _moved(self) -> None:
        if self._timer is None or self._deadline.at < self._timer_at:
            self._arm()
        if self._outer is not None:
            self._outer()

    def _arm(self) -> None:
        if self._timed is not self._future:
            self._timed, self._spent = self._future, 0.0
        if self._timer is not None:
            self._timer.cancel()
        now = self._now()
        self._delay = max(0.0, min(self._deadline.at - now, self._patience))
        self._timer_at = now + self._delay
        self._timer = self._loop.call_later(self._delay, self._look)

    def _look(self) -> None:
        self._timer = None
        future = self._future
        if future is None or future.done():
            self._timed = None
            return
        if self._timed is future:
            self._spent += self._delay
        if self._now() >= self._deadline.at or self._spent >= self._patience:
            self._timed = None
            future.set_result(False)
        else:
            self._arm()
