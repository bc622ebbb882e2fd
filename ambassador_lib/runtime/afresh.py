"""After `fork()`, in the child: only the forking thread is left, and calls of the others will never end there.

What they hold would be held for good: their places, the probes of half-open breakers, and, worse, locks. So each
cluster at work starts afresh, with what was learned about its hosts kept. Nothing is done in the parent, and no lock is
taken before the fork: another thread may be inside a user's breaker listener just then.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Protocol


class StartsAfresh(Protocol):
    """Something whose locks and counts a fork may have left in the middle of a change."""

    def start_afresh(self) -> None:
        """Forget what threads of the parent held."""


_living: weakref.WeakSet[StartsAfresh] = weakref.WeakSet()


def after_fork(each: StartsAfresh) -> None:
    """Have `each.start_afresh` called in every child process for as long as it lives."""
    _living.add(each)


class Anchor:
    """Stands there for an object that nothing can refer to weakly, as of compiled classes; which has to keep it."""

    def __init__(self, start_afresh: Callable[[], None]) -> None:
        self.start_afresh = start_afresh
        after_fork(self)


def _after_fork_in_child() -> None:
    for each in list(_living):
        each.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
