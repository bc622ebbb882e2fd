"""How many retries may run at a time (`CircuitBreakers.Thresholds.RetryBudget`; semantics 3.5)."""

from __future__ import annotations

DEFAULT_PERCENT = 20.0
DEFAULT_MIN_CONCURRENCY = 3


def retry_limit(requests: int, percent: float = DEFAULT_PERCENT, minimum: int = DEFAULT_MIN_CONCURRENCY) -> int:
    """Return the number of concurrent retries that a budget allows.

    `requests` is the number of active and pending requests; a request that has just failed and asks for its retry
    still counts as active.
    """
    return max(minimum, int(percent * requests / 100))
