"""The layers of a try in one coroutine: each says its part in its own file, and what is waited for is waited for here.
What leads a call to its first try stands before it.

A layer with a coroutine of its own would cost every try, though few have anything to wait for but the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .call import Answer, Call, Next
from .errors import AmbassadorError

if TYPE_CHECKING:
    from .handlers.attempt import SendAttempt
    from .handlers.balance import Balance
    from .handlers.breaker import Breaker
    from .handlers.limits import CircuitBreakers
    from .handlers.retry import Retry
    from .handlers.rewrite import EndpointRewrite
    from .handlers.timeout import RouteTimeout
    from .routing.retry_rules import RetryRules
    from .runtime.base import Runtime
    from .upstream.serving import Serving


class OneTry:
    """Makes one try, through those of a cluster's layers that it is given; others may lie above it.

    As a call's first try it is the retries' coroutine as well, which go on where it has failed, by `again`.
    """

    def __init__(
        self,
        attempt: SendAttempt,
        *,
        runtime: Runtime,
        again: Next,
        limits: CircuitBreakers | None = None,
        rewrite: EndpointRewrite | None = None,
        balance: Balance | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._attempt = attempt
        self._limits = limits
        self._rewrite = rewrite
        self._balance = balance
        self._breaker = breaker
        self._now = runtime.now
        self._again = again

    def handle(self, call: Call, _next: Next | None = None) -> Answer:
        """Make one try; there is nothing below."""
        return self.make(call, self._now())

    async def make(  # noqa: C901, PLR0912 - a line a layer; each coroutine more would cost every try
        self, call: Call, now: float, retry: Retry | None = None
    ) -> httpx.Response:
        """Make a try at `now`; `retry` is given with a call's first one."""
        breaker, balance, attempt = self._breaker, self._balance, self._attempt
        permit = None
        if retry is not None:
            retry.begin(call)
        try:
            if breaker is not None:
                permit = breaker.admit(call, now)
            if balance is not None:
                if not balance.gate.is_open:
                    await balance.first_resolution(call)
                    now = self._now()
                balance.pick(call, now)
            if self._rewrite is not None:
                self._rewrite.direct(call)
            if self._limits is not None and (ticket := self._limits.admit(call)) is not None:
                await self._limits.wait_in_line(call, ticket)
            exchange = attempt.begin(call)
            try:
                response = await attempt.send(exchange)
                now = self._now()
                if now >= call.deadline.at:
                    await attempt.refuse_late(response)
            except BaseException as error:
                failure = attempt.failed(call, error)
                if failure is error:
                    raise
                raise failure from None
            attempt.answered(call, response, now)
        except BaseException as error:
            if breaker is not None and permit is not None:
                breaker.failed(permit, error)
            if retry is None or not isinstance(error, AmbassadorError):
                raise
            outcome: httpx.Response | AmbassadorError = error
        else:
            if breaker is not None and permit is not None:
                breaker.answered(permit, call, response, now)
            rules: RetryRules = call.retry_rules
            if retry is None or response.status_code < rules.least_status:
                return response
            outcome = response
        return await retry.go_on(call, outcome, self._again)


class Tries:
    """The way from a route's timeout to the tries, where nothing stands between the two.

    `firsts` are the clusters' by name; calls of a cluster without one go the long way, as all further tries do: by
    `again`.
    """

    def __init__(
        self, timeout: RouteTimeout, retry: Retry, firsts: dict[str, OneTry], *, runtime: Runtime, again: Next
    ) -> None:
        self._timeout = timeout
        self._retry = retry
        self._firsts = firsts
        self._now = runtime.now
        self._again = again

    def handle(self, call: Call) -> Answer:
        """Start the route's timeout, and make the tries."""
        began = self._now()
        self._timeout.start(call, began)
        cluster: Serving = call.cluster
        first = self._firsts.get(cluster.name)
        if first is None:
            return self._retry.handle(call, self._again)
        return first.make(call, began, self._retry)
