"""tenacity's strategies: what they say of a failed try, Envoy's back-off and the application's own joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import tenacity
from tenacity.wait import wait_base

from ..algorithms import backoff

if TYPE_CHECKING:
    from ..call import Call
    from ..runtime.base import Random
    from .retry_rules import RetryRules

NO_OPINION = (tenacity.Retrying().retry, tenacity.AsyncRetrying().retry)
"""tenacity's own default, exceptions only: who passes `Retrying(stop=...)` has said nothing of which outcomes."""


class Strategies:
    """Those of the policy and, if there is one, of the application's `tenacity.Retrying`."""

    def __init__(
        self, application: tenacity.BaseRetrying | None, random: Random, wall_clock: Callable[[], float]
    ) -> None:
        self._application = application
        self._wait: wait_base = EnvoyBackOff(random, wall_clock)
        if application is not None:
            self._wait = LongerWait(self._wait, application.wait)
        # Only carries the strategies: its loop, which would cost every call 8 to 20 µs, is never entered.
        self._retrying = tenacity.Retrying(wait=self._wait)

    def state(self, call: Call, outcome: httpx.Response | BaseException, now: float) -> tenacity.RetryCallState:
        """Return what strategies look at, with the injected clock's times in it."""
        state = tenacity.RetryCallState(self._retrying, None, (call,), {})
        state.start_time = call.started
        state.attempt_number = call.attempt.number
        if isinstance(outcome, httpx.Response):
            state.set_result(outcome)
        else:
            state.set_exception((type(outcome), outcome, outcome.__traceback__))
        state.outcome_timestamp = now
        return state

    def refusal(self, state: tenacity.RetryCallState) -> str | None:
        """Return why the application does not want another try, `None` if it does."""
        if self._application is None:
            return None
        if self._application.stop(state):
            return "the application's retry= stops"
        if self._application.retry not in NO_OPINION and not self._application.retry(state):
            return "the application's retry= does not want it"
        return None

    def wait(self, state: tenacity.RetryCallState) -> float:
        """Return how long to wait for the next try, in seconds."""
        return float(self._wait(state))


class EnvoyBackOff(wait_base):
    """Rate-limited back-off where the response asks for it, else exponential with full jitter (semantics 3.3, 3.4)."""

    def __init__(self, random: Random, wall_clock: Callable[[], float]) -> None:
        self._random = random.random
        self._wall_clock = wall_clock

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        rules = retry_state.args[0].retry_rules
        outcome = retry_state.outcome
        if rules.reset_headers and outcome is not None and not outcome.failed:
            asked = self._asked_for(outcome.result(), rules)
            if asked is not None:
                return backoff.half_jitter(asked, self._random)
        interval = backoff.exponential_interval(retry_state.attempt_number, rules.base_interval, rules.max_interval)
        return backoff.full_jitter(interval, self._random)

    def _asked_for(self, response: httpx.Response, rules: RetryRules) -> float | None:
        """The first reset header that says something usable; of a repeated header the first value counts."""
        values: dict[bytes, bytes] = {}
        for name, value in response.headers.raw:
            values.setdefault(name.lower(), value)
        now = self._wall_clock()
        return backoff.rate_limited_interval(
            (
                backoff.reset_interval(
                    values.get(name, b"").decode("latin-1"), now, unix_timestamp=form == "UNIX_TIMESTAMP"
                )
                for name, form in rules.reset_headers
            ),
            rules.reset_max_interval,
        )


class LongerWait(wait_base):
    """The longer of two waits."""

    def __init__(self, ours: wait_base, theirs: Callable[[tenacity.RetryCallState], float]) -> None:
        self._ours = ours
        self._theirs = theirs

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        return max(float(self._ours(retry_state)), float(self._theirs(retry_state)))
