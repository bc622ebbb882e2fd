"""Assertions about calls that explain themselves: when one fails, it prints the calls as a timeline.

They are plain functions that raise `AssertionError`, for pytest, unittest and everything else. What they know comes
from the upstreams, which remember their requests, and from the reports of all calls that were made while the kit was
around (`ambassador_policy`, `simulation()`, `mapped_policy()`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from .. import surroundings
from .misuse import MisuseError, nearest, where
from .timeline import Told, report_of, requests_seen, seconds, timeline

if TYPE_CHECKING:
    from ..call import Attempt
    from .seen import Seen

Outcome = int | None | type[BaseException]
"""How a try ended: with a status, with none (`None`), or with an exception of that class."""

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be repeated (RFC 9110, 9.2.2); every other request is a write that must not be."""
BREAKER_STATES = ("closed", "open", "half-open")


def calls() -> list[Told]:
    """Return the calls that were made under a policy since the kit is around, in the order of their beginning."""
    return list(getattr(surroundings.installed, "calls", ()))


def calls_as_timeline() -> str:
    """Return all calls so far, one line a try, with seconds since the first."""
    return timeline(calls(), name=endpoint_name)


def endpoint_name(address: str) -> str:
    """Return how a timeline calls an address: by its upstream's name where the kit knows it."""
    pointing = getattr(surroundings.installed, "pointing", None)
    for target in pointing.targets if pointing is not None else ():
        names = _endpoints(target)
        if address in names:
            return f"{target.name}[{names.index(address)}]" if len(names) > 1 else str(target.name)
    return address


def assert_calls(upstream: Any, *, tries: int | None = None, statuses: Sequence[Outcome] | None = None) -> None:
    """Assert how often `upstream` was tried, and how each try ended, in their order.

    A try that never got through (refused, no answer in time) counts, with `None` or the exception's class for its
    status. Without a policy around, the requests that arrived are what counts. Health checks never do.
    """
    __tracebackhide__ = True
    attempts = _attempts(upstream)
    arrived = requests_of(upstream)
    if tries is None and statuses is None:
        raise MisuseError("assert_calls has nothing to assert: give tries=, statuses=, or both")
    ended: list[Any] = [attempt.outcome for attempt in attempts] if attempts else [seen.answered for seen in arrived]
    wrong = []
    if tries is not None and len(ended) != tries:
        wrong.append(f"expected {_times(tries, 'try', 'tries')} of {upstream.name}, there {_were(len(ended))}")
    if statuses is not None and not _fit(ended, statuses):
        wrong.append(
            f"expected {upstream.name} to answer {_listed(statuses)}, it was {_listed(ended)}"
            if ended
            else f"expected {upstream.name} to answer {_listed(statuses)}, it was never tried"
        )
    if wrong:
        raise AssertionError(_told("; ".join(wrong), upstream))


def assert_no_duplicate_writes(upstream: Any, *, keys_are_honoured: bool = False) -> None:
    """Assert that no request which is not idempotent has reached `upstream` twice.

    Two requests are the same where they have the same `Idempotency-Key`, or else the same method, target and body.
    With `keys_are_honoured`, the upstream is known to act only once on equal keys.
    """
    __tracebackhide__ = True
    first: dict[tuple[str, ...], tuple[int, Seen]] = {}
    for number, seen in enumerate(requests_of(upstream), 1):
        if seen.method.upper() in IDEMPOTENT:
            continue
        key = seen.header("idempotency-key")
        if key is not None and keys_are_honoured:
            continue
        sameness = ("key", key) if key is not None else (seen.method, seen.target, seen.body.decode("latin-1"))
        if sameness not in first:
            first[sameness] = (number, seen)
            continue
        earlier, before = first[sameness]
        raise AssertionError(_told(_duplicate(upstream, earlier, before, number, seen), upstream))


@overload
def assert_total_time_below(limit: float) -> AbstractContextManager[Any]: ...


@overload
def assert_total_time_below(limit: float, subject: Any) -> None: ...


def assert_total_time_below(limit: float, subject: Any = None) -> AbstractContextManager[Any] | None:
    """Assert that something takes less than `limit` seconds: virtual ones under virtual time, else real ones.

    `with assert_total_time_below(2.0): ...` measures what is done inside. With a response, an exception or a call's
    report it is the whole call that counts, all tries and the body included.
    """
    __tracebackhide__ = True
    if subject is None:
        return _Measured(limit)
    report = report_of(subject)
    if report is None:
        raise MisuseError(f"{subject!r} has no call's report: give a response or an exception of a call under a policy")
    if report.duration is None:
        raise MisuseError("the call is not over: its response's body has not been read, or closed")
    if report.duration >= limit:
        told = next((one for one in calls() if one.report is report), Told(0.0, report))
        raise AssertionError(_too_long(report.duration, limit, [told]))
    return None


def assert_breaker(client: Any, cluster: str, state: Literal["closed", "open", "half-open"]) -> None:
    """Assert the state of the breaker of `cluster`, as `client` (or a transport) has it.

    An open breaker whose time has passed is half-open from its next call on, and says `"open"` until then.
    """
    __tracebackhide__ = True
    if state not in BREAKER_STATES:
        raise MisuseError(f"no such state of a breaker: {state!r}; {nearest(state, BREAKER_STATES)}")
    breaker = _breaker(client, cluster)
    if breaker.state != state:
        text = f"expected the breaker of {cluster!r} to be {state}, it is {breaker.state}"
        raise AssertionError(f"{text}\n{_section('calls', calls_as_timeline())}")


def requests_of(upstream: Any) -> list[Seen]:
    """Return the requests that an upstream has seen, without health checks."""
    return [seen for seen in upstream.requests if not seen.is_health_check]


# --- what is known ------------------------------------------------------------------------------------------------


def _endpoints(upstream: Any) -> list[str]:
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in upstream.addresses]


def _attempts(upstream: Any) -> list[Attempt]:
    """Return the tries that went to the upstream, in the order in which they began."""
    addresses = set(_endpoints(upstream))
    found = [
        (told.started + attempt.started, attempt)
        for told in calls()
        for attempt in told.report.attempts
        if attempt.endpoint in addresses
    ]
    return [attempt for _, attempt in sorted(found, key=lambda one: one[0])]


def _fit(ended: Sequence[Any], wanted: Sequence[Outcome]) -> bool:
    return len(ended) == len(wanted) and all(map(_fits, ended, wanted))


def _fits(outcome: Any, wanted: Outcome) -> bool:
    if wanted is None:
        return not isinstance(outcome, int)
    return isinstance(outcome, wanted) if isinstance(wanted, type) else bool(outcome == wanted)


def _breaker(client: Any, cluster: str) -> Any:
    at_work = _at_work(client)
    clusters = {} if at_work is None else at_work.clusters
    if cluster not in clusters:
        raise MisuseError(f"the policy has no cluster {cluster!r}: {nearest(cluster, clusters)}")
    breaker = getattr(clusters[cluster], "breaker", None)
    if breaker is None:
        raise MisuseError(
            f"the cluster {cluster!r} has no breaker: it has none without `circuit_breaker` in its metadata "
            '`filter_metadata["ambassador_lib"]`; limits by `circuit_breakers` have no states'
        )
    return breaker


def _at_work(client: Any) -> Any:
    """Return what a client's, or a transport's, policy is at work as just now; `None` without a policy."""
    from .._httpx import passes_on, pristine
    from ..transport import AmbassadorTransport, AsyncAmbassadorTransport

    ambassador = client._ambassador() if hasattr(client, "_ambassador") else client  # noqa: SLF001
    if not isinstance(ambassador, AmbassadorTransport | AsyncAmbassadorTransport):
        raise MisuseError(f"{client!r} has no policy: give a Client, an AsyncClient or a transport of this library")
    acting = ambassador._acting  # noqa: SLF001
    watched = acting._watched[passes_on()].made  # noqa: SLF001
    return acting._policy_at_work() if watched is None or pristine() else watched[0]  # noqa: SLF001


# --- words --------------------------------------------------------------------------------------------------------


def _told(text: str, upstream: Any) -> str:
    """Return a failure with the calls, and with what arrived."""
    sections = [text, _section(f"what {upstream.name} has seen", requests_seen(requests_of(upstream)))]
    if told := calls():
        sections.insert(1, _section("calls", timeline(told, name=endpoint_name)))
    return "\n".join(sections)


def _section(title: str, text: str) -> str:
    return f"{title}:\n" + "\n".join(f"  {line}" for line in text.splitlines())


def _duplicate(upstream: Any, earlier: int, before: Seen, number: int, seen: Seen) -> str:
    key = seen.header("idempotency-key")
    if key is not None:
        same = f"with the same Idempotency-Key {key!r} (pass keys_are_honoured=True where the upstream acts once on it)"
    else:
        same = "with the same body" if seen.body else "without a body"
    ids = before.header("x-request-id"), seen.header("x-request-id")
    who = ""
    if None not in ids:
        who = ": two tries of one call" if ids[0] == ids[1] else ": two calls of the application"
    return (
        f"{seen.method} {seen.target} has reached {upstream.name} twice {same}, as its requests #{earlier} "
        f"(answered {before.answered or 'with no status'}) and #{number} "
        f"(answered {seen.answered or 'with no status'}){who}"
    )


def _too_long(took: float, limit: float, told: Iterable[Told]) -> str:
    text = f"expected less than {seconds(limit)}, it took {seconds(took)}"
    return f"{text}\n{_section('calls', timeline(told, name=endpoint_name))}"


def _times(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _were(count: int) -> str:
    return "were none" if not count else "was 1" if count == 1 else f"were {count}"


def _listed(outcomes: Sequence[Any]) -> str:
    return f"[{', '.join(map(_outcome, outcomes))}]"


def _outcome(outcome: Any) -> str:
    if isinstance(outcome, BaseException):
        return type(outcome).__name__
    return outcome.__name__ if isinstance(outcome, type) else str(outcome)


class _Measured:
    """Measures what is done inside a `with`, and fails where it took too long."""

    _was_entered = False

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._where = where()
        self._now = _now()
        self._started = 0.0
        self.elapsed: float | None = None
        """Seconds that it took, once it is over."""

    def __del__(self) -> None:
        if self._was_entered:
            return
        message = (
            f"assert_total_time_below({self._limit!r}) at {self._where} has asserted nothing: say `with "
            "assert_total_time_below(...):` around what is measured, or give it a response"
        )
        pointing = getattr(surroundings.installed, "pointing", None)
        if pointing is not None:
            pointing.misuses.append(message)
        else:
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def __enter__(self) -> Self:
        self._was_entered = True
        self._now = _now()
        self._started = self._now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self.elapsed = self._now() - self._started
        if error is None and self.elapsed >= self._limit:
            during = [told for told in calls() if told.started >= self._started]
            raise AssertionError(_too_long(self.elapsed, self._limit, during))


def _now() -> Any:
    clock = surroundings.installed.clock if surroundings.installed is not None else None
    return time.monotonic if clock is None else clock.monotonic
