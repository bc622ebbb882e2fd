"""What a transport was asked for besides its policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pybreaker
    import tenacity

    from .runtime.base import Clock, Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parameters of the contract's table, as the stack reads them.

    `as_response` is `local_replies="response"`, `idempotent_only` is `retry_safety="idempotent"`.
    """

    as_response: bool
    idempotent_only: bool
    retry: tenacity.BaseRetrying | None
    breaker_listeners: Sequence[pybreaker.CircuitBreakerListener]
    breaker_storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None
    clock: Clock
    random: Random
