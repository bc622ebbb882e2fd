"""After `fork()`, in the child: the parent goes on using the connections that were open.

What starts afresh (`runtime.afresh`) has done so by then: gauges are told of each connection, under locks of theirs.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from ..runtime import afresh  # noqa: F401 - its hook is to be the first

if TYPE_CHECKING:
    from .pool import Pool


class Inheritance:
    """A pool's connections, as a child comes into them; whoever has the pool keeps this. Compiled classes have no
    weak references."""

    __slots__ = ("__weakref__", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        _living.add(self)

    def forget(self) -> None:
        """Let go of the parent's connections, without a word to the peers."""
        for pooled in self._pool.forget():
            pooled.uncount()
            pooled.connection.wire.forget()


_living: weakref.WeakSet[Inheritance] = weakref.WeakSet()


def _after_fork() -> None:
    for inheritance in list(_living):
        inheritance.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
