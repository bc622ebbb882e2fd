"""Two hundred callers at once, threads and tasks, some of them cancelled: what is promised for one holds for all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from ambassador_lib import UpstreamOverflowError
from ambassador_lib.upstream.host import HealthFlag

from .crowd import Crowd, storm
from .documents import bootstrap
from .harness import BASE, Body, Spec

CALLERS = 200
GIVEN_UP = 25
"""In the async modes so many of those inside are cancelled."""


class Watched(Crowd):
    """A crowd that remembers who was asked, and lets first tries fail at once where it is told to."""

    def __init__(self, *, first_tries_fail: bool = False, status: int = 200) -> None:
        super().__init__(status)
        self.first_tries_fail = first_tries_fail
        self.endpoints: list[str] = []

    def _refusal(self, request: httpx.Request) -> httpx.Response | None:
        self.endpoints.append(request.extensions["ambassador_endpoint"])
        if self.first_tries_fail and request.headers["x-envoy-attempt-count"] == "1":
            return httpx.Response(503, stream=Body(b"x"))
        return None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._refusal(request) or super().handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._refusal(request) or await super().handle_async_request(request)


def given(spec: Spec, crowd: Watched, **fields: Any) -> None:
    """A policy that counts tries, over the crowd."""
    spec.given(bootstrap(**fields), upstream=crowd)


def cancelled(spec: Spec, most: int = GIVEN_UP) -> int:
    return 0 if spec.is_blocking else most


def test_round_robin_is_even_among_all(spec: Spec) -> None:
    """Each of five hosts gets exactly a fifth, whoever asks when."""
    crowd = Watched()
    given(spec, crowd, endpoints=5)
    storm(spec, crowd, CALLERS, admitted=CALLERS, cancelled=cancelled(spec))
    assert set(Counter(crowd.endpoints).values()) == {CALLERS // 5}
    spec.assert_nothing_held()


def test_a_threshold_holds(spec: Spec) -> None:
    """`max_requests` lets in as many as it says; places of those that are cancelled are free again."""
    crowd = Watched()
    given(spec, crowd, cluster={"circuit_breakers": {"thresholds": [{"max_requests": 90}]}})
    for _ in range(2):
        outcomes = storm(spec, crowd, CALLERS, admitted=90, cancelled=cancelled(spec))
        assert outcomes.count(UpstreamOverflowError) == CALLERS - 90
        assert crowd.peak == 90
        spec.assert_nothing_held()


@pytest.mark.parametrize(
    ("thresholds", "places"),
    [
        ({"max_retries": 7}, 7),
        ({"retry_budget": {"budget_percent": {"value": 0}, "min_retry_concurrency": 11}}, 11),
    ],
)
def test_retries_are_bounded(spec: Spec, thresholds: Any, places: int) -> None:
    """All fail together; as many as there are places are retried, and all places are free afterwards."""
    crowd = Watched(first_tries_fail=True)
    retry = {"retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s"}}
    made = bootstrap(route={"retry_policy": retry}, cluster={"circuit_breakers": {"thresholds": [thresholds]}})
    hosts = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    hosts["route_config"]["virtual_hosts"][0]["include_request_attempt_count"] = True
    spec.given(made, upstream=crowd)
    lost = cancelled(spec, 3)
    outcomes = storm(spec, crowd, CALLERS, admitted=places, cancelled=lost)
    assert outcomes.count(503) == CALLERS - places
    assert outcomes.count(200) == places - lost
    assert crowd.peak == places
    spec.assert_nothing_held()


def test_no_more_hosts_are_ejected_than_may_be(spec: Spec) -> None:
    """Every host fails at the same time: three of ten go, however many are caught at once."""
    crowd = Watched(status=503)
    given(
        spec,
        crowd,
        endpoints=10,
        cluster={"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 30}},
    )
    storm(spec, crowd, CALLERS, admitted=CALLERS, cancelled=cancelled(spec))
    ejected = [host for host in spec.cluster.hosts if host.flags & HealthFlag.FAILED_OUTLIER_CHECK]
    assert len(ejected) == 3
    assert spec.cluster.outlier.stats["ejections_enforced_total"] == 3
    spec.assert_nothing_held()


def test_keys_keep_their_hosts(spec: Spec) -> None:
    """A ring that all ask for at once for the first time is one ring."""
    crowd = Watched()
    given(
        spec,
        crowd,
        endpoints=7,
        route={"hash_policy": [{"header": {"header_name": "host"}}]},
        cluster={"lb_policy": "RING_HASH"},
    )
    storm(spec, crowd, CALLERS, admitted=CALLERS, cancelled=cancelled(spec))
    assert len(set(crowd.endpoints)) == 1
    assert BASE.startswith("http://")
    spec.assert_nothing_held()
