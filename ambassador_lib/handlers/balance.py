"""Which endpoint serves this try."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import httpx

from ..algorithms.priority import AttemptedPriorities
from ..call import Answer, Call, Next
from ..errors import expired, no_healthy_upstream
from ..upstream.lb_context import LbContext

if TYPE_CHECKING:
    from ..routing.hash_policy import HashOf
    from ..routing.host_predicates import Reject
    from ..routing.retry_rules import RetryRules
    from ..runtime.base import Runtime
    from ..runtime.gate import Gate
    from ..upstream.host import Host
    from ..upstream.serving import Serving


class Balance:
    """A fresh pick from the cluster's current snapshot for every try; none: 503 UH."""

    def __init__(self, upstream: Serving, gate: Gate, runtime: Runtime, *, hash_of: HashOf | None = None) -> None:
        """`hash_of` is the cluster's own hash policy, which beats the route's."""
        self._upstream = upstream
        self.gate = gate
        self._runtime = runtime
        self._hash_of = hash_of
        self._contextual = upstream.hashes or upstream.subsets

    def handle(self, call: Call, next: Next) -> Answer:
        if not self.gate.is_open:
            return self._wait_and_pick(call, next)
        self.pick(call, self._runtime.now())
        return next(call)

    def pick(self, call: Call, now: float) -> None:
        """Choose the endpoint, once the gate is open; the try begins with it."""
        attempt = call.attempt
        attempt.started = now - call.started
        rules: RetryRules = call.retry_rules
        chooses_hosts = rules.chooses_hosts
        if self._contextual or chooses_hosts:
            host = self._upstream.pick(now, self._context(call))
        else:
            host = self._upstream.pick(now)
        if host is None:
            raise no_healthy_upstream()
        if call.attempted_priorities is not None:
            call.attempted_priorities.attempted(self._upstream.priority_of(host))
        call.endpoint = host
        if chooses_hosts:
            call.tried = (*call.tried, host)
        attempt.endpoint = host.key
        call.report.attempts.append(attempt)
        if call.on_host is not None:
            started, call.on_host = call.on_host, None
            started()
        host.active += 1
        attempt.host = host

    def _context(self, call: Call) -> LbContext:
        """What this pick depends on beside the hosts; predicates and priorities of the retry policy are for retries."""
        rules: RetryRules = call.retry_rules
        again = call.attempt.number > 1
        reject = rules.rejects if again else None
        if rules.priority_frequency and call.attempted_priorities is None:
            call.attempted_priorities = AttemptedPriorities(rules.priority_frequency)
        hash_of = (self._hash_of or call.route.hash_of) if self._upstream.hashes else None
        return LbContext(
            hash_of=None if hash_of is None else partial(hash_of, call),
            criteria=call.choice.criteria if call.choice is not None else None,
            reject=None if reject is None else partial(_rejected, reject, call.tried),
            reselect=rules.reselect,
            priorities=call.attempted_priorities if again else None,
        )

    async def _wait_and_pick(self, call: Call, next: Next) -> httpx.Response:
        await self.first_resolution(call)
        self.pick(call, self._runtime.now())
        return await next(call)

    async def first_resolution(self, call: Call) -> None:
        """Wait, within the call's own bounds, for what Envoy waits for before it opens its listeners: the gate."""
        ticket = self._runtime.ticket()
        self.gate.add(ticket)
        try:
            if not await ticket.wait(call.deadline):
                raise expired(call)
        finally:
            self.gate.discard(ticket)


def _rejected(reject: Reject, tried: Sequence[Host], host: Host) -> bool:
    return reject(host, tried)
