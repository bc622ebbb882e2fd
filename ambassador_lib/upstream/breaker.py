"""The cluster's breaker: closed, open and half-open by error rate (`policy.CircuitBreaker`; Envoy has none).

pybreaker is the state machine: its states, listeners and storages are what users know. Only `open`, `half_open` and
`close` are asked of it. The error rate, the admission of probes and the time of recovery are ours, because pybreaker
counts consecutive failures, holds its lock while a request runs, and reads the wall clock.

The request path reads `_state` without a lock. A storage that users pass in may be I/O: it is read and written by
`sync_storage` alone, which the control thread calls; pybreaker itself always works on memory.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pybreaker

from ..algorithms.window import ErrorRateWindow
from .breaker_listener import Guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..policy.model.cluster import CircuitBreaker
    from ..runtime.base import Clock

CLOSED: str = pybreaker.STATE_CLOSED
OPEN: str = pybreaker.STATE_OPEN
HALF_OPEN: str = pybreaker.STATE_HALF_OPEN


class Permit:
    """One try that the breaker let through: exactly one of its verbs is to be said.

    Of a probe's the first one counts. The tries of a closed breaker, nearly all there are, share one permit.
    """

    __slots__ = ("_breaker", "_undecided", "epoch", "probe")

    def __init__(self, breaker: ClusterBreaker, epoch: int, probe: bool = False) -> None:  # noqa: FBT001, FBT002
        self._breaker = breaker
        self.epoch = epoch
        """Which of the breaker's states it belongs to: a verdict that comes late must not judge the next one."""
        self.probe = probe
        self._undecided = True

    def decide(self) -> bool:
        """Whether this is the first verb; said under the breaker's lock."""
        undecided, self._undecided = self._undecided, False
        return undecided

    def success(self, now: float) -> None:
        """Say that the upstream answered, and well."""
        self._breaker.succeeded(self, now)

    def failure(self, now: float, error: BaseException | None = None) -> None:
        """Say that the try failed: with `error`, or (`None`) with a status that counts as failure."""
        self._breaker.settle(self, now, error or pybreaker.CircuitBreakerError("the upstream answered with a failure"))

    def abandon(self) -> None:
        """Say that there will be no verdict (cancelled, refused before it was sent): a probe's place is free again."""
        self._breaker.abandon(self)


class ClusterBreaker:
    """The breaker of one cluster; thread-safe and exact: no probe too many, no verdict counted twice.

    `storage` is the user's, shared with other processes perhaps. Listeners are called while the breaker is locked, in
    the order of what happened; one that raises is logged and changes nothing.
    """

    def __init__(
        self,
        name: str,
        policy: CircuitBreaker,
        *,
        clock: Clock,
        listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        storage: pybreaker.CircuitBreakerStorage | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        self._clock = clock
        self._shared = storage
        self._memory = pybreaker.CircuitMemoryStorage(CLOSED)
        self._listeners = tuple(Guarded(listener) for listener in listeners)
        self._machine = self._new_machine()
        self._window = ErrorRateWindow(policy.window)
        self._successes_apart = 0
        """What the window has not been told of yet."""
        self._permit_apart: Permit | None = None
        """Whose successes are counted apart: that of a closed breaker without a failure in its window."""
        self._apart_until = 0.0
        self._has_counted = False
        """Whether pybreaker's counter may be other than 0."""
        self._state: str = CLOSED
        self._epoch = 0
        self._permit = Permit(self, 0)
        """What a closed breaker lets through."""
        self.at_hand: Permit | None = None if self._listeners else self._permit
        """What `admit` would return in any case: the breaker is closed, and nobody is told of calls."""
        self._retry_at = 0.0
        self._probes = 0
        self._successes = 0
        self._seen: str = CLOSED
        self._synced_epoch = 0
        # Reentrant: a listener may ask the breaker, and the garbage collector may end an abandoned probe in here.
        self._lock = threading.RLock()

    def _new_machine(self) -> pybreaker.CircuitBreaker:
        return pybreaker.CircuitBreaker(
            name=self.name,
            fail_max=self.policy.minimum_requests,
            reset_timeout=self.policy.open_for,
            success_threshold=self.policy.success_threshold,
            state_storage=self._memory,
            listeners=self._listeners,
        )

    def start_afresh(self) -> None:
        """In a forked child: keep the state, but no lock, and no probe, of a thread that is not here."""
        self._lock = threading.RLock()
        self._machine = self._new_machine()  # has a lock of its own
        in_step = self._synced_epoch == self._epoch
        self._next_epoch_locked(self._state)
        if in_step:  # nothing has happened that others should know
            self._synced_epoch = self._epoch
        self._probes = 0

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`: an open breaker whose time has passed is half-open from the next try on."""
        return self._state

    @property
    def shares_storage(self) -> bool:
        """Whether somebody has to call `sync_storage` from time to time."""
        return self._shared is not None

    def admit(self, now: float) -> Permit | None:
        """Let one try through, or not: `None` while the breaker is open or its probes are all under way."""
        if self._state == CLOSED:
            permit = self._permit
        else:
            with self._lock:
                probe = self._admit_locked(now)
            if probe is None:
                return None
            permit = probe
        for listener in self._listeners:
            listener.before_call(self._machine, self.admit)
        return permit

    def succeeded(self, permit: Permit, now: float) -> None:
        """Count a success.

        Nearly all of them add one to a number, without a lock: that is done in one go (as in `statistics.Counters`).
        The window is told of it with the first verdict that is another, or falls into another of its buckets.
        """
        if permit is self._permit_apart and now < self._apart_until:
            self._successes_apart += 1
        else:
            self.settle(permit, now, None)

    def settle(self, permit: Permit, now: float, error: BaseException | None) -> None:
        """Count a permit's verdict; `error` is `None` for a success."""
        with self._lock:
            window = self._window
            apart, self._successes_apart = self._successes_apart, 0
            if apart:
                window.add_successes(apart)
            if not self._is_counted_locked(permit, now, error):
                return
            window.record(now, failed=error is not None)
            if window.reaches(self.policy.failure_rate, self.policy.minimum_requests):
                self._open_locked(now + self.policy.open_for)
            self._permit_apart = None if window.failures or self._has_counted else self.at_hand
            self._apart_until = window.newest_ends

    def abandon(self, permit: Permit) -> None:
        """Forget a permit."""
        if not permit.probe:
            return
        with self._lock:
            if permit.decide() and permit.epoch == self._epoch:
                self._probes -= 1

    def sync_storage(self, now: float) -> None:
        """Tell the user's storage of our changes, or else take over what others wrote there. One caller at a time.

        What changed here since the last time wins, since it is the fresher knowledge. Whatever the storage raises is
        raised; the next call tries again.
        """
        shared = self._shared
        if shared is None:
            return
        with self._lock:
            epoch, state, opened_at = self._epoch, self._state, self._memory.opened_at
        if epoch != self._synced_epoch:
            if state == OPEN and opened_at is not None:
                shared.opened_at = opened_at
            shared.state = state
            self._synced_epoch, self._seen = epoch, state
            return
        theirs = shared.state
        if theirs != self._seen:
            remaining = self._remaining(shared.opened_at) if theirs == OPEN else 0.0
            with self._lock:
                if self._epoch == epoch:
                    self._adopt_locked(theirs, now + remaining)
                    self._synced_epoch = self._epoch
                    self._seen = theirs

    def _admit_locked(self, now: float) -> Permit | None:
        if self._state == OPEN:
            if now < self._retry_at:
                return None
            self._half_open_locked()
        if self._state == HALF_OPEN:
            if self._probes >= self.policy.half_open_requests:
                return None
            self._probes += 1
            return Permit(self, self._epoch, probe=True)
        return self._permit  # closed in the meantime

    def _is_counted_locked(self, permit: Permit, now: float, error: BaseException | None) -> bool:
        """Tell of a verdict; False where it is not one of those that a closed breaker counts."""
        if permit.probe and not permit.decide():
            return False
        if error is not None or self._has_counted or self._listeners or self._state != CLOSED:
            self._tell_locked(error)
        if permit.epoch != self._epoch:
            return False
        if permit.probe:
            self._settle_probe_locked(now, failed=error is not None)
            return False
        return self._state == CLOSED

    def _settle_probe_locked(self, now: float, *, failed: bool) -> None:
        self._probes -= 1
        if failed:
            self._open_locked(now + self.policy.open_for)
            return
        self._successes += 1
        if self._successes >= self.policy.success_threshold:
            self._close_locked()

    def _open_locked(self, retry_at: float) -> None:
        self._retry_at = retry_at
        self._begin_locked(OPEN)
        self._machine.open()
        # pybreaker wrote the real time; other processes are to read the injected one.
        self._memory.opened_at = datetime.fromtimestamp(self._clock.time(), UTC)

    def _half_open_locked(self) -> None:
        self._begin_locked(HALF_OPEN)
        self._machine.half_open()

    def _close_locked(self) -> None:
        self._begin_locked(CLOSED)
        self._machine.close()

    def _begin_locked(self, state: str) -> None:
        """Begin a state: permits of the last one count no longer."""
        self._next_epoch_locked(state)
        self._probes = self._successes = 0
        self._window.clear()
        self._successes_apart = 0

    def _next_epoch_locked(self, state: str) -> None:
        self._epoch += 1
        self._state = state
        self._permit_apart = None
        self._permit = Permit(self, self._epoch)
        self.at_hand = self._permit if state == CLOSED and not self._listeners else None

    def _adopt_locked(self, state: str, retry_at: float) -> None:
        if state == self._state:
            return
        if state == OPEN:
            self._open_locked(retry_at)
        elif state == HALF_OPEN:
            self._half_open_locked()
        elif state == CLOSED:
            self._close_locked()

    def _remaining(self, opened_at: datetime | None) -> float:
        """Return how long a breaker that another process opened stays open."""
        if opened_at is None:
            return self.policy.open_for
        return min(self.policy.open_for, max(0.0, opened_at.timestamp() + self.policy.open_for - self._clock.time()))

    def _tell_locked(self, error: BaseException | None) -> None:
        """Keep pybreaker's counters, and tell the listeners."""
        self._has_counted = error is not None
        if error is None:
            if self._memory.counter:
                self._memory.reset_counter()
            if self._state == HALF_OPEN:
                self._memory.increment_success_counter()
            for listener in self._listeners:
                listener.success(self._machine)
        else:
            self._memory.increment_counter()
            for listener in self._listeners:
                listener.failure(self._machine, error)

    def __repr__(self) -> str:
        return f"<ClusterBreaker {self.name} {self._state} {self._window} probes={self._probes}>"
