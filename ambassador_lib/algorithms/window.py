"""A sliding count of successes and failures: the error rate that a cluster's breaker looks at."""

from __future__ import annotations

DEFAULT_BUCKETS = 100


class ErrorRateWindow:
    """What happened within the last `length` seconds, to a hundredth of it. Not thread-safe.

    Time is cut into buckets; one that has wholly left the window is forgotten. `now` never needs to be exact: a time
    before the last one counts as the last one.
    """

    __slots__ = ("_buckets", "_failures", "_length", "_newest", "_requests", "failures", "requests")

    def __init__(self, length: float, buckets: int = DEFAULT_BUCKETS) -> None:
        self._buckets = buckets
        self._length = length
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._requests = [0] * self._buckets
        self._failures = [0] * self._buckets
        self._newest: int | None = None
        self.requests = 0
        """Requests in the window as of the last `record`."""
        self.failures = 0
        """Those of them that failed."""

    def record(self, now: float, *, failed: bool) -> None:
        """Count one request."""
        bucket = int(now * self._buckets / self._length)  # `now // (length / buckets)` is one short: 10.0 // 0.1
        if bucket != self._newest:
            bucket = self._reach(bucket)
        index = bucket % self._buckets
        self._requests[index] += 1
        self.requests += 1
        if failed:
            self._failures[index] += 1
            self.failures += 1

    def add_successes(self, count: int) -> None:
        """Count requests that did not fail, all in the newest bucket; there was a `record` before."""
        assert self._newest is not None, "a bucket ends when something was counted in it"
        self._requests[self._newest % self._buckets] += count
        self.requests += count

    @property
    def newest_ends(self) -> float:
        """Until when `record` counts in the bucket of the last one."""
        return 0.0 if self._newest is None else (self._newest + 1) * self._length / self._buckets

    def _reach(self, bucket: int) -> int:
        """Let time be in that bucket, or later; returns the bucket where it is."""
        if self._newest is None:
            self._newest = bucket
        if bucket <= self._newest:
            return self._newest
        for passed in range(min(bucket - self._newest, self._buckets)):
            index = (bucket - passed) % self._buckets
            self.requests -= self._requests[index]
            self.failures -= self._failures[index]
            self._requests[index] = self._failures[index] = 0
        self._newest = bucket
        return bucket

    def reaches(self, rate: float, minimum: int) -> bool:
        """Whether at least `minimum` requests are in the window and the share `rate` of them, at least one, failed."""
        return self.requests >= minimum and self.failures > 0 and self.failures >= rate * self.requests

    def __repr__(self) -> str:
        return f"<ErrorRateWindow {self.failures}/{self.requests}>"
