"""What the application's own `tenacity.Retrying` says of a failed try.

Imported where there is one: tenacity takes 5 to 20 ms, of an event loop too, and up to 1 MB; a policy needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import tenacity

if TYPE_CHECKING:
    from ..call import Call

NO_OPINION = (tenacity.Retrying().retry, tenacity.AsyncRetrying().retry)
"""tenacity's own default, exceptions only: who passes `Retrying(stop=...)` has said nothing of which outcomes."""


class Opinion:
    """On one failed try, by its strategies; its loop, which would cost every call 8 to 20 µs, is never entered."""

    def __init__(
        self, application: tenacity.BaseRetrying, call: Call, outcome: httpx.Response | BaseException, now: float
    ) -> None:
        self._application = application
        # What strategies look at, with the injected clock's times in it.
        self._state = state = tenacity.RetryCallState(application, None, (call,), {})
        state.start_time = call.started
        state.attempt_number = call.attempt.number
        if isinstance(outcome, httpx.Response):
            state.set_result(outcome)
        else:
            state.set_exception((type(outcome), outcome, outcome.__traceback__))
        state.outcome_timestamp = now

    def refusal(self) -> str | None:
        """Return why the application does not want another try, `None` if it does."""
        if self._application.stop(self._state):
            return "the application's retry= stops"
        if self._application.retry not in NO_OPINION and not self._application.retry(self._state):
            return "the application's retry= does not want it"
        return None

    def wait(self) -> float:
        """Return how long the application would wait for the next try, in seconds."""
        return float(self._application.wait(self._state))
