"""Which endpoint a try goes to (semantics 5 to 7), through the public transports, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ambassador_lib import NoHealthyUpstreamError
from ambassador_lib.testing.clock import FakeRandom

from .documents import bootstrap, cluster, endpoint, policy
from .harness import Body, Hang, Spec, Step, story

ONE, OTHER = "10.0.0.1:80", "10.0.0.2:80"


def of(*members: Any, **fields: Any) -> Any:
    """Return a policy whose cluster has these endpoints."""
    return policy(clusters=[cluster(groups=[{"lb_endpoints": list(members)}], **fields)])


def calls(spec: Spec, count: int) -> Counter[str]:
    """Make calls and count the endpoints' shares."""
    before = len(spec.upstream.seen)
    for _ in range(count):
        try:
            spec.get()
        except httpx.TransportError:
            continue
    return Counter(spec.endpoints[before:])


def at(sick: str, outcome: int | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """Return a step: one endpoint answers so or raises, the others answer 200."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.extensions["ambassador_endpoint"] != sick:
            return httpx.Response(200, stream=Body(b"x"))
        if isinstance(outcome, Exception):
            raise outcome
        return httpx.Response(outcome, stream=Body(b"x"))

    return answer


# --- policies --------------------------------------------------------------------------------------------------------


def test_round_robin_goes_round(spec: Spec) -> None:
    """Equal weights are served one after the other, from a random start."""
    spec.given(bootstrap(endpoints=3))
    calls(spec, 9)
    assert 3 == len(set(spec.endpoints[:3]))
    assert spec.endpoints[:3] * 3 == spec.endpoints


def test_round_robin_by_weight(spec: Spec) -> None:
    """1:2:3 is exactly that."""
    members = [endpoint(n, load_balancing_weight=n) for n in (1, 2, 3)]
    assert {"10.0.0.1:80": 10, "10.0.0.2:80": 20, "10.0.0.3:80": 30} == calls(spec.given(of(*members)), 60)


def test_random_ignores_weights(spec: Spec) -> None:
    """RANDOM is uniform whatever the weights say."""
    members = [endpoint(1, load_balancing_weight=100), endpoint(2)]
    shares = calls(spec.given(of(*members, lb_policy="RANDOM"), random=FakeRandom(seed=3)), 200)
    assert 70 < shares[ONE] < 130


def test_least_request_avoids_a_busy_host(spec: Spec) -> None:
    """A host with a request under way, its body included, is passed by until that is over."""
    spec.given(
        bootstrap(endpoints=2, cluster={"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 40}})
    )
    held = spec.get(stream=True)
    busy = story(held).attempts[0].endpoint
    assert busy not in calls(spec, 20)
    spec.close(held)
    assert busy in calls(spec, 20)


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["UNHEALTHY", "DRAINING", "TIMEOUT"])
def test_an_endpoint_that_is_not_well_is_left_out(spec: Spec, status: str) -> None:
    """`health_status` of the document counts."""
    spec.given(of(endpoint(1), endpoint(2, health_status=status)))
    assert {ONE: 20} == calls(spec, 20)


def test_unknown_is_healthy_and_degraded_is_a_reserve(spec: Spec) -> None:
    """A degraded endpoint gets nothing as long as the others carry the load."""
    spec.given(
        of(endpoint(1, health_status="UNKNOWN"), endpoint(2), endpoint(3), endpoint(4, health_status="DEGRADED"))
    )
    assert "10.0.0.4:80" not in calls(spec, 30)


def test_below_the_panic_threshold_health_is_not_looked_at(spec: Spec) -> None:
    """One of four healthy is less than half: all are used; two of four are not."""
    sick = {"health_status": "UNHEALTHY"}
    assert 4 == len(calls(spec.given(of(endpoint(1), *(endpoint(n, **sick) for n in (2, 3, 4)))), 40))
    assert 2 == len(calls(spec.given(of(endpoint(1), endpoint(2), *(endpoint(n, **sick) for n in (3, 4)))), 40))


def test_no_panic_where_the_threshold_is_zero(spec: Spec) -> None:
    """`healthy_panic_threshold: 0`: the last healthy one carries all, and without it there is none."""
    sick = {"health_status": "UNHEALTHY"}
    calm = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}
    assert {ONE: 20} == calls(spec.given(of(endpoint(1), *(endpoint(n, **sick) for n in (2, 3, 4)), **calm)), 20)
    with pytest.raises(NoHealthyUpstreamError):
        spec.given(of(endpoint(1, **sick), **calm)).get()


def test_priorities_take_over_by_degrees(spec: Spec) -> None:
    """With P0 half well it keeps 70 %; with P0 gone P1 has all."""

    def groups(*sick: int) -> list[Any]:
        def group(priority: int, *numbers: int) -> Any:
            members = [endpoint(n, health_status="UNHEALTHY" if n in sick else "HEALTHY") for n in numbers]
            return {"priority": priority, "lb_endpoints": members}

        return [group(0, 1, 2), group(1, 3, 4)]

    def second(*sick: int) -> int:
        spec.given(policy(clusters=[cluster(groups=groups(*sick))]), random=FakeRandom(seed=5))
        shares = calls(spec, 200)
        return shares["10.0.0.3:80"] + shares["10.0.0.4:80"]

    assert 0 == second()
    assert 40 < second(1) < 80
    assert 200 == second(1, 2)


# --- outlier detection -----------------------------------------------------------------------------------------------


def detecting(**fields: Any) -> Any:
    settings = {"max_ejection_percent": 50, "consecutive_5xx": 3, "base_ejection_time": "30s", "interval": "10s"}
    return bootstrap(endpoints=2, cluster={"outlier_detection": {**settings, **fields}})


def test_consecutive_failures_eject_a_host_for_a_while(spec: Spec) -> None:
    """After three 5xx in a row it gets nothing for 30 s, then a new chance, then 60 s."""
    spec.given(detecting(), at(ONE, 500))
    assert {ONE: 3, OTHER: 17} == calls(spec, 20)
    spec.clock.advance(29)
    assert {OTHER: 10} == calls(spec, 10)
    spec.clock.advance(1.5)
    assert 3 == calls(spec, 20)[ONE]
    spec.clock.advance(40)
    assert {OTHER: 10} == calls(spec, 10)
    spec.clock.advance(30)
    assert 3 == calls(spec, 20)[ONE]
    spec.assert_nothing_held()


def test_one_good_answer_is_enough(spec: Spec) -> None:
    """Only failures in a row count."""
    answers: list[Step] = [500, 500, 200] * 10
    spec.given(bootstrap(cluster={"outlier_detection": {"consecutive_5xx": 3, "max_ejection_percent": 100}}), *answers)
    calls(spec, 30)
    assert "healthy" in repr(spec.cluster.hosts[0])


@pytest.mark.parametrize(
    "outcome", [503, httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.RemoteProtocolError("garbage")]
)
def test_what_never_answered_counts_as_5xx(spec: Spec, outcome: int | Exception) -> None:
    """Failures to connect, resets and garbage count as 503."""
    assert 3 == calls(spec.given(detecting(), at(ONE, outcome)), 20)[ONE]


def test_timeouts_count_as_504(spec: Spec) -> None:
    """A host that hangs is ejected, by the gateway counter as well."""
    fields = {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}
    settings = {"max_ejection_percent": 100, "enforcing_consecutive_5xx": 0, **fields}
    spec.given(bootstrap(route={"timeout": "1s"}, cluster={"outlier_detection": settings}), Hang(2))
    calls(spec, 2)
    assert "FAILED_OUTLIER_CHECK" in repr(spec.cluster.hosts[0])


def test_gateway_failures_are_those_three(spec: Spec) -> None:
    """500 is no gateway failure; 502, 503 and 504 are."""
    settings = {
        "enforcing_consecutive_5xx": 0,
        "consecutive_gateway_failure": 2,
        "enforcing_consecutive_gateway_failure": 100,
    }
    assert 10 == calls(spec.given(detecting(**settings), at(ONE, 500)), 20)[ONE]
    assert 2 == calls(spec.given(detecting(**settings), at(ONE, 502)), 20)[ONE]


def test_local_origin_failures_apart(spec: Spec) -> None:
    """In split mode refused connections have a counter of their own, and do not count as answers."""
    settings = {"split_external_local_origin_errors": True, "consecutive_local_origin_failure": 2, "consecutive_5xx": 9}
    assert 2 == calls(spec.given(detecting(**settings), at(ONE, httpx.ConnectError("refused"))), 20)[ONE]
    assert 10 == calls(spec.given(detecting(**settings), at(ONE, httpx.ReadError("reset"))), 20)[ONE]
    assert 9 == calls(spec.given(detecting(**settings), at(ONE, 500)), 40)[ONE]


def test_small_clusters_keep_all_their_hosts(spec: Spec) -> None:
    """The default of 10 % ejects nobody from two, unless one is always to go."""
    assert 20 == calls(spec.given(detecting(max_ejection_percent=10), at(ONE, 500)), 40)[ONE]
    assert 3 == calls(spec.given(detecting(max_ejection_percent=10, always_eject_one_host=True), at(ONE, 500)), 40)[ONE]


def test_our_own_refusals_and_the_applications_timeouts_eject_nobody(spec: Spec) -> None:
    """Overflow and impatience are no outcome of the endpoint's."""
    full = {"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100}}
    limits = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}
    calls(spec.given(bootstrap(cluster={**full, **limits}), 200), 3)
    assert "healthy" in repr(spec.cluster.hosts[0])
    spec.given(bootstrap(cluster=full), Hang(2))
    with pytest.raises(httpx.ReadTimeout):
        spec.get(timeout=1)
    assert "healthy" in repr(spec.cluster.hosts[0])


# --- retries ---------------------------------------------------------------------------------------------------------


def test_retries_avoid_hosts_that_were_tried(spec: Spec) -> None:
    """`previous_hosts` picks again as often as it may; without it RANDOM may repeat itself."""
    predicate = {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        },
    }

    def repeated(**retry: Any) -> int:
        route = {"retry_policy": {"retry_on": "5xx", **retry}}
        spec.given(bootstrap(route=route, endpoints=2, cluster={"lb_policy": "RANDOM"}), 503, random=FakeRandom(seed=1))
        calls(spec, 50)
        tries = spec.endpoints
        return sum(tries[n] == tries[n + 1] for n in range(0, len(tries), 2))

    assert repeated() > 10
    assert 0 == repeated(retry_host_predicate=[predicate], host_selection_retry_max_attempts=20)


def test_a_single_host_is_tried_again(spec: Spec) -> None:
    """Where there is nobody else the last pick is used."""
    route = {"retry_policy": {"retry_on": "5xx", "num_retries": 2}}
    response = spec.given(bootstrap(route=route), 503, 503, 200).get()
    assert [ONE] * 3 == [attempt.endpoint for attempt in story(response).attempts]
