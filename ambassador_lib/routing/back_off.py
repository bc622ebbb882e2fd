"""How long to wait for the next try, as Envoy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from ..algorithms import backoff

if TYPE_CHECKING:
    from ..call import Call
    from .retry_rules import RetryRules


def back_off(
    call: Call, outcome: httpx.Response | BaseException, random: Callable[[], float], wall_clock: Callable[[], float]
) -> float:
    """Return the seconds: rate-limited back-off where the response asks for it, else exponential with full jitter
    (semantics 3.3, 3.4)."""
    rules: RetryRules = call.retry_rules
    if rules.reset_headers and isinstance(outcome, httpx.Response):
        asked = _asked_for(outcome, rules, wall_clock())
        if asked is not None:
            return backoff.half_jitter(asked, random)
    interval = backoff.exponential_interval(call.attempt.number, rules.base_interval, rules.max_interval)
    return backoff.full_jitter(interval, random)


def _asked_for(response: httpx.Response, rules: RetryRules, now: float) -> float | None:
    """The first reset header that says something usable; of a repeated header the first value counts."""
    values: dict[bytes, bytes] = {}
    for name, value in response.headers.raw:
        values.setdefault(name.lower(), value)
    return backoff.rate_limited_interval(
        (
            backoff.reset_interval(
                values.get(name, b"").decode("latin-1"), now, unix_timestamp=form == "UNIX_TIMESTAMP"
            )
            for name, form in rules.reset_headers
        ),
        rules.reset_max_interval,
    )
