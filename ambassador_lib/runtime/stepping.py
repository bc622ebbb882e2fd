"""Running a coroutine of the blocking runtime, which never suspends."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from .._native import mypyc_attr

T = TypeVar("T")


@mypyc_attr(native_class=False)  # mypyc makes no exceptions
class SuspendedInSyncCallError(RuntimeError):
    """A coroutine waited for an event loop inside a blocking call: a handler awaited something of its own."""


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, to its end, on this thread."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    work.close()
    raise SuspendedInSyncCallError(f"{work!r} suspended inside a blocking call")
