"""What one try was allowed by `Limits`: its `Verdict`, its `Grant`, and the host's connections it is about.

The counts in here are changed by `Limits` alone, under its lock. Requests in the states of a `Verdict` hold:

    GO        a busy connection (HTTP/1.1) and an active request
    CONNECT   a connection in the making and a pending request, until `Grant.connected`
    WAIT      a pending request and a place in the host's queue
    others    nothing
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import TYPE_CHECKING

from ..call import Place
from ..errors import again

if TYPE_CHECKING:
    from ..runtime.base import Ticket
    from .limits import Limits


class Verdict(enum.Enum):
    """What a request may do."""

    GO = enum.auto()
    """Send it: a connection is idle (or takes more streams), or connections are not counted."""
    CONNECT = enum.auto()
    """Send it on a new connection, and call `Grant.connected` when that is there."""
    WAIT = enum.auto()
    """Wait for `Grant.ticket`, then look at the verdict again."""
    PENDING_OVERFLOW = enum.auto()
    """Refused: `max_pending_requests`."""
    REQUESTS_OVERFLOW = enum.auto()
    """Refused: `max_requests`."""
    POOLS_OVERFLOW = enum.auto()
    """Refused: `max_connection_pools`."""
    FAILED = enum.auto()
    """The connection that the request waited for could not be made: `Grant.failure` says why."""
    ENDED = enum.auto()
    """Released."""


GO, WAIT, ENDED = Verdict.GO, Verdict.WAIT, Verdict.ENDED
"""Those that nearly every request has; an enum's members are slow to look up."""


class HostLimits(Place):
    """The connections to one host, and who waits for one. The engine's gauge for that host."""

    __slots__ = ("_limits", "busy", "connecting", "drains", "key", "open", "queue", "reserved", "retired")

    def __init__(self, limits: Limits, key: str) -> None:
        self._limits = limits
        self.key = key
        self.open = 0
        """Established connections."""
        self.busy = 0
        """Requests in state GO; over HTTP/1.1 each has a connection."""
        self.connecting = 0
        """Requests in state CONNECT."""
        self.reserved = 0
        """Established connections that belong to one of those, which has not said `connected` yet."""
        self.queue: OrderedDict[Grant, None] = OrderedDict()
        self.retired = False
        """Whether the cluster has the host no longer."""
        self.drains = 0
        """How often the host has failed: what was connected before is given up."""

    def opened(self) -> None:
        """Count a connection that was established."""
        self._limits.mailbox.post(HostLimits._opened_locked, self)

    def closed(self) -> None:
        """Count a connection no longer: it was closed."""
        self._limits.mailbox.post(HostLimits._closed_locked, self)

    def take(self, *, multiplexed: bool) -> bool:
        """Use an established connection, as a `Grant` that says GO does: `release` gives it back.

        False where there is none at hand: then `Limits.admit` decides. Nearly every request takes this way, which
        makes no object and no call under the lock.
        """
        limits = self._limits
        mailbox = limits.mailbox
        mailbox.guard.acquire()
        try:
            taken = (
                self.open > (self.reserved if multiplexed else self.busy + self.reserved)
                and limits.active < limits.max_requests
                and not mailbox.mail
                and not self.retired
            )
            if taken:
                limits.active += 1
                self.busy += 1
        finally:
            mailbox.guard.release()
        if mailbox.mail:
            mailbox.read_left_mail()
        return taken

    def release(self) -> None:
        """Give back what `take` took, from any thread."""
        limits = self._limits
        mailbox = limits.mailbox
        is_told = True
        if mailbox.guard.acquire(False):
            try:
                is_told = bool(mailbox.mail or mailbox.waiting)
                if not is_told:
                    limits.active -= 1
                    self.busy -= 1
            finally:
                mailbox.guard.release()
        if is_told:
            mailbox.post(HostLimits._release_locked, self)
        elif mailbox.mail:
            mailbox.read_left_mail()

    @property
    def in_use(self) -> bool:
        """Whether it has connections, or anybody waits for one."""
        return self.open > 0 or self.connecting > 0 or bool(self.queue)

    @property
    def connections(self) -> int:
        """Connections established and in the making."""
        return self.open + self.connecting - self.reserved

    @property
    def idle(self) -> int:
        """Established connections (HTTP/1.1) that nobody uses."""
        return self.open - self.busy - self.reserved

    def _release_locked(self) -> None:
        self._limits.active -= 1
        self.busy -= 1

    def _opened_locked(self) -> None:
        self.change_locked(open=1, reserved=1)

    def _closed_locked(self) -> None:
        self.change_locked(open=-1)

    def change_locked(self, *, open: int = 0, connecting: int = 0, reserved: int = 0) -> None:
        """Add to the counts, and keep the cluster's in step; no more is reserved than there is, and is asked for."""
        before = self.connections
        self.open += open
        self.connecting += connecting
        self.reserved = max(0, min(self.reserved + reserved, self.connecting, self.open))
        self._limits.connections += self.connections - before

    def __repr__(self) -> str:
        return (
            f"<HostLimits {self.key} open={self.open} busy={self.busy} connecting={self.connecting}"
            f" waiting={len(self.queue)}>"
        )


class Grant(Place):
    """What one try was allowed, and has to `release` when its body has ended, it failed, or it was cancelled."""

    __slots__ = ("_limits", "counted", "failure", "host", "multiplexed", "number", "ticket", "verdict")

    def __init__(self, limits: Limits, host: HostLimits, *, multiplexed: bool, counted: bool) -> None:
        self.verdict = WAIT
        self.ticket: Ticket | None = None
        """To wait for while the verdict is WAIT."""
        self.failure: BaseException | None = None
        self.host = host
        self.multiplexed = multiplexed
        self.counted = counted
        """Whether connections are modelled."""
        self.number = 0
        self._limits = limits

    @property
    def refused(self) -> bool:
        """Whether a threshold was full."""
        return self.verdict in (Verdict.PENDING_OVERFLOW, Verdict.REQUESTS_OVERFLOW, Verdict.POOLS_OVERFLOW)

    def connected(self) -> bool:
        """Use the connection that is in hand; False where `max_requests` is full, so that nothing may be sent on it.

        May be called for every verdict that lets the request through, and again.
        """
        return self.verdict is GO or self._limits.connected(self)

    def connect_failed(self, error: BaseException) -> None:
        """Release since the new connection could not be made, and fail all that wait for one to this host.

        Envoy fails a pool's pending requests together; to try them one after the other would keep the last waiting for
        as many connect timeouts as there are requests.
        """
        self.failure = again(error)  # a copy: `error` goes on to be this call's own reply
        self._limits.mailbox.post(self._limits.fail_locked, self)

    def release(self) -> None:
        """Give everything back; safe to call again, from any thread, and while waiting."""
        if self.verdict is not ENDED:
            self._limits.mailbox.post(self._limits.release_locked, self)

    def __repr__(self) -> str:
        return f"<Grant {self.verdict.name} {self.host.key}>"
