"""Something that is made when it is first needed, by whichever thread needs it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Keeps the first thing that `make` returns; `drop` is given what a thread made that came second.

    It takes no lock, which a forked child might find held for good: `setdefault` is atomic.
    """

    __slots__ = ("_drop", "_kept", "_make")

    def __init__(self, make: Callable[[], T], drop: Callable[[T], None] | None = None) -> None:
        self._make = make
        self._drop = drop
        self._kept: dict[str, T] = {}

    def get(self) -> T:
        """Return it, made now if nobody has yet."""
        if "it" not in self._kept:
            made = self._make()
            if self._kept.setdefault("it", made) is not made and self._drop is not None:
                self._drop(made)
        return self._kept["it"]

    @property
    def made(self) -> T | None:
        """What was made, `None` where nobody has asked yet."""
        return self._kept.get("it")
