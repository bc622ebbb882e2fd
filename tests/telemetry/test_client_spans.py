"""Spans and headers as a user of the public clients meets them, blocking and under asyncio."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from ambassador_lib import AmbassadorError, AsyncClient, Client

URL = "http://127.0.0.1:15001/charges"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-(.)[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Handler = Callable[[httpx.Request], httpx.Response]
Send = Callable[..., httpx.Response]


class Ledger(SpanProcessor):
    """Keeps what was started and what has ended."""

    def __init__(self) -> None:
        self.started: list[Span] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: object = None) -> None:
        self.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    @property
    def balanced(self) -> bool:
        return len(self.started) == len(self.ended)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Set an SDK up globally, for one test."""
    ledger, provider = Ledger(), TracerProvider()
    provider.add_span_processor(ledger)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield ledger
    provider.shutdown()


@pytest.fixture(params=["sync", "asyncio"])
def send(request: pytest.FixtureRequest) -> Send:
    """Send one GET through the client of the mode and read its body."""

    def blocking(handler: Handler, policy: dict[str, Any], **headers: str) -> httpx.Response:
        with Client(policy, transport=httpx.MockTransport(handler)) as client:
            return client.get(URL, headers=headers)

    def suspending(handler: Handler, policy: dict[str, Any], **headers: str) -> httpx.Response:
        async def main() -> httpx.Response:
            async with AsyncClient(policy, transport=httpx.MockTransport(handler)) as client:
                return await client.get(URL, headers=headers)

        return asyncio.run(main())

    return blocking if request.param == "sync" else suspending


def policy(tracing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a listener on port 15001 that retries 5xx at two endpoints."""
    manager: dict[str, Any] = {
        "@type": (
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        ),
        "stat_prefix": "billing",
        "route_config": {"virtual_hosts": [{"name": "billing", "domains": ["*"], "routes": [_route()]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    if tracing is not None:
        manager["tracing"] = tracing
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 15001}}
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in (21001, 21002)
    ]
    cluster = {
        "name": "billing_upstream",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "billing_upstream", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    listener = {"name": "billing", "address": address, "filter_chains": [{"filters": filters}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _route() -> dict[str, Any]:
    retries = {
        "retry_on": "5xx",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
    }
    return {
        "match": {"prefix": "/"},
        "route": {"cluster": "billing_upstream", "retry_policy": retries},
        "decorator": {"operation": "charge"},
    }


class Upstream:
    """Answers with the given statuses in turn, then 200, and keeps the requests."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self._statuses.pop(0) if self._statuses else 200, text="charged")


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused")


def identity(request: httpx.Request) -> str:
    """Return the span id that a request carries."""
    return str(request.headers["traceparent"]).split("-")[2]


def test_tries_are_children_of_the_call(send: Send, ledger: Ledger) -> None:
    """Two 503s and a success are three CLIENT spans, whose ids the upstreams saw, below one span of the call."""
    upstream = Upstream(503, 503)
    assert send(upstream, policy()).status_code == 200
    *tries, logical = ledger.ended
    assert ledger.balanced
    assert (logical.name, logical.kind) == ("charge", SpanKind.INTERNAL)
    assert [span.parent for span in tries] == [logical.context] * 3
    assert [f"{span.context.span_id:016x}" for span in tries if span.context] == list(map(identity, upstream.requests))
    assert [(span.attributes or {}).get("http.request.resend_count") for span in tries] == [None, 1, 2]
    assert [(span.attributes or {})["http.response.status_code"] for span in (*tries, logical)] == [503, 503, 200, 200]
    assert {(span.attributes or {})["network.peer.port"] for span in tries} == {21001, 21002}


def test_headers_may_name_the_calls_span(send: Send, ledger: Ledger) -> None:
    """`%TRACE_ID%` and `%SPAN_ID%` are the identity of the logical request's span."""
    document = policy()
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["request_headers_to_add"] = [
        {"header": {"key": f"x-{name}", "value": f"%{name.upper()}_ID%"}} for name in ("trace", "span")
    ]
    upstream = Upstream()
    send(upstream, document)
    context = ledger.ended[-1].context
    assert context is not None
    told = [upstream.requests[0].headers[f"x-{name}"] for name in ("trace", "span")]
    assert told == [f"{context.trace_id:032x}", f"{context.span_id:016x}"]


def test_a_failed_call_ends_its_spans(send: Send, ledger: Ledger) -> None:
    """Each try that failed and the call are ended, with the exception's name."""
    with pytest.raises(AmbassadorError):
        send(refuse, policy())
    assert ledger.balanced
    assert len(ledger.ended) == 4
    assert {(span.attributes or {})["error.type"] for span in ledger.ended} == {
        "ambassador_lib.errors.UpstreamConnectError"
    }


def test_the_calls_span_ends_with_the_body(ledger: Ledger) -> None:
    """While a stream is open the call is not over; closing it early ends the span."""
    upstream = httpx.MockTransport(lambda _: httpx.Response(200, stream=Body()))
    with Client(policy(), transport=upstream) as client:
        with client.stream("GET", URL) as response:
            next(response.iter_raw())
            assert [span.kind for span in ledger.ended] == [SpanKind.CLIENT]
        assert ledger.balanced
    assert "error.type" not in (ledger.ended[-1].attributes or {})


class Body(httpx.SyncByteStream):
    """Two chunks."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        yield b"two"


def test_a_cancelled_call_ends_its_spans(ledger: Ledger) -> None:
    """Cancellation in the middle of a try ends the try's span and the call's."""

    async def main() -> None:
        reached = asyncio.Event()

        async def hang(request: httpx.Request) -> httpx.Response:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError("cancelled before")

        async with AsyncClient(policy(), transport=httpx.MockTransport(hang)) as client:
            task = asyncio.create_task(client.get(URL))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert ledger.balanced
    assert [(span.attributes or {})["error.type"] for span in ledger.ended] == ["asyncio.exceptions.CancelledError"] * 2


def test_the_request_id_is_one_for_all_tries(send: Send) -> None:
    """A missing id is made once, is a random UUID, and every retry carries it."""
    upstream = Upstream(503)
    send(upstream, policy())
    first, second = (request.headers["x-request-id"] for request in upstream.requests)
    found = UUID.fullmatch(first)
    assert found is not None
    assert found[1] == "4"
    assert first == second


def test_a_request_id_of_the_application_is_kept(send: Send) -> None:
    """Any string is kept to the letter, with tracing configured as well."""
    for document in (policy(), policy({})):
        upstream = Upstream()
        send(upstream, document, **{"x-request-id": "mine"})
        assert upstream.requests[0].headers["x-request-id"] == "mine"


@pytest.mark.parametrize(("share", "digit", "flag"), [(100.0, "9", "01"), (0.0, "4", "00")])
def test_the_policys_sampling_reaches_the_upstream(
    send: Send, ledger: Ledger, share: float, digit: str, flag: str
) -> None:
    """With `tracing` configured, id and `traceparent` both tell the decision, and only a sampled call is recorded."""
    upstream = Upstream()
    send(upstream, policy({"random_sampling": {"value": share}}), traceparent=TRACEPARENT)
    (request,) = upstream.requests
    assert request.headers["x-request-id"][14] == digit
    assert request.headers["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
    assert int(request.headers["traceparent"][-2:], 16) & 1 == int(flag)
    assert len(ledger.ended) == (2 if flag == "01" else 0)
    assert ledger.balanced


def test_without_an_sdk_trace_headers_pass_through(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application sent arrives as it was, and nothing is added."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    upstream = Upstream()
    send(upstream, policy(), traceparent=TRACEPARENT)
    assert upstream.requests[0].headers["traceparent"] == TRACEPARENT
    assert not any(name.startswith("x-b3") for name in upstream.requests[0].headers)


def test_a_client_without_a_policy_has_a_span_for_each_call(ledger: Ledger) -> None:
    """The library's safe defaults are traced as well: a span for each try, failed ones included, below the call's."""
    with Client(transport=httpx.MockTransport(refuse)) as client, pytest.raises(httpx.ConnectError):
        client.get(URL)
    assert ledger.balanced
    *tries, call = ledger.ended
    assert [span.kind for span in (*tries, call)] == [SpanKind.CLIENT] * 3 + [SpanKind.INTERNAL]
    assert call.context is not None
    assert {span.parent.span_id for span in tries if span.parent} == {call.context.span_id}
    assert [span.attributes["error.type"] for span in tries if span.attributes] == ["httpx.ConnectError"] * 3


@pytest.mark.usefixtures("ledger")
def test_without_a_policy_each_try_carries_its_own_span(ledger: Ledger) -> None:
    """The upstream sees the try's identity; all else stays as the application wrote it, in its order."""
    upstream = Upstream()
    given = [("X-First", "1"), ("Traceparent", TRACEPARENT), ("tracestate", "a=b"), ("X-Twice", "2"), ("x-twice", "3")]
    with Client(transport=httpx.MockTransport(upstream)) as client:
        assert client.post(URL, headers=given, content=b"body").status_code == 200
        expected = client.build_request("POST", URL, headers=given, content=b"body").headers.raw
    [seen] = upstream.requests
    [attempt, call] = ledger.ended
    assert attempt.context is not None
    assert call.context is not None
    trace_id, span_id = TRACEPARENT.split("-")[1], f"{attempt.context.span_id:016x}"
    assert seen.headers["traceparent"] == f"00-{trace_id}-{span_id}-01"
    traced = {b"traceparent", b"tracestate"}
    plain = [header for header in seen.headers.raw if header[0].lower() not in traced]
    assert plain == [header for header in expected if header[0].lower() not in traced]
    assert (seen.content, str(seen.url)) == (b"body", URL)
    assert attempt.attributes is not None
    assert attempt.attributes["http.response.status_code"] == 200
    assert attempt.attributes["url.full"] == URL
    assert (attempt.attributes["server.address"], attempt.attributes["server.port"]) == ("127.0.0.1", 15001)
