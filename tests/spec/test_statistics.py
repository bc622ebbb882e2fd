"""What calls leave in the statistics of their cluster, and in OpenTelemetry's, through the public transports."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ambassador_lib import AmbassadorError
from ambassador_lib.telemetry.metrics import Metrics
from ambassador_lib.upstream.statistics import CLUSTER_STATISTICS

from .harness import Body, Hang, Spec, bootstrap

RETRIES = {"retry_policy": {"retry_on": "5xx", "num_retries": 1}}


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture(autouse=True)
def metrics(reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """Give the clients of one test a meter provider, and statistics of their own."""
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics = Metrics(provider)
    for place in ("parts", "plain"):
        monkeypatch.setattr(f"ambassador_lib.{place}.shared_metrics", lambda: metrics)
    yield metrics
    provider.shutdown()


def counted(metrics: Metrics) -> dict[str, int]:
    """Return what is not zero."""
    prefix = "cluster.c."
    told = metrics.stats("cluster", CLUSTER_STATISTICS).read()
    return {name.removeprefix(prefix): value for name, value in told.items() if value}


def points(reader: InMemoryMetricReader, name: str) -> list[tuple[dict[str, Any], Any]]:
    told = reader.get_metrics_data()
    return [
        (dict(point.attributes or {}), point)
        for resource in (told.resource_metrics if told is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def under_way(reader: InMemoryMetricReader) -> int:
    return sum(point.value for _, point in points(reader, "http.client.active_requests"))


def test_calls_and_tries_are_counted(spec: Spec, metrics: Metrics) -> None:
    """A call is one, its tries are counted each, and a second try is a retry."""
    spec.given(bootstrap(route=RETRIES), 503, 200, 200)
    spec.get()
    spec.get()
    assert counted(metrics) == {"upstream_rq_total": 3, "upstream_rq_completed": 2, "upstream_rq_retry": 1}


def test_retries_that_were_not_made_are_counted(spec: Spec, metrics: Metrics) -> None:
    """Used up `num_retries` and a full `max_retries` are told apart."""
    spec.given(bootstrap(route=RETRIES), 503)
    spec.get()
    assert counted(metrics)["upstream_rq_retry_limit_exceeded"] == 1
    none = {"circuit_breakers": {"thresholds": [{"max_retries": 0}]}}
    spec.given(bootstrap(route=RETRIES, cluster=none), 503)
    spec.get()
    assert counted(metrics)["upstream_rq_retry_overflow"] == 1


def test_a_call_that_reaches_no_cluster_counts_in_none(spec: Spec, metrics: Metrics) -> None:
    """A direct response is none of the cluster's business."""
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    spec.given(bootstrap(routes=routes), 200)
    spec.get()
    assert counted(metrics) == {}


def test_ejections_are_counted(spec: Spec, metrics: Metrics) -> None:
    """What outlier detection counts stands under Envoy's names, beside how many hosts are out."""
    cluster = {"outlier_detection": {"consecutive_5xx": 2, "max_ejection_percent": 100}}
    spec.given(bootstrap(cluster=cluster), 500, 500)
    for _ in range(2):
        spec.get()
    told = counted(metrics)
    assert told["outlier_detection.ejections_enforced_consecutive_5xx"] == 1
    assert told["outlier_detection.ejections_enforced_total"] == 1
    assert told["outlier_detection.ejections_active"] == 1


def test_an_open_breaker_is_told(spec: Spec, metrics: Metrics) -> None:
    """The breaker by error rate is open, then half-open, then nothing of it is told."""
    breaker = {"failure_rate": 0.5, "minimum_requests": 2, "window": "10s", "open_for": "5s"}
    cluster = {"metadata": {"filter_metadata": {"ambassador_lib": {"circuit_breaker": breaker}}}}
    spec.given(bootstrap(cluster=cluster), 500, 500, Hang(0.5))
    for _ in range(2):
        spec.get()
    assert counted(metrics)["circuit_breaker.open"] == 1
    spec.clock.advance(6)
    spec.get()
    assert "circuit_breaker.open" not in counted(metrics)


def test_a_used_up_threshold_is_told(spec: Spec, metrics: Metrics) -> None:
    """While a body is read its request is under way, and `max_requests` is used up by it."""
    one = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}
    spec.given(bootstrap(cluster=one), httpx.Response(200, stream=Body(b"a", b"b")))
    response = spec.request("GET", stream=True)
    told = counted(metrics)
    assert (told["upstream_rq_active"], told["circuit_breakers.default.rq_open"]) == (1, 1)
    spec.close(response)
    assert not {"upstream_rq_active", "circuit_breakers.default.rq_open"} & set(counted(metrics))


@pytest.mark.parametrize("outcome", [200, 503, httpx.ConnectError("refused"), httpx.ReadError("reset")])
def test_a_request_is_told_however_it_ends(spec: Spec, reader: InMemoryMetricReader, outcome: Any) -> None:
    """Each try leaves one duration, by its status or its failure, and is not under way any more."""
    spec.given(bootstrap(), outcome)
    with suppress(AmbassadorError):
        spec.get()
    ((attributes, point),) = points(reader, "http.client.request.duration")
    assert point.count == 1
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes.get("http.response.status_code") == (outcome if isinstance(outcome, int) else None)
    assert ("error.type" in attributes) == (outcome != 200)
    assert under_way(reader) == 0


@pytest.mark.parametrize("outcome", [200, httpx.ReadError("reset")])
def test_a_story_keeps_nothing_of_what_counts_it(spec: Spec, outcome: Any) -> None:
    """While metrics are read, too, the report of a call that is over can be copied and pickled."""
    spec.given(bootstrap(route=RETRIES), 503, outcome)
    try:
        report = spec.get().extensions["ambassador"]
    except AmbassadorError as error:
        report = error.call
    for twin in (copy.deepcopy(report), pickle.loads(pickle.dumps(report))):
        assert str(twin) == str(report)
        assert [attempt.number for attempt in twin.attempts] == [1, 2]


class Abandoned(BaseException):
    """Ends a call from outside, as a cancellation does."""


class Interrupted(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Never answers."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise Abandoned

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise Abandoned


def test_a_call_that_is_given_up_is_told(spec: Spec, metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """A try that was cancelled is not under way any more; its call was not answered."""
    spec.given(bootstrap(), upstream=Interrupted())
    with pytest.raises(Abandoned):
        spec.get()
    ((attributes, _),) = points(reader, "http.client.request.duration")
    assert attributes["error.type"].endswith("Abandoned")
    assert under_way(reader) == 0
    assert counted(metrics) == {"upstream_rq_total": 1}


def test_a_duration_is_the_tries(spec: Spec, reader: InMemoryMetricReader) -> None:
    """The duration is that of a try, from the choice of its host to its answer's head, on the injected clock."""
    spec.given(bootstrap(route=RETRIES), Hang(0.5, 503), Hang(0.25))
    spec.get()
    told = {
        attributes["http.response.status_code"]: point.sum
        for attributes, point in points(reader, "http.client.request.duration")
    }
    assert told == {503: pytest.approx(0.5), 200: pytest.approx(0.25)}


def test_a_closed_client_keeps_its_counts(spec: Spec, metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """After `close` the cluster's gauges are gone, and what was counted stays."""
    spec.given(bootstrap(), 200)
    spec.get()
    assert points(reader, "cluster.upstream_rq_active")
    spec.close_transport()
    assert counted(metrics) == {"upstream_rq_total": 1, "upstream_rq_completed": 1}
    assert points(reader, "cluster.upstream_rq_active") == []
    ((attributes, point),) = points(reader, "cluster.upstream_rq_total")
    assert (attributes, point.value) == ({"envoy.cluster_name": "c"}, 1)


def test_many_clients_count_together(spec: Spec, metrics: Metrics) -> None:
    """Clients of one policy share the statistics of its clusters."""
    for _ in range(3):
        spec.given(bootstrap(), 200)
        spec.get()
    assert counted(metrics)["upstream_rq_total"] == 3


def test_a_client_without_a_policy_is_told_too(spec: Spec, reader: InMemoryMetricReader) -> None:
    """Without a policy durations are told by server all the same."""
    spec.given(None, 200)
    spec.get("http://billing.test:81/x")
    ((attributes, point),) = points(reader, "http.client.request.duration")
    assert attributes["server.address"] == "billing.test"
    assert attributes["server.port"] == 81
    assert point.count == 1
    assert under_way(reader) == 0
