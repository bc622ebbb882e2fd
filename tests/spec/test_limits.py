"""`circuit_breakers` (semantics 4) through the public transports: what is taken, refused and given back.

An engine that dials nobody counts no connections: `max_connections` is the engines' and the upstream rooms' subject.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import CircuitOpenError, UpstreamConnectError, UpstreamOverflowError

from .crowd import Crowd, storm
from .documents import bootstrap, breaker, cluster, listener, policy, route, vhost
from .harness import Script, Spec, story, told

CALLERS = 200


def limited(**threshold: Any) -> dict[str, Any]:
    return {"circuit_breakers": {"thresholds": [threshold]}}


def test_a_full_cluster_refuses_at_once(spec: Spec) -> None:
    """`max_requests` counts what is under way; refused is UO, overloaded, and no failure of the endpoint's."""
    spec.given(bootstrap(cluster=limited(max_requests=2)), 200)
    first, second = spec.get(stream=True), spec.get(stream=True)
    with pytest.raises(UpstreamOverflowError) as caught:
        spec.get()
    assert [UpstreamOverflowError] == [type(attempt.outcome) for attempt in told(caught.value).attempts]
    assert 2 == len(spec.upstream.seen)
    spec.close(first)
    assert 200 == spec.get().status_code
    spec.read(second)
    spec.assert_nothing_held()


def test_an_overflow_is_never_retried(spec: Spec) -> None:
    """Whatever `retry_on` says: more tries are the last thing a full cluster needs."""
    retry = {"retry_policy": {"retry_on": "5xx,gateway-error,reset,connect-failure,refused-stream", "num_retries": 3}}
    with pytest.raises(UpstreamOverflowError) as caught:
        spec.given(bootstrap(route=retry, cluster=limited(max_requests=0))).get()
    assert 1 == len(told(caught.value).attempts)
    assert ["UO"] == told(caught.value).flags
    assert [] == spec.clock.sleeps


def test_priorities_have_limits_of_their_own(spec: Spec) -> None:
    """A route of priority HIGH does not wait behind the others."""
    routes = [route(match={"prefix": "/high"}, priority="HIGH"), route()]
    spec.given(bootstrap(routes=routes, cluster=limited(max_requests=1)), 200)
    held = spec.get(stream=True)
    with pytest.raises(UpstreamOverflowError):
        spec.get()
    high = [spec.get("/high", stream=True) for _ in range(3)]
    for response in (held, *high):
        spec.close(response)
    spec.assert_nothing_held()


def test_clusters_have_limits_of_their_own(spec: Spec) -> None:
    """One cluster that is full says nothing about the next."""
    routes = [route("d", match={"prefix": "/d"}), route()]
    spec.given(policy(listener(vhost(routes=routes)), clusters=[cluster(**limited(max_requests=0)), cluster("d")]), 200)
    with pytest.raises(UpstreamOverflowError):
        spec.get("/c")
    assert 200 == spec.get("/d").status_code


def test_an_engine_that_counts_no_connections_knows_no_pending_requests(spec: Spec) -> None:
    """Over a mock `max_connections` and `max_pending_requests` have nothing to count."""
    spec.given(bootstrap(cluster=limited(max_connections=1, max_pending_requests=0)), 200)
    held = [spec.get(stream=True) for _ in range(3)]
    for response in held:
        spec.read(response)
    spec.assert_nothing_held()


class Dialling(Script):
    """A transport that says it dials: it is given the endpoint's address."""

    dials = True


def test_a_transport_that_dials_is_given_the_address(spec: Spec) -> None:
    """Its URL is the endpoint's; Host and target stay logical."""
    spec.given(bootstrap(), upstream=Dialling(spec.clock, 200)).get("/a?b")
    [seen] = spec.upstream.seen
    assert ("10.0.0.1", "/a?b") == (seen.url.host, seen.url.raw_path.decode())
    assert "127.0.0.1:15001" == seen.headers["host"]
    assert "ambassador_endpoint" not in seen.extensions
    spec.assert_nothing_held()


def test_a_cold_cluster_without_pending_requests_serves_nothing(spec: Spec) -> None:
    """`max_pending_requests: 0`: the first request would have to wait for its connection."""
    spec.given(bootstrap(cluster=limited(max_pending_requests=0)), upstream=Dialling(spec.clock, 200))
    with pytest.raises(UpstreamOverflowError):
        spec.get()
    assert [] == spec.upstream.seen
    spec.assert_nothing_held()


def test_a_connection_that_fails_gives_its_place_back(spec: Spec) -> None:
    """A pending request that ends in a connect failure is pending no longer."""
    spec.given(
        bootstrap(cluster=limited(max_pending_requests=1)),
        upstream=Dialling(spec.clock, httpx.ConnectError("refused"), 200),
    )
    with pytest.raises(UpstreamConnectError):
        spec.get()
    spec.assert_nothing_held()
    assert 200 == spec.get().status_code
    spec.assert_nothing_held()


def test_a_retry_holds_its_place_through_back_off_and_body(spec: Spec) -> None:
    """`max_retries` counts a retry until its response has been read."""
    retry = {"retry_policy": {"retry_on": "5xx"}}
    spec.given(bootstrap(route=retry, cluster=limited(max_retries=1)), 503, 200, 503, 200)
    held = spec.get(stream=True)
    assert 200 == held.status_code
    refused = spec.get()
    assert (503, ["UO"]) == (refused.status_code, story(refused).flags)
    spec.read(held)
    spec.assert_nothing_held()


def test_a_retry_budget_replaces_max_retries(spec: Spec) -> None:
    """`retry_budget` allows a share of what is under way, the failing request included."""
    budget = {"retry_budget": {"budget_percent": {"value": 50}, "min_retry_concurrency": 0}, "max_retries": 0}
    retry = {"retry_policy": {"retry_on": "5xx"}}
    spec.given(bootstrap(route=retry, cluster=limited(**budget)), 503, 200, 503, 200)
    alone = spec.get()
    assert (503, ["UO"]) == (alone.status_code, story(alone).flags)
    held = spec.get(stream=True)
    assert 200 == spec.get().status_code
    spec.close(held)
    spec.assert_nothing_held()


# --- many at once ----------------------------------------------------------------------------------------------------


def test_no_more_than_max_requests_at_a_time(spec: Spec) -> None:
    """Of two hundred callers exactly as many get in as may, the rest are refused, and every place comes back."""
    crowd = Crowd()
    spec.given(bootstrap(cluster=limited(max_requests=10), endpoints=3), upstream=crowd)
    for cancelled in (0, 4, 10):
        outcomes = storm(spec, crowd, CALLERS, admitted=10, cancelled=cancelled)
        lost = 0 if spec.is_blocking else cancelled
        assert (10, 10) == (crowd.entered, crowd.peak)
        assert 10 - lost == outcomes.count(200)
        assert CALLERS - 10 == outcomes.count(UpstreamOverflowError)
        spec.assert_nothing_held()


def test_a_half_open_breaker_lets_exactly_its_probes_through(spec: Spec) -> None:
    """Of two hundred callers three probe; probes that are cancelled or fail make room for exactly as many."""
    crowd = Crowd(status=500)
    metadata = breaker(minimum_requests=1, half_open_requests=3, success_threshold=3, open_for="10s")
    spec.given(bootstrap(cluster={"metadata": metadata}), upstream=crowd)
    crowd.gate.set()
    spec.get()
    spec.clock.advance(10)
    if not spec.is_blocking:
        outcomes = storm(spec, crowd, CALLERS, admitted=3, cancelled=3)
        assert (3, 3, CALLERS - 3) == (crowd.peak, outcomes.count(None), outcomes.count(CircuitOpenError))
        spec.assert_nothing_held()
    outcomes = storm(spec, crowd, CALLERS, admitted=3)  # they fail: open again
    assert (3, 3, CALLERS - 3) == (crowd.peak, outcomes.count(500), outcomes.count(CircuitOpenError))
    with pytest.raises(CircuitOpenError):
        spec.get()
    spec.clock.advance(10)
    crowd.status = 200
    outcomes = storm(spec, crowd, CALLERS, admitted=3)  # they succeed: closed
    assert (3, 3, CALLERS - 3) == (crowd.peak, outcomes.count(200), outcomes.count(CircuitOpenError))
    assert [200] * CALLERS == storm(spec, crowd, CALLERS, admitted=CALLERS)
    spec.assert_nothing_held()
