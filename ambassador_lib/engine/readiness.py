"""Asking the system whether a socket is ready, with `poll` where there is one."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from math import ceil
from typing import Any

READABLE = getattr(select, "POLLIN", 1)
WRITABLE = getattr(select, "POLLOUT", 4)
HUNG_UP = getattr(select, "POLLRDHUP", 0)
"""Tells of a peer's FIN behind unread bytes; Linux only, elsewhere nothing does."""


class Watch:
    """Whether any of `events` has come: `is_ready` for who asks again and again.

    Cheaper for one thread at a time, and no dearer for those beside it.
    """

    def __init__(self, sock: socket.socket, events: int) -> None:
        self._sock = sock
        self._events = events
        self._poll: Callable[[int], object] | None = None
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock.fileno(), events)
            self._poll = poll.poll
        self._is_over = False

    def until(self, seconds: float) -> bool:
        """Wait for so many seconds at most; tell whether anything has come."""
        if self._is_over:
            return True
        poll = self._poll
        if poll is None:
            return is_ready(self._sock, self._events, seconds)
        try:
            return bool(poll(ceil(seconds * 1000) if seconds > 0 else 0))  # none at all would be for ever
        except RuntimeError:  # another thread waits by it: one looks at a connection of HTTP/2 where the other reads
            return is_ready(self._sock, self._events, max(0.0, seconds))

    def end(self) -> None:
        """The socket is about to be closed: whoever uses it finds out, and its descriptor may be another's then."""
        self._is_over = True


def is_ready(sock: socket.socket, events: int, seconds: float = 0.0) -> bool:
    """Wait for any of `events`; errors and hang-ups count always, and so does a socket that is closed."""
    descriptor = sock.fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):
        return _select(descriptor, events, seconds)
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(ceil(seconds * 1000)))


def has_hung_up(sock: socket.socket) -> bool:
    """Whether the peer has closed its side; where the system tells of no end behind unread bytes, once those are read.

    `sock` does not block.
    """
    if HUNG_UP:
        return is_ready(sock, HUNG_UP)
    try:
        return is_ready(sock, READABLE) and not socket.socket.recv(sock, 1, socket.MSG_PEEK)  # TLS' own has no flags
    except BlockingIOError:
        return False
    except OSError:
        return True


def has_input(sock: socket.socket) -> bool:
    """Whether a read would return at once."""
    return is_ready(sock, READABLE | HUNG_UP)


def _select(descriptor: int, events: int, seconds: float) -> bool:
    watched: list[Any] = [descriptor]
    readers = watched if events & READABLE else []
    writers = watched if events & WRITABLE else []
    try:
        return bool(readers or writers) and any(select.select(readers, writers, watched, max(0.0, seconds)))
    except OSError:  # closed meanwhile
        return True
