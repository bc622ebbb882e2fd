"""A retry policy made ready: which outcomes are retried, how often and after how long (semantics 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..algorithms import retry_on
from ..algorithms.backoff import DEFAULT_BASE, DEFAULT_RATE_LIMITED_MAX
from ..algorithms.retry_on import NOTHING, Failure, RetryOn
from ..algorithms.runtime_value import integer, share
from ..call import INFINITY, Call, Header
from .host_predicates import Reject, compile_reject
from .match import compile_header_matcher
from .response_match import ResponseMatch, compile_headers

if TYPE_CHECKING:
    from ..algorithms.overrides import Overrides
    from ..policy.model import HeaderMatcher, RetryPolicy


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Times are seconds. `rejects` says which hosts a retry would rather not have, `reselect` how often
    it asks again."""

    conditions: RetryOn = NOTHING
    num_retries: int = 1
    per_try_timeout: float = INFINITY
    per_try_idle_timeout: float = INFINITY
    status_codes: frozenset[int] = frozenset()
    response_headers: ResponseMatch | None = None
    request_headers: Callable[[Call], bool] | None = None
    base_interval: float = DEFAULT_BASE
    max_interval: float | None = None
    reset_headers: tuple[tuple[bytes, str], ...] = ()
    reset_max_interval: float = DEFAULT_RATE_LIMITED_MAX
    rejects: Reject | None = None
    reselect: int = 0
    priority_frequency: int = 0
    """After how many tries the priorities that were tried are left out; 0 for never (`previous_priorities`)."""
    allowed: tuple[int, int] | None = None
    """The share of retries that are made, numerator and denominator; `None` for all (`upstream.use_retry`)."""
    chooses_hosts: bool = False
    """Whether a retry's pick of a host depends on the tries before it."""
    least_status: int = 0
    """No response with a lesser status can be retried; spares healthy ones the look at their headers."""

    def for_call(self, call: Call) -> RetryRules:
        """The rules that hold for this request: none where `retriable_request_headers` do not match."""
        rules = self if call.overrides is None else self._with(call.overrides)
        if rules.conditions and self.request_headers is not None and not self.request_headers(call):
            return replace(rules, conditions=NOTHING)
        return rules

    def _with(self, overrides: Overrides) -> RetryRules:
        conditions = self.conditions | retry_on.parse(overrides.retry_on)
        names = frozenset(overrides.retriable_header_names)
        own = self.response_headers

        def any_header(status: int, headers: Sequence[Header]) -> bool:
            return any(name.lower() in names for name, _ in headers) or (own is not None and own(status, headers))

        count = self.num_retries
        if conditions and overrides.max_retries is not None:
            count = overrides.max_retries
        return replace(
            self,
            least_status=0,
            conditions=conditions,
            num_retries=count,
            status_codes=self.status_codes | overrides.retriable_status_codes,
            response_headers=any_header if names else own,
            per_try_timeout=self.per_try_timeout
            if overrides.per_try_timeout is None
            else overrides.per_try_timeout or INFINITY,
        )

    def response_retried(self, status: int, headers: Sequence[Header]) -> str | None:
        """Return why a response is retried, or `None`."""
        if status < self.least_status:
            return None
        conditions = self.conditions
        ratelimited = grpc_status = None
        for name, value in headers:
            if len(name) == 19 and name.lower() == b"x-envoy-ratelimited":
                ratelimited = value
            elif len(name) == 11 and name.lower() == b"grpc-status":
                grpc_status = value
        if ratelimited is not None:  # its presence blocks every other condition
            return "envoy-ratelimited" if conditions & RetryOn.ENVOY_RATELIMITED else None
        reason = retry_on.status_retried(conditions, status, self.status_codes)
        if reason is None and conditions & RetryOn.RETRIABLE_HEADERS and self.response_headers is not None:
            reason = "retriable-headers" if self.response_headers(status, headers) else None
        if reason is None and grpc_status is not None:
            reason = retry_on.grpc_retried(conditions, grpc_status)
        return reason

    def failure_retried(self, failure: Failure) -> str | None:
        """Return why a try without a response is retried, or `None`."""
        return retry_on.failure_retried(self.conditions, failure)


NO_RETRIES = RetryRules()
_NO_RUNTIME: Mapping[str, Any] = {}


def compile_rules(policy: RetryPolicy | None, runtime: Mapping[str, Any] = _NO_RUNTIME) -> RetryRules:
    """Make a policy ready; no policy retries nothing, unless an internal caller's headers ask for it.

    Runtime: `upstream.base_retry_backoff_ms`, `upstream.use_retry` (percent).
    """
    usual = integer(runtime.get("upstream.base_retry_backoff_ms"), 0) / 1000 or DEFAULT_BASE
    allowed = share(runtime.get("upstream.use_retry"))
    if policy is None:
        return replace(NO_RETRIES, base_interval=usual, allowed=allowed)
    back_off, limited = policy.retry_back_off, policy.rate_limited_retry_back_off
    per_try = _whole_milliseconds(policy.per_try_timeout)
    reset_max = limited.max_interval if limited is not None else None
    conditions = retry_on.parse(policy.retry_on)
    priority = policy.retry_priority
    return RetryRules(
        conditions=conditions,
        least_status=retry_on.least_status(conditions),
        num_retries=1 if policy.num_retries is None else policy.num_retries,
        per_try_timeout=per_try or INFINITY,
        per_try_idle_timeout=_whole_milliseconds(policy.per_try_idle_timeout) or INFINITY,
        status_codes=frozenset(policy.retriable_status_codes),
        response_headers=_any_response(policy.retriable_headers),
        request_headers=_any_request(policy.retriable_request_headers),
        base_interval=usual if back_off is None else back_off.base_interval,
        max_interval=None if back_off is None else back_off.max_interval,
        reset_headers=tuple((header.name.lower().encode(), header.format) for header in limited.reset_headers)
        if limited is not None
        else (),
        reset_max_interval=DEFAULT_RATE_LIMITED_MAX if reset_max is None else reset_max,
        rejects=compile_reject(policy.retry_host_predicate),
        reselect=max(0, policy.host_selection_retry_max_attempts) or 1,
        priority_frequency=0 if priority is None else priority.typed_config.update_frequency,
        chooses_hosts=bool(policy.retry_host_predicate or policy.retry_priority),
        allowed=allowed,
    )


def _any_request(matchers: Sequence[HeaderMatcher]) -> Callable[[Call], bool] | None:
    if not matchers:
        return None
    conditions = [compile_header_matcher(matcher) for matcher in matchers]
    return lambda call: any(holds(call) for holds in conditions)


def _any_response(matchers: Sequence[HeaderMatcher]) -> ResponseMatch | None:
    return compile_headers(matchers, every=False) if matchers else None


def _whole_milliseconds(seconds: float | None) -> float:
    """Envoy keeps timeouts in whole milliseconds; what is less is none (semantics 0)."""
    return int((seconds or 0.0) * 1000 + 1e-6) / 1000
