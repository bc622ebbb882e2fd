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

    __slots__ = ("_afterwards", "_settle", "guard", "mail", "waiting")

    def __init__(self, settle: Callable[[], None], waiting: Sized) -> None:
        self._settle = settle
        self.waiting = waiting
        self.mail: deque[tuple[Callable[[T], None], T]] = deque()
        self._afterwards: list[Callable[[], None]] = []
        self.guard = threading.Lock()
        """The lock itself, for a section that makes no call: it must see that there is no mail, and nobody waiting
        where it gives back, and look for mail with `read_left_mail` after letting go."""

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *_: object) -> None:
        self.unlock()

    def lock(self) -> None:
        """Begin a locked section, as `with` does at twice the price; `unlock` must follow whatever happens."""
        self.guard.acquire()
        if self.mail:
            self._read_locked()

    def unlock(self) -> None:
        """End a locked section."""
        if self._afterwards:
            self._let_go()
        else:
            self.guard.release()
        if self.mail:
            self.read_left_mail()

    def post(self, change: Callable[[T], None], subject: T) -> None:
        """Have `change(subject)` done under the lock: now, or by whoever holds it."""
        if not self.guard.acquire(False):
            self.mail.append((change, subject))
            self.read_left_mail()
            return
        try:
            if self.mail:
                self._read_locked()
            change(subject)
            if self.waiting:
                self._settle()
        finally:
            self.unlock()

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do `work` after the lock was let go."""
        self._afterwards.append(work)

    def read_left_mail(self) -> None:
        """Do what was posted while the lock was held."""
        # Whoever fails to get the lock leaves its mail to the holder, who passes here after letting go.
        while self.mail and self.guard.acquire(False):
            try:
                self._read_locked()
            finally:
                self._let_go()

    def _read_locked(self) -> None:
        while self.mail:
            change, subject = self.mail.popleft()
            change(subject)
        if self.waiting:
            self._settle()

    def _let_go(self) -> None:
        afterwards, self._afterwards = self._afterwards, []
        self.guard.release()
        for work in afterwards:
            work()
