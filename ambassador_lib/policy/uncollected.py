"""Reading without looking for garbage meanwhile."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Rest:
    """The collector's rest: from the first of those who read to the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._ran = False
        """Whether the collector ran before the first of them."""

    def begin(self) -> None:
        with self._lock:
            if not self._readers:
                self._ran = gc.isenabled()
                gc.disable()
            self._readers += 1

    def end(self) -> None:
        with self._lock:
            if self._readers:
                self._readers -= 1
                if not self._readers:
                    self._wake()

    def start_afresh(self) -> None:
        """In a forked child: threads that were reading are not here, and nobody else would wake the collector."""
        self._lock = threading.Lock()
        if self._readers:
            self._readers = 0
            self._wake()

    def _wake(self) -> None:
        if self._ran:
            gc.enable()


_rest = _Rest()


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the collector of cyclic garbage rest, where it runs, until nobody reads any more.

    Reading a policy makes hundreds of thousands of objects and no garbage among them; looking through all of them
    again and again takes as long as the reading. The first collection afterwards finds what is no longer needed.
    """
    _rest.begin()
    try:
        yield
    finally:
        _rest.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_rest.start_afresh)
