"""A gate: closed while something warms up, opened once, and waited for through tickets."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from .base import Ticket


class Gate:
    """Opened once, from any thread; read on the call path as a plain attribute.

    It takes no lock (both operations on the deque are atomic), so it can be opened while a fork or a finalizer runs.
    """

    __slots__ = ("_tickets", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._tickets: deque[Ticket] = deque()

    def open(self) -> None:
        """Let everybody through from now on, and wake whoever waits."""
        self.is_open = True
        self._wake()

    def add(self, ticket: Ticket) -> None:
        """Have `ticket` woken when the gate opens; at once when it is open."""
        self._tickets.append(ticket)
        # Appended first, asked second: either this sees the open gate, or `open` sees the ticket.
        if self.is_open:
            self._wake()

    def discard(self, ticket: Ticket) -> None:
        """Forget a ticket whose owner waits no longer."""
        with suppress(ValueError):
            self._tickets.remove(ticket)

    def _wake(self) -> None:
        while True:
            try:
                ticket = self._tickets.popleft()
            except IndexError:
                return
            ticket.wake()

    def __repr__(self) -> str:
        return f"<Gate {'open' if self.is_open else 'closed'}, {len(self._tickets)} waiting>"
