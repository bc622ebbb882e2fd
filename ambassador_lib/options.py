"""What a transport was asked for besides its policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pybreaker
    import tenacity

    from .runtime.base import Clock, Random
    from .runtime.control import ControlThread
    from .surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parameters of the contract's table, as the stack reads them.

    `as_response` is `local_replies="response"`, `idempotent_only` is `retry_safety="idempotent"`. `surroundings` are
    those of a twin (see `surroundings`), `None` otherwise.
    """

    as_response: bool
    idempotent_only: bool
    retry: tenacity.BaseRetrying | None
    breaker_listeners: Sequence[pybreaker.CircuitBreakerListener]
    breaker_storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None
    clock: Clock
    random: Random
    surroundings: Surroundings | None = None

    @property
    def control(self) -> ControlThread | None:
        """What runs discovery and health checks; `None` for the process's control thread."""
        return None if self.surroundings is None else self.surroundings.control

    def __post_init__(self) -> None:
        """Fail here, where the application is built, and not with the first call."""
        if self.retry is not None:
            from tenacity import BaseRetrying

            if not isinstance(self.retry, BaseRetrying):
                raise _wrong("retry", self.retry, "a tenacity.Retrying, or None")
        listeners: object = self.breaker_listeners
        if isinstance(listeners, str) or not isinstance(listeners, Iterable):
            raise _wrong("breaker_listeners", listeners, "a sequence of pybreaker.CircuitBreakerListener")
        # Kept as a tuple: every cluster's breaker goes through it.
        object.__setattr__(self, "breaker_listeners", tuple(listeners))
        for listener in self.breaker_listeners:
            if not _can(listener, "before_call", "failure", "success", "state_change"):
                raise _wrong("breaker_listeners", listener, "a pybreaker.CircuitBreakerListener")
        if self.breaker_storage is not None and not callable(self.breaker_storage):
            raise _wrong("breaker_storage", self.breaker_storage, "a function that takes a name, or None")
        if not _can(self.clock, "monotonic", "time", "sleep", "sleep_async"):
            raise _wrong("clock", self.clock, "an object with monotonic(), time(), sleep() and sleep_async()")
        if not _can(self.random, "random", "getrandbits"):
            raise _wrong("random", self.random, "an object with random() and getrandbits(), such as a random.Random")


def check_transport(parameter: str, transport: Any, method: str) -> None:
    """Raise `TypeError` where a transport is of the other kind, async for blocking or the other way round."""
    if transport is None or _can(transport, method):
        return
    kind = "AsyncBaseTransport" if method == "handle_async_request" else "BaseTransport"
    raise _wrong(parameter, transport, f"an httpx.{kind}")


def _can(value: object, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _wrong(parameter: str, value: object, wanted: str) -> TypeError:
    return TypeError(f"{parameter}={value!r}: must be {wanted}")
