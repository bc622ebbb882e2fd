"""A lock for counts that are given back from anywhere.

Giving back must never block, nor meet its own lock: it may run in the `finally` of an abandoned coroutine that the
garbage collector ends while this very thread is inside a locked section. Therefore it is posted as mail. Whoever holds
the lock reads the mail before going by the counts, and looks again after letting go.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

T = TypeVar("T")


class Mailbox(Generic[T]):
    """`with mailbox:` is the locked section; `post` has something done to a `T` in one.

    `settle` is called under the lock after posted changes were made, if anybody is `waiting` then. What is set down
    with `afterwards` inside a locked section is done as soon as the lock is free.
    """

    __slots__ = ("_afterwards", "_lock", "_mail", "_settle", "_waiting")

    def __init__(self, settle: Callable[[], None], waiting: Sized) -> None:
        self._settle = settle
        self._waiting = waiting
        self._mail: deque[tuple[Callable[[T], None], T]] = deque()
        self._afterwards: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *_: object) -> None:
        self.unlock()

    def lock(self) -> None:
        """Begin a locked section, as `with` does at twice the price; `unlock` must follow whatever happens."""
        self._lock.acquire()
        if self._mail:
            self._read_locked()

    def unlock(self) -> None:
        """End a locked section."""
        if self._afterwards:
            self._let_go()
        else:
            self._lock.release()
        if self._mail:
            self._read_left_mail()

    def post(self, change: Callable[[T], None], subject: T) -> None:
        """Have `change(subject)` done under the lock: now, or by whoever holds it."""
        if not self._lock.acquire(False):
            self._mail.append((change, subject))
            self._read_left_mail()
            return
        try:
            if self._mail:
                self._read_locked()
            change(subject)
            if self._waiting:
                self._settle()
        finally:
            self.unlock()

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do `work` after the lock was let go."""
        self._afterwards.append(work)

    def _read_left_mail(self) -> None:
        # Whoever fails to get the lock leaves its mail to the holder, who passes here after letting go.
        while self._mail and self._lock.acquire(False):
            try:
                self._read_locked()
            finally:
                self._let_go()

    def _read_locked(self) -> None:
        while self._mail:
            change, subject = self._mail.popleft()
            change(subject)
        if self._waiting:
            self._settle()

    def _let_go(self) -> None:
        afterwards, self._afterwards = self._afterwards, []
        self._lock.release()
        for work in afterwards:
            work()
