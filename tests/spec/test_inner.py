"""Any httpx transport underneath: what it is shown, and that what it raises comes through (contract, `inner`)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, UpstreamConnectError

from .documents import bootstrap, cluster, listener, policy, route, vhost
from .harness import Spec, story, told

REWRITING = bootstrap(
    routes=[
        route(match={"prefix": "/api/"}, prefix_rewrite="/v1/", host_rewrite_literal="up.test"),
        route(),
    ]
)


class Application:
    """One application under test as WSGI and as ASGI: answers with what it sees, and fails on demand."""

    def __init__(self) -> None:
        self.calls = 0

    def _answer(self, host: str, path: str, query: str, body: bytes) -> bytes:
        self.calls += 1
        if path == "/fail":
            raise ZeroDivisionError("a bug of the application's")
        return f"{host} {path}?{query} {body.decode()}".encode()

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        answer = self._answer(environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"], body)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [answer]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        host = dict(scope["headers"])[b"host"].decode()
        answer = self._answer(host, scope["path"], scope["query_string"].decode(), body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": answer})

    def transport(self, spec: Spec) -> Any:
        return httpx.WSGITransport(self.wsgi) if spec.is_blocking else httpx.ASGITransport(self.asgi)


def in_each_place(spec: Spec, document: Any, inner: Any) -> list[Any]:
    """Return clients with `inner` under a transport of ours, and under our client."""
    kind = AmbassadorTransport if spec.is_blocking else AsyncAmbassadorTransport
    plain = httpx.Client if spec.is_blocking else httpx.AsyncClient
    wrapped: Any = plain(transport=kind(document, inner=inner), trust_env=False)  # type: ignore[arg-type]
    spec.given_client(document, upstream=inner)
    return [wrapped, spec.client]


def test_an_application_sees_the_logical_url(spec: Spec) -> None:
    """Path and Host are as the policy rewrote them; the body comes along."""
    application = Application()
    for client in in_each_place(spec, REWRITING, application.transport(spec)):
        response = spec.wait(client.post("http://127.0.0.1:15001/api/charges?q=1", content=b"pay"))
        assert "up.test /v1/charges?q=1 pay" == response.text
        assert "10.0.0.1:80" == story(response).attempts[0].endpoint
    assert 2 == application.calls


def test_what_an_application_raises_comes_through(spec: Spec) -> None:
    """A bug of the application under test is neither wrapped nor retried, and gives everything back."""
    retry = {"retry_policy": {"retry_on": "5xx,reset,connect-failure", "num_retries": 3}}
    application = Application()
    for client in in_each_place(spec, bootstrap(route=retry), application.transport(spec)):
        with pytest.raises(ZeroDivisionError, match="a bug") as caught:
            spec.wait(client.get("http://127.0.0.1:15001/fail"))
        assert 1 == len(told(caught.value).attempts)
    assert 2 == application.calls
    spec.assert_nothing_held()


def test_a_mock_transport_sees_the_request(spec: Spec) -> None:
    """The URL is the application's but for the path; the endpoint stands in the extensions; the body is read."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"content": request.content.decode()})

    for client in in_each_place(spec, REWRITING, httpx.MockTransport(answer)):
        response = spec.wait(client.put("http://localhost:15001/api/x?q=%20", content=b"body"))
        assert {"content": "body"} == response.json()
        request = seen.pop()
        assert ("http", "localhost", 15001, b"/v1/x?q=%20") == (
            request.url.scheme, request.url.host, request.url.port, request.url.raw_path,
        )  # fmt: skip
        assert ("PUT", "up.test") == (request.method, request.headers["host"])
        assert "10.0.0.1:80" == request.extensions["ambassador_endpoint"]
        assert "/api/x?q=%20" == request.headers["x-envoy-original-path"]


def test_a_mock_that_fails_is_an_upstream_that_fails(spec: Spec) -> None:
    """An httpx exception of the inner transport is a failure like any other: retried, then the contract's."""
    tries = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        raise httpx.ConnectError("refused", request=request)

    retry = {"retry_policy": {"retry_on": "connect-failure", "num_retries": 2}}
    for client in in_each_place(spec, bootstrap(route=retry), httpx.MockTransport(answer)):
        tries = 0
        with pytest.raises(UpstreamConnectError):
            spec.wait(client.get("http://127.0.0.1:15001/"))
        assert 3 == tries


def test_every_try_is_a_request_of_its_own(spec: Spec) -> None:
    """What a mock does to one request is not carried into the next try, nor into the application's."""
    retry = {"retry_policy": {"retry_on": "5xx"}}

    def spoil(request: httpx.Request) -> httpx.Response:
        assert "x-spoilt" not in request.headers
        request.headers["x-spoilt"] = "1"
        request.extensions["spoilt"] = True
        return httpx.Response(503)

    response = spec.given(bootstrap(route=retry), spoil).get()
    assert 2 == len(spec.upstream.seen)
    assert "x-spoilt" not in response.request.headers
    assert "spoilt" not in response.request.extensions


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_names_are_not_resolved(spec: Spec, kind: str) -> None:
    """A name that nobody can resolve stands for itself, and nobody waits for it."""
    address = {"socket_address": {"address": "billing.invalid", "port_value": 8080}}
    groups = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    upstream = cluster(groups=groups, type=kind)
    spec.given(policy(listener(vhost(routes=[route(auto_host_rewrite=True)])), clusters=[upstream]))
    spec.wait(spec.transport.ready(timeout=0))
    assert "billing.invalid:8080" == story(spec.get()).attempts[0].endpoint
    assert ["billing.invalid:8080"] == spec.endpoints
    assert "billing.invalid" == spec.upstream.seen[0].headers["host"]


def test_no_active_health_checks_run(spec: Spec) -> None:
    """Hosts are not held back for checks that nobody makes."""
    check = {
        "timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1,
        "http_health_check": {"path": "/health"},
    }  # fmt: skip
    calm = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}
    spec.given(bootstrap(cluster={"health_checks": [check], **calm}))
    spec.wait(spec.transport.ready(timeout=0))
    assert 200 == spec.get().status_code
    assert ["/"] == [request.url.path for request in spec.upstream.seen]


def test_the_applications_extensions_are_passed_down(spec: Spec) -> None:
    """What the application put into a request's extensions is there for the inner transport."""
    spec.given(bootstrap())
    spec.get(extensions={"mine": 1})
    assert 1 == spec.upstream.seen[0].extensions["mine"]
