"""Whoever watches httpx from outside still sees the requests: respx, pytest-httpx, instrumentations, replacements."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
import respx
import vcr
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock

from ambassador_lib import AmbassadorTransport, UpstreamConnectError
from ambassador_lib._httpx import connects, pristine
from ambassador_lib.testing import Upstream

from .conftest import MakeClient, Recorder
from .documents import BASE, cluster, policy


def handler_of(transport: type) -> str:
    return "handle_async_request" if "Async" in transport.__name__ else "handle_request"


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """httpx's transports replaced at class level, as pytest-httpx does; returns what they were asked."""
    seen: list[httpx.Request] = []

    def handle(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="patched")

    async def handle_async(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return handle(None, request)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle_async)
    return seen


def test_a_patched_transport_sees_the_logical_url(make_client: MakeClient, patched: list[httpx.Request]) -> None:
    """A class-level patch sees what the application asked for, and where it would have gone."""
    response = make_client(policy()).get(f"{BASE}/charges")

    assert response.text == "patched"
    assert [str(request.url) for request in patched] == [f"{BASE}/charges"]
    assert patched[0].headers["host"] == "127.0.0.1:15001"
    assert "ambassador_endpoint" in patched[0].extensions
    assert response.extensions["ambassador"].cluster == "up"


def test_a_patch_may_come_and_go(make_client: MakeClient) -> None:
    """A client made before the patch uses it while it is there, and the network afterwards."""
    with Upstream(name="network") as upstream:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]))
        for _ in range(2):
            assert client.get(BASE).text == "network"
            with respx.mock:
                respx.get(BASE).respond(text="mock")
                assert client.get(BASE).text == "mock"
        assert len(upstream.requests) == 2


def test_a_client_made_under_a_patch_uses_the_network_afterwards(make_client: MakeClient) -> None:
    """What was made while httpx was patched is no different when it no longer is."""
    with Upstream(name="network") as upstream:
        with respx.mock:
            client = make_client(policy(clusters=[cluster("up", upstream.port)]))
        assert client.get(BASE).text == "network"


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_sees_every_try(make_client: MakeClient, using: str) -> None:
    """respx answers the tries of a call, whichever way it is hooked in; the policy's retries are made."""
    document = policy()
    routes = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"] = {
        "retry_on": "5xx",
        "num_retries": 1,
        "retry_back_off": {"base_interval": "0.001s"},
    }
    client = make_client(document)

    with respx.mock(using=using) as mock:
        route = mock.get(f"{BASE}/charges").mock(side_effect=[httpx.Response(503), httpx.Response(200, text="mock")])
        response = client.get("/charges")

    assert response.text == "mock"
    assert route.call_count == 2
    assert len(response.extensions["ambassador"].attempts) == 2


def test_respx_sees_passthrough_and_calls_without_a_policy(make_client: MakeClient) -> None:
    """Unclaimed URLs, and all of `Client()`, go where respx looks for them."""
    with respx.mock:
        respx.get("https://example.org/").respond(text="mock")
        assert make_client(policy()).get("https://example.org/").text == "mock"
        assert make_client().get("https://example.org/").text == "mock"


def test_pytest_httpx_sees_the_policys_requests(make_client: MakeClient, httpx_mock: HTTPXMock) -> None:
    """pytest-httpx answers for the policy's URLs as it does for httpx's."""
    httpx_mock.add_response(url=f"{BASE}/charges", text="mock")

    assert make_client(policy()).get("/charges").text == "mock"


def endpoint_of(name: str, upstream: Upstream) -> dict[str, Any]:
    return policy(clusters=[cluster(name, upstream.port)])


@pytest.fixture
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def urls(exporter: InMemorySpanExporter) -> list[Any]:
    return [(span.attributes or {}).get("http.url") for span in exporter.get_finished_spans()]


@pytest.mark.parametrize("made", ["before", "after"])
def test_opentelemetrys_instrumentation_sees_all_and_stops_nothing(
    make_client: MakeClient, spans: tuple[TracerProvider, InMemorySpanExporter], made: str
) -> None:
    """Instrumented for the whole process: a span a try at the logical URL, its trace context upstream, the answer."""
    provider, exporter = spans
    instrumentor = HTTPXClientInstrumentor()
    with Upstream(503, 200, name="network") as upstream:
        document = endpoint_of("up", upstream)
        manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"] = {
            "retry_on": "5xx",
            "retry_back_off": {"base_interval": "0.001s"},
        }
        client = make_client(document) if made == "before" else None
        instrumentor.instrument(tracer_provider=provider)
        try:
            client = client or make_client(document)
            response = client.get(f"{BASE}/x")
        finally:
            instrumentor.uninstrument()
        assert (response.status_code, len(response.extensions["ambassador"].attempts)) == (200, 2)
        assert urls(exporter) == [f"{BASE}/x"] * 2
        contexts = [span.get_span_context() for span in exporter.get_finished_spans()]
        assert [str(request.header("traceparent"))[36:52] for request in upstream.requests] == [
            f"{context.span_id:016x}" for context in contexts if context is not None
        ]
        assert client.get(f"{BASE}/x").status_code == 200
        assert len(urls(exporter)) == 2


def test_opentelemetrys_instrumentation_of_one_client(
    make_client: MakeClient, spans: tuple[TracerProvider, InMemorySpanExporter], kind: str
) -> None:
    """Instrumented alone, a client's calls have spans, and reach their endpoint; other URLs do, too."""
    provider, exporter = spans
    with Upstream(name="network") as upstream:
        client = make_client(endpoint_of("up", upstream))
        inner = client if kind == "sync" else client.client
        HTTPXClientInstrumentor.instrument_client(inner, tracer_provider=provider)
        assert client.get(f"{BASE}/x").text == "network"
        assert client.get(f"{upstream.url}/y").text == "network"
        assert urls(exporter) == [f"{BASE}/x", f"{upstream.url}/y"]
        HTTPXClientInstrumentor.uninstrument_client(inner)
        assert client.get(f"{BASE}/x").text == "network"
        assert len(urls(exporter)) == 2


def test_an_instrumented_call_fails_as_any_other(
    make_client: MakeClient, spans: tuple[TracerProvider, InMemorySpanExporter]
) -> None:
    """What the engine tells of a failure comes through the instrumentation as it is, and so does a deadline."""
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=spans[0])
    try:
        with pytest.raises(UpstreamConnectError, match="refused") as refused:
            make_client(policy(clusters=[cluster("up", port=2)])).get(BASE)
        assert refused.value.call is not None
        assert refused.value.call.attempts[0].endpoint == "127.0.0.1:2"
        with Upstream(name="network") as upstream:
            upstream.hangs()
            with pytest.raises(httpx.ReadTimeout):
                make_client(endpoint_of("up", upstream), timeout=0.1).get(BASE)
    finally:
        instrumentor.uninstrument()


def test_a_given_transport_that_is_instrumented_dials(
    make_client: MakeClient, spans: tuple[TracerProvider, InMemorySpanExporter], kind: str
) -> None:
    """With `transport=` an instrumentation sees the address that this transport is to connect to."""
    provider, exporter = spans
    transport = httpx.HTTPTransport() if kind == "sync" else httpx.AsyncHTTPTransport()
    with Upstream(name="network") as upstream:
        client = make_client(endpoint_of("up", upstream), transport=transport)
        HTTPXClientInstrumentor.instrument_client(client if kind == "sync" else client.client, tracer_provider=provider)
        assert client.get(f"{BASE}/x").text == "network"
        assert len(transport._pool.connections) == 1
    assert len(urls(exporter)) == 1


def test_vcr_records_and_plays(make_client: MakeClient, tmp_path: Path) -> None:
    """VCR.py records what the endpoint answers under the logical URL, and plays it when the endpoint is gone."""
    recorder = vcr.VCR(record_mode="once", cassette_library_dir=str(tmp_path))
    with Upstream(name="network") as upstream:
        document = endpoint_of("up", upstream)
        with recorder.use_cassette("charges.yaml") as cassette:
            assert make_client(document).get(f"{BASE}/charges").text == "network"
        assert [request.uri for request in cassette.requests] == [f"{BASE}/charges"]
    with recorder.use_cassette("charges.yaml") as cassette:
        client = make_client(document)
        assert client.get(f"{BASE}/charges").text == "network"
        assert cassette.play_count == 1
    assert len(upstream.requests) == 1
    with pytest.raises(UpstreamConnectError):
        client.get(f"{BASE}/charges")


def test_respx_passes_on(make_client: MakeClient) -> None:
    """What a mock is told to let through reaches the endpoint by the policy, not the listener's address."""
    with Upstream(name="network") as upstream:
        client = make_client(endpoint_of("up", upstream))
        with respx.mock(using="httpx") as mock:
            mock.get(f"{BASE}/real").pass_through()
            mock.get(f"{BASE}/mocked").respond(text="mock")
            assert client.get(f"{BASE}/real").text == "network"
            assert client.get(f"{BASE}/mocked").text == "mock"


def test_an_instrumented_transport_of_one_client_is_used(make_client: MakeClient, kind: str) -> None:
    """An instrumentation that replaces a method of this client's transport sees the policy's requests, too."""
    client = make_client(policy())
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, text="instrumented")

    async def handle_async(request: httpx.Request) -> httpx.Response:
        return handle(request)

    if kind == "sync":
        client._transport.handle_request = handle
    else:
        client._transport.handle_async_request = handle_async

    assert client.get("/x").text == "instrumented"
    assert seen == [f"{BASE}/x"]


def test_a_replaced_transport_is_used(make_client: MakeClient) -> None:
    """Tests that put their own transport into a client get the policy's requests."""
    client = make_client(policy(), transport=Recorder("given"))
    client._transport = Recorder("replaced")

    assert client.get("/x").text == "replaced"


def test_a_mock_of_one_transport_does_not_reach_a_given_one(
    make_client: MakeClient, patched: list[httpx.Request]
) -> None:
    """With `transport=` given, that one is asked, patched classes or not."""
    assert make_client(policy(), transport=Recorder()).get(BASE).text == "inner"
    assert patched == []


def test_a_plain_client_over_our_transport_is_seen(patched: list[httpx.Request]) -> None:
    """`httpx.Client(transport=AmbassadorTransport(...))` notices the patch as well."""
    with httpx.Client(transport=AmbassadorTransport(policy())) as client:
        assert client.get(f"{BASE}/x").text == "patched"
    assert [str(request.url) for request in patched] == [f"{BASE}/x"]


@pytest.mark.parametrize(
    "owner", [httpx.HTTPTransport, httpx.AsyncHTTPTransport, httpcore.ConnectionPool, httpcore.AsyncConnectionPool]
)
def test_pristine_notices_each_patch(monkeypatch: pytest.MonkeyPatch, owner: type[Any]) -> None:
    """`pristine` is false exactly while one of the four methods is replaced."""
    name = handler_of(owner)
    assert pristine()
    monkeypatch.setattr(owner, name, lambda *_: None)
    assert not pristine()
    monkeypatch.undo()
    assert pristine()


def test_an_untouched_client_does_not_use_httpx_transports(make_client: MakeClient, kind: str) -> None:
    """Unpatched, the policy's URLs are served by the library's own engine: the client's transport is not asked."""
    pool = httpcore.ConnectionPool if kind == "sync" else httpcore.AsyncConnectionPool
    with Upstream() as upstream:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]))
        httpx_pool = client._transport._pool
        assert isinstance(httpx_pool, pool)
        assert client.get(BASE).status_code == 200
        assert httpx_pool.connections == []


_LATE = """
import sys
import ambassador_lib.client
from ambassador_lib._httpx import pristine
names = ["httpcore", "anyio", "trio", "h2", "h11", "ambassador_lib.policy.model", "ambassador_lib.at_work"]
assert not [name for name in names if name in sys.modules]
assert pristine()
import httpcore
{patch}
assert pristine() is {expected}
"""


@pytest.mark.parametrize(
    ("patch", "expected"), [("", True), ("httpcore.ConnectionPool.handle_request = lambda *_: None", False)]
)
def test_httpcore_is_left_to_those_who_need_it(patch: str, expected: bool) -> None:
    """Importing the clients does not import httpcore, an engine or the model; a patch that comes later is noticed."""
    script = _LATE.format(patch=patch, expected=expected)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("pool", [httpcore.ConnectionPool, httpcore.AsyncConnectionPool])
def test_a_transport_over_a_patched_pool_is_not_untouched(monkeypatch: pytest.MonkeyPatch, pool: type[Any]) -> None:
    """Each kind of transport depends on its own pool only; a method of one's own is no longer httpx's."""
    transports = (httpx.HTTPTransport(), httpx.AsyncHTTPTransport())
    assert [connects(transport) for transport in transports] == [True, True]
    monkeypatch.setattr(pool, handler_of(pool), lambda *_: None)
    assert [connects(transport) for transport in transports] == [
        pool is not httpcore.ConnectionPool,
        pool is not httpcore.AsyncConnectionPool,
    ]
    monkeypatch.undo()

    class Own(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, request=request)

    assert not connects(Own())
