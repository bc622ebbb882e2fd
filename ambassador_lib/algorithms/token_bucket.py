"""A bucket that is filled a bit at a time: how Envoy limits rates (semantics 9.3)."""

from __future__ import annotations

from math import ceil


class TokenBucket:
    """Holds up to `most` tokens, full at first; `rate` come in each second. Not thread-safe.

    `now` never needs to be exact: a time before the last one counts as the last one.
    """

    __slots__ = ("_at", "_tokens", "most", "rate")

    def __init__(self, most: int, rate: float, now: float, *, tokens: float | None = None) -> None:
        self.most = most
        self.rate = rate
        self._tokens = float(most if tokens is None else tokens)
        self._at = now

    def take(self, now: float, count: int = 1) -> bool:
        """Take so many tokens, or none where there are not enough."""
        self._fill(now)
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def take_up_to(self, now: float, count: int) -> int:
        """Take as many whole tokens as there are, `count` at most."""
        self._fill(now)
        taken = min(count, int(self._tokens))
        self._tokens -= taken
        return taken

    def left(self, now: float) -> int:
        """Return how many whole tokens there are."""
        self._fill(now)
        return int(self._tokens)

    def next_in(self, now: float) -> int:
        """Return the whole seconds until there is a token, rounded up; 0 if there is one."""
        self._fill(now)
        return 0 if self._tokens >= 1 else ceil((1 - self._tokens) / self.rate - 1e-9)

    def _fill(self, now: float) -> None:
        if now > self._at:
            # The last part of a token must not be lost in a float: 10 * 0.1 s at 1/s is one.
            self._tokens = min(self.most, self._tokens + (now - self._at) * self.rate)
            if (rounded := round(self._tokens)) > 0 and abs(self._tokens - rounded) < 1e-9:
                self._tokens = float(rounded)
            self._at = now
