"""OpenTelemetry is imported once somebody else has imported it, and spans begin with the next call."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ambassador_lib.call import Attempt, Call
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.telemetry.tracing import API, NAMES_A_PROVIDER, Tracing

LATER = """
import sys
import httpx
from ambassador_lib import Client

def route():
    return {"match": {"prefix": "/"}, "route": {"cluster": "up"}}

def document():
    kind = "type.googleapis.com/envoy.extensions.filters."
    routes = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route()]}]}
    router = {"name": "router", "typed_config": {"@type": kind + "http.router.v3.Router"}}
    manager = {
        "@type": kind + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test", "route_config": routes, "http_filters": [router],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 15001}}
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}}
    cluster = {
        "name": "up", "type": "STATIC",
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"address": address, "filter_chains": [{"filters": filters}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}

def answer(request):
    seen.append(request.headers.get("traceparent"))
    return httpx.Response(200)

seen = []
policy = None if sys.argv[1] == "plain" else document()
client = Client(policy, transport=httpx.MockTransport(answer))
client.get("http://127.0.0.1:15001/")
# Breakers bring redis where it is installed, which brings OpenTelemetry.
assert "redis" in sys.modules or not [name for name in sys.modules if name.startswith("opentelemetry")]

from opentelemetry import trace
client.get("http://127.0.0.1:15001/")

from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
client.get("http://127.0.0.1:15001/")
assert seen[:2] == [None, None] and seen[2].startswith("00-"), seen
"""


@pytest.mark.parametrize("kind", ["plain", "policy"])
def test_a_client_made_before_opentelemetry_traces_as_soon_as_an_sdk_is_there(kind: str) -> None:
    """Calls import nothing of OpenTelemetry; when the application has set an SDK up, the same client's calls trace."""
    subprocess.run([sys.executable, "-c", LATER, kind], check=True, timeout=60)


def late(monkeypatch: pytest.MonkeyPatch) -> Tracing:
    monkeypatch.delenv(NAMES_A_PROVIDER, raising=False)
    return Tracing(clock=SystemClock(), random=random.Random(1))


def test_without_the_api_nothing_is_traced(monkeypatch: pytest.MonkeyPatch, make_call: object) -> None:
    """Before anybody has imported the API a call gets no span, and its end asks for none."""
    monkeypatch.delitem(sys.modules, API)
    call: Call = make_call()  # type: ignore[operator]
    made = late(monkeypatch)
    made.start_call(call)
    assert not made.enabled
    assert call.span is None
    assert made.start_try(call, Attempt(1), []) is None
    made.end_try(None, 200, None)
    made.end_call(call, 200, None)
    made.follow(call, call, sampled=False)
    assert made.made() is None


def test_with_the_api_there_spans_are_made(monkeypatch: pytest.MonkeyPatch, make_call: object) -> None:
    """Whoever holds it from before goes on with it; what began before has no span."""
    early: Call = make_call()  # type: ignore[operator]
    made = late(monkeypatch)
    with monkeypatch.context() as without:
        without.delitem(sys.modules, API)
        made.start_call(early)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider())
    call: Call = make_call()  # type: ignore[operator]
    made.start_call(call)
    assert made.enabled
    assert early.span is None
    assert call.span is not None


def test_a_provider_that_the_environment_names_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `OTEL_PYTHON_TRACER_PROVIDER` the API itself sets a provider up, so it is imported at once."""
    assert late(monkeypatch)._made is None
    monkeypatch.setenv(NAMES_A_PROVIDER, "default_tracer_provider")
    assert Tracing(clock=SystemClock(), random=random.Random(1))._made is not None
