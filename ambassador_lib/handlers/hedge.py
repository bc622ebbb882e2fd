"""Hedging: a try that takes too long goes on beside the next one, and the first good answer counts (semantics 3.8)."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Protocol

import httpx

from ..call import INFINITY, NO_TRY, Answer, Attempt, Call, Deadline, Next
from ..errors import RESET, AmbassadorError, NoHealthyUpstreamError, connection_termination, expired, per_try_timeout
from ..runtime.breakable import Breakable
from ..upstream.outlier import timeout_outcome

if TYPE_CHECKING:
    from ..routing.retry_rules import RetryRules
    from ..runtime.background import Background, Job
    from ..runtime.base import Runtime, Ticket

GRACE = 0.1
"""Seconds that tries have to end by themselves, once the call's own time is over, before they are broken off."""
REASON = "hedge-on-per-try-timeout"
LOST = "another try answered first"

Outcome = httpx.Response | AmbassadorError


class Retrying(Protocol):
    """What decides on retries, and makes the tries of calls that are not hedged."""

    def handle(self, call: Call, next: Next) -> Answer: ...
    def rules_for(self, call: Call) -> RetryRules: ...
    def why(self, rules: RetryRules, outcome: Outcome) -> str | None: ...
    def consider(self, call: Call, rules: RetryRules, outcome: Outcome, reason: str) -> float | None: ...


class Hedge:
    """In place of the retries where a call is hedged; `hedges` says what the policy wants, a header may say else."""

    def __init__(self, retry: Retrying, *, hedges: bool, runtime: Runtime, background: Background) -> None:
        self._retry = retry
        self._hedges = hedges
        self._runtime = runtime
        self._background = background

    def handle(self, call: Call, next: Next) -> Answer:
        hedges = self._hedges
        if call.overrides is not None and call.overrides.hedge is not None:
            hedges = call.overrides.hedge
        if not hedges:
            return self._retry.handle(call, next)
        rules = self._retry.rules_for(call)
        if rules.per_try_timeout >= call.route_timeout or rules.per_try_timeout == INFINITY:
            return self._retry.handle(call, next)
        return self._race(call, rules, next)

    async def _race(self, call: Call, rules: RetryRules, next: Next) -> httpx.Response:
        call.retry_rules = rules
        if rules.per_try_idle_timeout != INFINITY:
            call.has_rare_bounds = True
            call.per_try_idle_timeout = rules.per_try_idle_timeout
        race = Race(call, rules, next, self._retry, self._runtime, self._background)
        try:
            return await race.run()
        finally:
            race.end()


class Racer:
    """One try, with its own view of the call."""

    def __init__(self, view: Call) -> None:
        self.view = view
        self.breakable = Breakable(view)
        self.outcome: httpx.Response | BaseException | None = None
        self.connected_at: float | None = None
        self.retried = False
        """Whether another try was started for it already."""
        self.abandoned = False
        self.job: Job | None = None


class Race:
    """The tries of one hedged call. The caller's own thread or task judges; each try has one of its own.

    Of the tries under way only the newest can be followed by another one: all before it have been.
    """

    def __init__(
        self, call: Call, rules: RetryRules, next: Next, retry: Retrying, runtime: Runtime, background: Background
    ) -> None:
        self._call = call
        self._rules = rules
        self._next = next
        self._retry = retry
        self._runtime = runtime
        self._background = background
        self._lock = threading.Lock()
        self._finished: list[Racer] = []
        self._ticket: Ticket | None = None
        self._running: list[Racer] = []
        self._head: Racer | None = None
        """The newest try, while nothing has been decided about what follows it."""
        self._retry_at: float | None = None
        self._timeout_retry = False
        self._interim = False

    async def run(self) -> httpx.Response:
        call = self._call
        call.deadline.watch = self._bounds_moved
        if not self._start(Attempt(1)):
            return await self._alone()
        while True:
            await self._wait()
            while (racer := self._take_finished()) is not None:
                answer = await self._judge(racer)
                if answer is not None:
                    await self._dismiss_others()
                    return answer
            now = self._runtime.now()
            if self._head is not None and now >= self._soft_at(self._head):
                self._soft_timeout(self._head, now)
            if self._retry_at is not None and now >= self._retry_at:
                self._start_retry()
            if now >= call.deadline.at + GRACE:
                self._charge_timeouts(now)
                raise expired(call)

    async def _alone(self) -> httpx.Response:
        """Too many tries are racing: this call is not hedged."""
        self._call.deadline.watch = None
        return await self._retry.handle(self._call, self._next)

    # --- starting ---------------------------------------------------------------------------------------------------

    def _start(self, attempt: Attempt) -> bool:
        call = self._call
        view = call.fork(attempt)
        view.is_timeout_retry = self._timeout_retry
        racer = Racer(view)
        view.on_connected = partial(self._connected, racer)
        job = self._background.start(partial(self._run, racer), racer.breakable.break_off)
        if job is None:
            return False
        racer.job = job
        self._running.append(racer)
        self._head = racer
        return True

    def _start_retry(self) -> None:
        self._retry_at = None
        attempt, self._call.next_try = self._call.next_try, None
        assert attempt is not None, "made when its place was taken"
        if not self._start(attempt):
            attempt.finish()

    async def _run(self, racer: Racer) -> None:
        """One try, to its end; what an abandoned one still brings is given back here."""
        try:
            racer.outcome = await self._next(racer.view)
        except Exception as error:  # noqa: BLE001 - judged by the caller
            racer.outcome = error
        except BaseException:  # cancelled: as a loser, or since the client is being closed
            racer.outcome = connection_termination("the client was closed")
            raise
        finally:
            with self._lock:
                abandoned = racer.abandoned
                if not abandoned:
                    self._finished.append(racer)
            if abandoned:
                racer.view.finish()
            else:
                self._wake()
        if abandoned and isinstance(racer.outcome, httpx.Response):
            await self._runtime.discard(racer.outcome)

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until a try has ended, or one of the moments has come at which something is to be done."""
        ticket = self._ticket = self._runtime.ticket()
        with self._lock:
            if self._finished:
                return
        at = self._call.deadline.at + GRACE
        if self._head is not None:
            at = min(at, self._soft_at(self._head))
        if self._retry_at is not None:
            at = min(at, self._retry_at)
        await ticket.wait(Deadline(at))

    def _wake(self) -> None:
        ticket = self._ticket
        if ticket is not None:
            ticket.wake()

    def _soft_at(self, racer: Racer) -> float:
        """When the try's own time is over: it began with the end of the request and a connection."""
        ended = self._call.request_ended
        if racer.connected_at is None or ended is None:
            return INFINITY
        return max(racer.connected_at, ended) + self._rules.per_try_timeout

    def _connected(self, racer: Racer, now: float) -> None:
        racer.connected_at = now
        self._wake()

    def _bounds_moved(self) -> None:
        for racer in list(self._running):
            self._call.keep_up(racer.view)
        self._wake()

    def _take_finished(self) -> Racer | None:
        """Take one: what is left is given back by `end`, should this one's be the answer."""
        with self._lock:
            return self._finished.pop(0) if self._finished else None

    # --- judging ----------------------------------------------------------------------------------------------------

    async def _judge(self, racer: Racer) -> httpx.Response | None:
        """Return the answer to the call, raise what it failed with, or go on."""
        self._running.remove(racer)
        outcome = racer.outcome
        if racer is self._head:
            self._head = None
        if not isinstance(outcome, (httpx.Response, AmbassadorError)) or _is_final(outcome):
            self._call.adopt(racer.view)
            self._charge_timeouts(self._runtime.now())
            assert isinstance(outcome, BaseException), "a response is judged below"
            raise outcome
        reason = self._retry.why(self._rules, outcome) if self._may_retry(racer) else None
        if reason is not None and not racer.retried:
            try:
                self._schedule(racer, outcome, reason)
            except BaseException:  # a strategy of the application's raised
                await self._drop(racer)
                raise
        failed = reason is not None or isinstance(outcome, AmbassadorError)
        if failed and (self._running or self._finished or self._retry_at is not None):
            await self._drop(racer)
            return None
        self._call.adopt(racer.view)
        if isinstance(outcome, AmbassadorError):
            if len(self._call.report.attempts) > 1 and outcome.reply.body.startswith(RESET):
                outcome.reply.body = f"{RESET}retried and the latest {outcome.reply.body.removeprefix(RESET)}"
            raise outcome
        return outcome

    def _may_retry(self, racer: Racer) -> bool:
        """Whether anything is retried still: a 1xx of any try has ended that for all (semantics 3.2)."""
        self._interim = self._interim or any(one.view.attempt.interim for one in (*self._running, racer))
        return bool(self._rules.conditions) and not self._interim

    def _soft_timeout(self, racer: Racer, now: float) -> None:
        """The try takes too long: its host is told on, it goes on, and another one is started beside it."""
        self._head = None
        racer.retried = True
        if racer.view.endpoint is not None:
            racer.view.attempt.judged = True
            self._call.cluster.record(racer.view.endpoint, timeout_outcome(self._call.overrides), now)
        if self._may_retry(racer):
            self._schedule(racer, per_try_timeout(), REASON)

    def _charge_timeouts(self, now: float) -> None:
        """The call's time is over: so is that of every host that has not answered."""
        if now < self._call.route_at:
            return
        for racer in self._running:
            if racer.view.endpoint is not None and not racer.view.attempt.judged:
                racer.view.attempt.judged = True
                self._call.cluster.record(racer.view.endpoint, timeout_outcome(self._call.overrides), now)

    def _schedule(self, racer: Racer, outcome: Outcome, reason: str) -> None:
        """Ask for another try; it is counted, waits and takes its place as every retry."""
        call = self._call
        racer.retried = True
        call.attempt = racer.view.attempt
        call.endpoint = racer.view.endpoint
        try:
            delay = self._retry.consider(call, self._rules, outcome, reason)
        finally:
            call.attempt = NO_TRY  # whose bounds are none: every try keeps its own
        if delay is not None:
            self._timeout_retry = reason is REASON
            self._retry_at = self._runtime.now() + delay

    async def _drop(self, racer: Racer) -> None:
        try:
            if isinstance(racer.outcome, httpx.Response):
                await self._runtime.discard(racer.outcome)
        finally:
            racer.view.finish()

    # --- the end ----------------------------------------------------------------------------------------------------

    async def _dismiss_others(self) -> None:
        """End the losers and wait for a moment until they have; one that cannot notice ends with its own timeout."""
        losers = self._running.copy()
        now = self._runtime.now()
        for racer in losers:
            attempt = racer.view.attempt
            if attempt.duration is None:
                attempt.duration = now - self._call.started - attempt.started
            attempt.not_retried_because = attempt.not_retried_because or LOST
        self.end()
        for racer in losers:
            if racer.job is not None and racer.breakable.ends_soon:
                await racer.job.ended()

    def end(self) -> None:
        """Give up all tries but the one whose answer counts; safe to call again."""
        self._call.deadline.watch = None
        with self._lock:
            losers, self._running = self._running, []
            finished, self._finished = self._finished, []
            for racer in losers:
                racer.abandoned = racer not in finished
        for racer in losers:
            if racer in finished:
                self._give_back(racer)
            elif racer.job is not None:
                racer.job.cancel()
        if self._call.next_try is not None:
            self._call.next_try.finish()
            self._call.next_try = None

    def _give_back(self, racer: Racer) -> None:
        """It has ended, and nobody has looked at its answer any more."""
        outcome = racer.outcome
        if not isinstance(outcome, httpx.Response):
            racer.view.finish()
            return

        async def discard() -> None:
            try:
                await self._runtime.discard(outcome)
            finally:
                racer.view.finish()

        if self._background.start(discard, _nothing) is None:
            racer.view.finish()


def _is_final(outcome: Outcome) -> bool:
    """Whether it ends the call, whatever else is under way: its time is over, or no host is left."""
    if isinstance(outcome, httpx.Response):
        return False
    details = outcome.reply.details
    return isinstance(outcome, NoHealthyUpstreamError) or details in ("response_timeout", "stream_idle_timeout")


def _nothing() -> None:
    """Nothing waits."""
