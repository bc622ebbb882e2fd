"""Durations and requests under way: what readers are told, held to what the SDK's own instruments would tell."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import metrics as api
from opentelemetry.metrics import NoOpMeterProvider, _internal
from opentelemetry.sdk.metrics import Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics._internal import aggregation
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

from ambassador_lib.call import Call
from ambassador_lib.errors import RouteTimeoutError
from ambassador_lib.telemetry.attributes import outcome_attributes, server_attributes
from ambassador_lib.telemetry.instruments import BOUNDARIES, FULL, MOST_LINES
from ambassador_lib.telemetry.metrics import API, NAMES_A_PROVIDER, Metrics

DURATION, ACTIVE = "http.client.request.duration", "http.client.active_requests"
DELTA = {Histogram: AggregationTemporality.DELTA, ObservableCounter: AggregationTemporality.DELTA}
RESOURCE = Resource({})


def call(method: str = "GET", authority: str = "billing.test:8080", scheme: str = "http") -> Call:
    made = Call(httpx.Request(method, "http://billing.test/"), 0.0)
    made.authority, made.scheme = authority, scheme
    return made


def record(metrics: Metrics, seconds: float, outcome: Any = 200, **described: str) -> None:
    line = metrics.begin(call(**described))
    assert line is not None
    line.end(outcome, seconds)


def points(told: MetricsData | None, name: str = DURATION) -> list[Any]:
    """Return a metric's data points."""
    if told is None:
        return []
    return [
        point
        for resource in told.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def fields(point: Any) -> dict[str, Any]:
    """Return what a data point says, but for when, and for exemplars."""
    unlike = ("start_time_unix_nano", "time_unix_nano", "exemplars", "sum")
    said = {name: getattr(point, name) for name in point.__dataclass_fields__ if name not in unlike}
    return {**said, "attributes": sorted(point.attributes.items()), "sum": pytest.approx(point.sum)}


def all_fields(told: MetricsData | None) -> list[dict[str, Any]]:
    return sorted(map(fields, points(told)), key=lambda each: str(each["attributes"]))


def total(reader: InMemoryMetricReader) -> int:
    return sum(point.count for point in points(reader.get_metrics_data()))


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def metrics(reader: InMemoryMetricReader) -> Iterator[Metrics]:
    provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)
    yield Metrics(provider)
    provider.shutdown()


VIEWS: list[list[View]] = [
    [],
    [View(instrument_name=DURATION, attribute_keys={"server.address"})],
    [View(instrument_name=DURATION, aggregation=ExplicitBucketHistogramAggregation((0.1, 1.0)))],
    [View(instrument_name=DURATION, aggregation=ExplicitBucketHistogramAggregation((), record_min_max=False))],
    [View(instrument_name=DURATION, aggregation=ExponentialBucketHistogramAggregation())],
    [View(instrument_name=DURATION, aggregation=DropAggregation())],
    [
        View(instrument_name=DURATION, name="one"),
        View(instrument_name=DURATION, name=DURATION, attribute_keys={"http.response.status_code"}),
    ],
    [
        View(instrument_name=DURATION, name="one", aggregation=ExponentialBucketHistogramAggregation()),
        View(instrument_name=DURATION, name=DURATION),
    ],
]
seconds = st.sampled_from([0.0, 0.005, 0.0050001, 0.1, 1.0, 10.0, 11.0]) | st.floats(0, 100)
events = st.lists(
    st.sampled_from(["collect", "collect delta"])
    | st.tuples(
        st.sampled_from(["GET", "POST", "BREW"]),
        st.sampled_from(["a:80", "a", "b:81"]),
        st.sampled_from([200, 404, RouteTimeoutError]),
        st.lists(seconds, min_size=1, max_size=4),
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VIEWS), events, st.integers(1, 5))
def test_readers_are_told_what_record_would_have_told(views: list[View], happened: list[Any], full: int) -> None:
    """Whatever views and readers there are, and whenever they collect: each value counts once in each of them."""
    ours, theirs = ([InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=DELTA)] for _ in range(2))
    metrics = Metrics(provider := MeterProvider(ours, views=views, resource=RESOURCE, shutdown_on_exit=False))
    plain = MeterProvider(theirs, views=views, resource=RESOURCE, shutdown_on_exit=False)
    advice = {"explicit_bucket_boundaries_advisory": BOUNDARIES} if _takes_advice() else {}
    histogram = plain.get_meter("plain").create_histogram(DURATION, "s", **advice)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ambassador_lib.telemetry.instruments.FULL", full)
        for event in [*happened, "collect", "collect delta"]:
            if isinstance(event, str):
                which = int(event == "collect delta")
                assert all_fields(ours[which].get_metrics_data()) == all_fields(theirs[which].get_metrics_data())
                continue
            method, authority, outcome, values = event
            for value in values:
                record(metrics, value, outcome, method=method, authority=authority)
                told = {**server_attributes(method, authority, "http"), **outcome_attributes(outcome)}
                histogram.record(value, told)
    provider.shutdown()
    plain.shutdown()


def _takes_advice() -> bool:
    import inspect

    return "explicit_bucket_boundaries_advisory" in inspect.signature(api.Meter.create_histogram).parameters


def test_values_are_merged_and_not_recorded(
    metrics: Metrics, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the SDK that is installed nothing is recorded value by value, once an aggregation is there."""
    record(metrics, 0.1)
    assert total(reader) == 1
    aggregated: list[Any] = []
    monkeypatch.setattr(
        aggregation._ExplicitBucketHistogramAggregation,
        "_sample_exemplar",
        lambda *_: aggregated.append(_),
        raising=False,
    )
    for _ in range(FULL + 3):
        record(metrics, 0.1)
    assert total(reader) == FULL + 4
    assert aggregated == []


def test_the_conventions_boundaries_hold(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """Where nobody says otherwise the buckets are those that the conventions advise; an old API takes no advice."""
    if not _takes_advice():
        pytest.skip("this API takes no advice")
    record(metrics, 0.1)
    (point,) = points(reader.get_metrics_data())
    assert point.explicit_bounds == BOUNDARIES


def test_requests_under_way_are_told(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """A request counts from its begin to its end, whichever way it ends, by method and server."""
    first, second = metrics.begin(call()), metrics.begin(call("BREW", "me:pw@[::1]", "https"))
    assert first is not None and second is not None
    assert metrics.begin(call()) is first

    def told() -> dict[tuple[Any, ...], int]:
        found = points(reader.get_metrics_data(), ACTIVE)
        return {tuple(point.attributes.values()): point.value for point in found}

    assert told() == {("GET", "billing.test", 8080): 2, ("_OTHER", "::1", 443): 1}
    first.end(200, 0.1)
    second.end(KeyboardInterrupt, 0.1)
    assert told() == {("GET", "billing.test", 8080): 1, ("_OTHER", "::1", 443): 0}


def test_a_failure_is_told_by_its_type(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """`error.type` is the status from 400 on, else the exception's name; a status is told where there is one."""
    for outcome in (200, 503, RouteTimeoutError):
        record(metrics, 0.1, outcome)
    said = [dict(point.attributes) for point in points(reader.get_metrics_data())]
    assert [(each.get("http.response.status_code"), each.get("error.type")) for each in said] == [
        (200, None),
        (503, "503"),
        (None, "ambassador_lib.errors.RouteTimeoutError"),
    ]


def test_a_provider_may_come_late(reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before there is a provider nothing is kept; from the moment that there is one everything counts."""
    monkeypatch.setattr(_internal, "_METER_PROVIDER", None)
    metrics = Metrics()
    early = metrics.begin(call())
    monkeypatch.setattr(_internal, "_METER_PROVIDER", MeterProvider([reader], shutdown_on_exit=False))
    record(metrics, 0.1)
    assert (early, total(reader)) == (None, 1)


def test_without_opentelemetry_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody has imported the API none can be set up, and it is not imported to find out."""
    monkeypatch.delenv(NAMES_A_PROVIDER, raising=False)
    monkeypatch.delitem(sys.modules, API)
    metrics = Metrics()
    assert metrics.begin(call()) is None
    assert API not in sys.modules


def test_an_api_without_the_private_name_is_asked(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the API keeps its provider elsewhere, the public function is asked; one half imported has none."""
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setitem(sys.modules, API, SimpleNamespace())  # type: ignore[arg-type]
    assert Metrics().begin(call()) is None
    monkeypatch.setitem(sys.modules, API, SimpleNamespace(get_meter_provider=lambda: provider))  # type: ignore[arg-type]
    metrics = Metrics()
    record(metrics, 0.1)
    assert total(reader) == 1


def test_the_provider_that_the_environment_names_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_PYTHON_METER_PROVIDER` counts though the application has set up nothing itself."""
    asked: list[bool] = []
    monkeypatch.setenv(NAMES_A_PROVIDER, "some_provider")
    monkeypatch.setattr(api, "get_meter_provider", lambda: asked.append(True))
    Metrics()
    assert asked == [True]


def test_a_provider_that_does_nothing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own no-op provider is none."""
    assert Metrics(NoOpMeterProvider()).begin(call()) is None


def test_a_full_series_is_handed_over_at_once(reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """However rarely somebody collects, no more than so many values wait."""
    metrics = Metrics(MeterProvider([reader], shutdown_on_exit=False))
    for _ in range(10 * FULL + 1):
        record(metrics, 0.1)
    line = metrics.begin(call())
    assert line is not None
    assert len(line.series[200].values) < FULL
    assert total(reader) == 10 * FULL + 1


def test_servers_without_end_are_one(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """Of more servers than anybody looks at, the later ones count together, under OpenTelemetry's name for it."""
    for number in range(MOST_LINES + 5):
        record(metrics, 0.1, authority=f"host-{number}")
    (rest,) = (point for point in points(reader.get_metrics_data()) if "otel.metric.overflow" in dict(point.attributes))
    assert rest.count >= 5
    record(metrics, 0.1, authority="host-0")
    assert sum(point.count for point in points(reader.get_metrics_data())) == MOST_LINES + 6


@pytest.mark.parametrize("collecting", [False, True])
def test_threads_lose_nothing(metrics: Metrics, reader: InMemoryMetricReader, collecting: bool) -> None:
    """Threads that are interrupted all the time count every request once, also while somebody collects."""
    before = sys.getswitchinterval()
    done = threading.Event()
    begin = threading.Barrier(5)

    def work() -> None:
        begin.wait(20)
        for number in range(3000):
            record(metrics, 0.1, 200 + number % 3)

    def collect() -> None:
        while not done.is_set():
            reader.get_metrics_data()

    workers = [threading.Thread(target=work) for _ in range(4)]
    collector = threading.Thread(target=collect)
    sys.setswitchinterval(1e-6)
    try:
        for thread in workers:
            thread.start()
        if collecting:
            collector.start()
        begin.wait(20)
        for thread in workers:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
        done.set()
    if collecting:
        collector.join(20)
    assert total(reader) == 4 * 3000
    assert [point.value for point in points(reader.get_metrics_data(), ACTIVE)] == [0]


def test_what_collects_in_a_garbage_collection_does_not_lock_up(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """A call may end in a finalizer, in the midst of whatever the thread is doing with the same series."""

    class Ends:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            record(metrics, 0.1)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Ends()
            record(metrics, 0.1)
            reader.get_metrics_data()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert total(reader) == 400


class Exporter(MetricExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.exported: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:
        self.exported.append(metrics_data)
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None:
        pass

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True


def test_a_provider_that_shuts_down_tells_what_is_left() -> None:
    """The last collection of a push reader hands over what has come together until then."""
    exporter = Exporter()
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)], shutdown_on_exit=False)
    metrics = Metrics(provider)
    record(metrics, 0.1)
    provider.shutdown()
    assert [point.count for told in exporter.exported for point in points(told)] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_leaves_the_parents_requests_to_the_parent(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """In a forked child nothing is under way, and durations that the parent has yet to tell are not told twice."""
    held = metrics.begin(call())
    record(metrics, 0.1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            told = reader.get_metrics_data()
            record(metrics, 0.2)
            said = (
                sum(point.count for point in points(told)),
                [point.value for point in points(told, ACTIVE)],
                total(reader),
            )
            os.write(write, repr(said).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == repr((0, [0], 1))
    os.waitpid(child, 0)
    assert held is not None
    held.end(200, 0.1)
    assert total(reader) == 2


class Foreign(api.Histogram):
    """A histogram of somebody else's."""

    def __init__(self) -> None:
        super().__init__("any")
        self.recorded: list[tuple[float, Any]] = []

    def record(self, amount: float, attributes: Any = None, context: Any = None) -> None:
        self.recorded.append((amount, attributes))


class ForeignMeter(api.NoOpMeter):
    """A meter of somebody else's, whose callbacks are asked by hand."""

    def __init__(self) -> None:
        super().__init__("any")
        self.histogram = Foreign()
        self.callbacks: dict[str, Sequence[Callable[..., Any]]] = {}

    def create_histogram(self, *_: Any, **__: Any) -> Foreign:
        return self.histogram

    def create_observable_up_down_counter(self, name: str, callbacks: Any = None, *_: Any, **__: Any) -> Any:
        self.callbacks[name] = callbacks
        return super().create_observable_up_down_counter(name, callbacks)


class ForeignProvider(api.MeterProvider):
    """A provider of somebody else's."""

    def __init__(self) -> None:
        self.meter = ForeignMeter()

    def get_meter(self, *_: Any, **__: Any) -> api.Meter:
        return self.meter


def test_another_provider_is_told_by_its_public_interface() -> None:
    """Every value is recorded, with its attributes, when the provider asks for observations."""
    provider = ForeignProvider()
    metrics = Metrics(provider)
    for value in (0.1, 0.2):
        record(metrics, value)
    (callback,) = provider.meter.callbacks[ACTIVE]
    (active,) = callback(api.CallbackOptions())
    assert active.value == 0
    assert [value for value, _ in provider.meter.histogram.recorded] == [0.1, 0.2]
    assert provider.meter.histogram.recorded[0][1]["http.response.status_code"] == 200


def test_an_sdk_that_is_not_known_is_told_by_its_public_interface(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a part of the SDK has been replaced, each value passes through it."""
    kind = aggregation._ExplicitBucketHistogramAggregation
    original, seen = kind.aggregate, []

    def aggregate(self: Any, measurement: Any, *more: Any) -> None:
        seen.append(measurement.value)
        original(self, measurement, *more)

    monkeypatch.setattr(kind, "aggregate", aggregate)
    metrics = Metrics(MeterProvider([reader], shutdown_on_exit=False))
    for value in (0.1, 0.2, 0.3):
        record(metrics, value)
    assert total(reader) == 3
    assert seen == [0.1, 0.2, 0.3]


def test_readers_that_come_and_go_are_told(metrics: Metrics) -> None:
    """A reader that joins later (newer SDKs) is told what happens from then on."""
    provider = metrics._place._METER_PROVIDER
    if not hasattr(provider, "add_metric_reader"):
        pytest.skip("this SDK's readers are there from the start")
    late: MetricReader = InMemoryMetricReader()
    for _ in range(3):
        record(metrics, 0.1)
    line = metrics.begin(call())
    assert line is not None
    metrics._requests.hand_over(line.series[200])  # type: ignore[union-attr]
    provider.add_metric_reader(late)  # type: ignore[union-attr]
    line.end(200, 0.1)
    assert sum(point.count for point in points(late.get_metrics_data())) == 1  # type: ignore[attr-defined]
