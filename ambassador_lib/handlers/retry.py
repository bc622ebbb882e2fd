"""Retries: after a failed try the policy decides, joined with the application's tenacity strategies (semantics 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .._httpx import content_of
from ..algorithms.retry_on import Failure
from ..call import INFINITY, Attempt, Call, Next
from ..errors import (
    RESET,
    AmbassadorError,
    DeadlineExpired,
    PerTryTimeoutError,
    UpstreamConnectError,
    UpstreamDurationError,
    UpstreamResetError,
    expired,
)
from ..routing.back_off import back_off

if TYPE_CHECKING:
    import tenacity

    from ..routing.retry_rules import RetryRules
    from ..routing.strategies import Opinion
    from ..runtime.base import Random, Runtime
    from ..upstream.serving import Serving

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""RFC 9110 9.2.2."""

Outcome = httpx.Response | AmbassadorError


class Retry:
    """Makes the tries of a call: one, and as many more as the policy, the budget and the application allow."""

    def __init__(
        self,
        rules: RetryRules,
        by_cluster: dict[str, RetryRules],
        *,
        runtime: Runtime,
        random: Random,
        idempotent_only: bool,
        application: tenacity.BaseRetrying | None,
    ) -> None:
        self._rules = rules
        self._by_cluster = by_cluster
        self._runtime = runtime
        self._random = random
        self._idempotent_only = idempotent_only
        self._application = application

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        self.begin(call)
        return await self.go_on(call, await _outcome(call, next), next)

    def begin(self, call: Call) -> None:
        """Begin the first try, under the bounds of a try."""
        rules = self.rules_for(call)
        # A per-try timeout that is not shorter than the route's is ignored (semantics 2).
        if rules.per_try_timeout < call.route_timeout:
            call.per_try_timeout = rules.per_try_timeout
        if rules.per_try_idle_timeout != INFINITY:
            call.has_rare_bounds = True
            call.per_try_idle_timeout = rules.per_try_idle_timeout
        call.retry_rules = rules
        call.attempt = Attempt(1)
        if call.has_rare_bounds:
            call.rearm()

    async def go_on(self, call: Call, outcome: Outcome, next: Next) -> httpx.Response:
        """Return the answer that the application gets, once the first try has ended with `outcome`; `next` makes
        others."""
        rules: RetryRules = call.retry_rules
        while True:
            if isinstance(outcome, httpx.Response):
                if outcome.status_code < rules.least_status:
                    return outcome
            elif call.attempt.error is None:  # it ended before it was sent
                call.attempt.error = outcome
                call.attempt.duration = self._runtime.now() - call.started - call.attempt.started
            # A 1xx ends the retries: the upstream has begun to answer (semantics 3.2).
            reason = self.why(rules, outcome) if rules.conditions and not call.attempt.interim else None
            if reason is None:
                return _final(call, outcome)
            failure: list[BaseException] = []
            try:
                delay = self.consider(call, rules, outcome, reason)
            except BaseException as error:  # noqa: BLE001 - a strategy of the application's raised; so do we, below
                failure.append(error)
            if failure:
                if call.end_retry is not None:  # taken for a try that will not be
                    call.end_retry()
                await self._drop(outcome)
                raise failure.pop()
            if delay is None:
                return _final(call, outcome)
            await self._wait_for_next_try(call, outcome, delay)
            outcome = await _outcome(call, next)

    def rules_for(self, call: Call) -> RetryRules:
        """Return the cluster's own rules, else the route's, as they hold for this call."""
        cluster: Serving = call.cluster
        rules = self._by_cluster.get(cluster.name)
        if rules is None:
            rules = self._rules
        return rules if call.overrides is None and rules.request_headers is None else rules.for_call(call)

    def why(self, rules: RetryRules, outcome: Outcome) -> str | None:
        """The condition that makes the outcome retriable."""
        if isinstance(outcome, httpx.Response):
            return rules.response_retried(outcome.status_code, outcome.headers.raw)
        return rules.failure_retried(_kind(outcome))

    def consider(self, call: Call, rules: RetryRules, outcome: Outcome, reason: str) -> float | None:
        """Decide on a retriable outcome in Envoy's order (semantics 3.5); the delay in seconds, `None` for no retry.

        The place among the cluster's retries is taken here and travels with the next try.
        """
        attempt, opinion = call.attempt, self._opinion(call, outcome)
        refusal = self._refusal(call, outcome)
        if refusal is None and opinion is not None:
            refusal = opinion.refusal()
        if refusal is not None:
            attempt.not_retried_because = refusal
            return None
        if attempt.number > rules.num_retries:
            call.flag("URX")
            call.cluster.counters.upstream_rq_retry_limit_exceeded += 1
            attempt.not_retried_because = f"num_retries {rules.num_retries} used up"
            return None
        if rules.allowed is not None and self._random.random() * rules.allowed[1] >= rules.allowed[0]:
            attempt.not_retried_because = "the runtime key upstream.use_retry"
            return None
        if not self._take_place(call):
            call.flag("UO")
            call.cluster.counters.upstream_rq_retry_overflow += 1
            attempt.not_retried_because = "the cluster's retries are used up (max_retries or retry_budget)"
            return None
        call.cluster.counters.upstream_rq_retry += 1
        attempt.retried_because = reason
        wait = back_off(call, outcome, self._random.random, self._runtime.clock.time)
        return wait if opinion is None else max(wait, opinion.wait())

    def _opinion(self, call: Call, outcome: Outcome) -> Opinion | None:
        """Return what the application thinks of it, where it has given a `tenacity.Retrying`."""
        if self._application is None:
            return None
        from ..routing.strategies import Opinion

        return Opinion(self._application, call, outcome, self._runtime.now())

    def _take_place(self, call: Call) -> bool:
        """Take a place among the cluster's retries for the next try, in place of the one that this try had."""
        if call.end_retry is not None:
            call.end_retry()
        call.end_retry = call.cluster.limits[call.route.priority].try_retry()
        if call.end_retry is None:
            return False
        call.next_try = Attempt(call.attempt.number + 1)
        call.next_try.end_retry = call.end_retry
        return True

    def _refusal(self, call: Call, outcome: Outcome) -> str | None:
        """What forbids sending this request again, whatever the policy says."""
        recording = getattr(call.body, "recording", None)
        if recording is None and not isinstance(call.body, httpx.ByteStream):
            return "the request's body is a stream that cannot be sent again"
        size = len(content_of(call.body) or b"")
        if size > call.body_limit or (recording is not None and not recording.can_replay):
            return "the request's body is longer than its replay buffer"
        if not self._idempotent_only or call.method in IDEMPOTENT or call.header(b"idempotency-key"):
            return None
        if _cannot_have_begun(outcome):
            return None
        return f"{call.method} without an Idempotency-Key (retry_safety='idempotent')"

    async def _wait_for_next_try(self, call: Call, outcome: Outcome, delay: float) -> None:
        previous = call.attempt
        call.is_timeout_retry = isinstance(outcome, PerTryTimeoutError)
        assert call.next_try is not None, "made when its place was taken"
        call.begin_try(call.next_try)
        try:
            await self._drop(outcome)
        finally:
            previous.finish()
        try:
            await self._runtime.sleep(delay, call.deadline)
        except DeadlineExpired:
            raise expired(call) from None

    async def _drop(self, outcome: Outcome) -> None:
        if isinstance(outcome, httpx.Response):
            await self._runtime.discard(outcome)


async def _outcome(call: Call, next: Next) -> Outcome:
    """What a try comes to; it is finished later, since a retry budget still counts it (semantics 3.5)."""
    try:
        return await next(call)
    except AmbassadorError as error:
        return error


def _cannot_have_begun(outcome: Outcome) -> bool:
    """Whether the upstream has not started on the request: it was never sent, or refused unread."""
    if isinstance(outcome, UpstreamResetError):
        return outcome.refused or not outcome.may_have_been_sent
    return isinstance(outcome, UpstreamConnectError)


def _kind(error: AmbassadorError) -> Failure:
    if isinstance(error, UpstreamConnectError):
        return Failure.CONNECT
    if isinstance(error, UpstreamResetError):
        return Failure.REFUSED_STREAM if error.refused else Failure.RESET
    if isinstance(error, (PerTryTimeoutError, UpstreamDurationError)):
        return Failure.PER_TRY_TIMEOUT
    return Failure.OTHER


def _final(call: Call, outcome: Outcome) -> httpx.Response:
    """The outcome that the application gets; after a retry Envoy's reset replies say so (semantics 3.9)."""
    if isinstance(outcome, httpx.Response):
        return outcome
    if call.attempt.number > 1 and outcome.reply.body.startswith(RESET):
        outcome.reply.body = f"{RESET}retried and the latest {outcome.reply.body.removeprefix(RESET)}"
    raise outcome
