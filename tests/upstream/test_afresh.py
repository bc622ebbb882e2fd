"""What a forked child makes of a cluster whose threads are gone; a fork only calls `start_afresh`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pybreaker
import pytest

from ambassador_lib.call import Attempt
from ambassador_lib.policy.model.cluster import CircuitBreaker, CircuitBreakers, OutlierDetection
from ambassador_lib.upstream.host import HealthFlag
from ambassador_lib.upstream.limits import Verdict
from ambassador_lib.upstream.outlier import LocalOrigin
from ambassador_lib.upstream.upstream import Upstream

THRESHOLDS = CircuitBreakers(
    thresholds=(CircuitBreakers.Thresholds(max_connections=1, max_requests=1, max_pending_requests=1, max_retries=1),)
)


@pytest.fixture
def upstream(make_upstream: Any) -> Upstream:
    made: Upstream = make_upstream(
        2,
        circuit_breakers=THRESHOLDS,
        circuit_breaker=CircuitBreaker(minimum_requests=1, open_for=1.0),
        outlier_detection=OutlierDetection(consecutive_5xx=1, max_ejection_percent=100),
    )
    return made


def admit(upstream: Upstream) -> Any:
    limits = upstream.limits["DEFAULT"]
    return limits.admit(
        limits.host(upstream.hosts[0].key),
        multiplexed=False,
        accounts=True,
        ticket_factory=lambda: None,  # type: ignore[arg-type, return-value]
    )


@contextmanager
def held_elsewhere(*locks: Any) -> Iterator[None]:
    """Another thread holds the locks, as a thread of the parent does for ever in the child's memory."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            taken.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(20)
    try:
        yield
    finally:
        done.set()
        thread.join(20)


def test_no_lock_of_the_parent_is_met_again(upstream: Upstream) -> None:
    """Whatever another thread was in the middle of, the child picks, admits, records and judges."""
    assert upstream.breaker is not None
    assert upstream.outlier is not None
    host = upstream.hosts[0]
    locks = (
        upstream._lock,
        upstream.outlier._lock,
        upstream.breaker._lock,
        upstream.breaker._machine._lock,
    )
    with held_elsewhere(*locks, upstream.limits["DEFAULT"].mailbox.guard):
        upstream.start_afresh()
        finished = threading.Event()

        def work() -> None:
            assert upstream.pick(0.0) is not None
            host.active += 1
            admit(upstream).release()
            host.active -= 1
            upstream.record(host, LocalOrigin.RESET, 0.0)
            upstream.breaker.admit(0.0).failure(0.0)  # type: ignore[union-attr]
            finished.set()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert finished.wait(20), "the child would hang"
    assert host.flags & HealthFlag.FAILED_OUTLIER_CHECK
    assert upstream.breaker.state == pybreaker.STATE_OPEN


def test_places_of_the_parents_calls_are_free(upstream: Upstream) -> None:
    """They are given back in the parent only; those of the forking thread's own call change nothing here."""
    own = admit(upstream)
    assert own.connected()
    attempt = Attempt(1)
    attempt.host = upstream.hosts[0]
    upstream.hosts[0].active += 1
    upstream.hosts[0].dialled()["key"] = "with a gauge of the parent's"
    upstream.start_afresh()
    limits = upstream.limits["DEFAULT"]
    assert (limits.active, limits.max_requests, limits.connections) == (0, 1, 0)
    assert upstream.hosts[0].active == 0
    assert not upstream.hosts[0].dialled()
    assert admit(upstream).verdict is Verdict.CONNECT
    own.release()
    attempt.finish()
    assert limits.pending == 1
    assert upstream.hosts[0].active == 0


def test_a_probe_under_way_in_the_parent_does_not_keep_the_breaker_half_open(upstream: Upstream) -> None:
    """Its verdict will never come here: the child sends a probe of its own, and what is open stays open until then."""
    breaker = upstream.breaker
    assert breaker is not None
    breaker.admit(0.0).failure(0.0)  # type: ignore[union-attr]
    upstream.start_afresh()
    assert breaker.admit(0.5) is None
    parents = breaker.admit(1.0)
    assert parents is not None
    assert breaker.admit(1.0) is None
    upstream.start_afresh()
    probe = breaker.admit(1.0)
    assert probe is not None
    parents.failure(1.0)  # the forking thread's own: too late to judge
    assert breaker.state == pybreaker.STATE_HALF_OPEN
    probe.success(1.0)
    assert breaker.state == pybreaker.STATE_CLOSED
