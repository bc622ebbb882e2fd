"""What users have a breaker tell: pybreaker's listeners."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pybreaker

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("ambassador_lib.breaker")


class Guarded(pybreaker.CircuitBreakerListener):
    """A user's listener whose mistakes stay its own: one that raises must not stop a change of state half way."""

    def __init__(self, listener: pybreaker.CircuitBreakerListener) -> None:
        self._listener = listener

    def before_call(self, cb: pybreaker.CircuitBreaker, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._try(self._listener.before_call, cb, func, *args, **kwargs)

    def failure(self, cb: pybreaker.CircuitBreaker, exc: BaseException) -> None:
        self._try(self._listener.failure, cb, exc)

    def success(self, cb: pybreaker.CircuitBreaker) -> None:
        self._try(self._listener.success, cb)

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._try(self._listener.state_change, cb, old_state, new_state)

    @staticmethod
    def _try(notify: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            notify(*args, **kwargs)
        except Exception:  # noqa: BLE001 - whatever a listener does wrong
            _log.exception("a breaker listener failed")
