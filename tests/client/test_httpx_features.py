"""What httpx's own client does still works for the policy's URLs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from inspect import signature
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib import AsyncClient, Client
from ambassador_lib._httpx import AsyncClientOptions, ClientOptions
from ambassador_lib.testing import Upstream

from .conftest import MakeClient, Recorder
from .documents import BASE, cluster, policy

HTTPX = [(httpx.Client, ClientOptions, Client), (httpx.AsyncClient, AsyncClientOptions, AsyncClient)]


@pytest.mark.parametrize(("theirs", "options", "ours"), HTTPX)
def test_every_parameter_of_httpx_is_declared(theirs: type, options: type, ours: type) -> None:
    """Our clients declare the parameters of httpx's, all of them and no others."""
    assert issubclass(ours, theirs)
    assert set(options.__annotations__) == set(signature(theirs).parameters)


def test_an_unknown_parameter_is_a_type_error(make_client: MakeClient) -> None:
    """A parameter that neither we nor httpx know is refused as Python does."""
    with pytest.raises(TypeError, match="polici"):
        make_client(polici=policy())


def test_a_response_is_as_httpx_makes_it(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    """Request, default encoding and httpx's log line are there."""
    inner = Recorder(answer=lambda _: httpx.Response(200, content="käse".encode("latin-1")))
    client = make_client(policy(), transport=inner, default_encoding="latin-1")

    with caplog.at_level(logging.INFO, logger="httpx"):
        response = client.get(f"{BASE}/x")

    assert response.text == "käse"
    assert str(response.request.url) == str(response.url) == f"{BASE}/x"
    assert response.is_closed
    assert caplog.messages == [f'HTTP Request: GET {BASE}/x "HTTP/1.1 200 OK"']


def test_the_elapsed_time_is_known_once_the_body_is_read(make_client: MakeClient) -> None:
    """`response.elapsed` goes from sending the request to the end of the body."""
    with Upstream() as upstream:
        response = make_client(policy(clusters=[cluster("up", upstream.port)])).get(BASE)

    assert 0 < response.elapsed.total_seconds() < 10


def test_cookies_are_kept_and_sent(make_client: MakeClient) -> None:
    """A cookie that an upstream sets is sent with the next request."""
    inner = Recorder(answer=lambda _: httpx.Response(200, headers={"Set-Cookie": "session=1; Path=/"}))
    client = make_client(policy(), transport=inner)

    client.get(BASE)
    client.get(BASE)

    assert client.cookies["session"] == "1"
    assert [request.headers.get("cookie") for request in inner.requests] == [None, "session=1"]


def test_a_cookie_jar_of_the_application_sees_every_response(make_client: MakeClient) -> None:
    """A jar that is not the standard library's plain one is asked for every response, with cookies or without."""
    from http.cookiejar import CookieJar

    class Jar(CookieJar):
        asked = 0

        def extract_cookies(self, *args: Any) -> None:
            self.asked += 1

    jar = Jar()
    make_client(policy(), transport=Recorder(), cookies=jar)  # httpx keeps the jar that it is given
    client = make_client(policy(), transport=Recorder(), cookies=jar)
    client.get(BASE)

    assert jar.asked == 1


def test_redirects_are_followed_through_the_policy(make_client: MakeClient) -> None:
    """A redirect to a relative place stays the policy's, one to elsewhere leaves it."""

    def answer(request: httpx.Request) -> httpx.Response:
        places = {"/": "/next", "/next": "https://example.org/end"}
        place = places.get(request.url.path)
        return httpx.Response(302, headers={"Location": place}) if place else httpx.Response(200, text="end")

    response = make_client(policy(), transport=Recorder(answer=answer), follow_redirects=True).get(BASE)

    assert response.text == "end"
    assert [str(step.url) for step in response.history] == [BASE, f"{BASE}/next"]
    assert ["ambassador" in step.extensions for step in (*response.history, response)] == [True, True, False]


def test_redirects_are_bounded(make_client: MakeClient) -> None:
    """`max_redirects` holds for the policy's URLs."""
    inner = Recorder(answer=lambda _: httpx.Response(302, headers={"Location": "/"}))

    with pytest.raises(httpx.TooManyRedirects):
        make_client(policy(), transport=inner, follow_redirects=True, max_redirects=2).get(BASE)

    assert len(inner.requests) == 3


def test_an_auth_flow_sends_its_requests_through_the_policy(make_client: MakeClient) -> None:
    """Each request of an authentication flow is a call of its own."""

    class Challenge(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
            response = yield request
            if response.status_code == 401:
                request.headers["Authorization"] = "second"
                yield request

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if "authorization" in request.headers else 401)

    response = make_client(policy(), transport=Recorder(answer=answer)).get(BASE, auth=Challenge())

    assert response.status_code == 200
    assert [step.status_code for step in response.history] == [401]
    assert "ambassador" in response.history[0].extensions


def test_event_hooks_see_requests_and_responses(kind: str, make_client: MakeClient) -> None:
    """Hooks run once a call, not once a try."""
    seen = []

    def hook(event: object) -> None:
        seen.append(type(event))

    async def async_hook(event: object) -> None:
        hook(event)

    chosen = hook if kind == "sync" else async_hook
    make_client(policy(), transport=Recorder(), event_hooks={"request": [chosen], "response": [chosen]}).get(BASE)

    assert seen == [httpx.Request, httpx.Response]


def test_a_failing_response_hook_closes_the_response(kind: str, make_client: MakeClient) -> None:
    """An exception of a hook reaches the caller, and the body is closed."""
    closed = []

    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"

        def close(self) -> None:
            closed.append(1)

        async def aclose(self) -> None:
            closed.append(1)

    def hook(response: httpx.Response) -> None:
        response.raise_for_status()

    async def async_hook(response: httpx.Response) -> None:
        response.raise_for_status()

    inner = Recorder(answer=lambda _: httpx.Response(404, stream=Body()))
    client = make_client(policy(), transport=inner, event_hooks={"response": [hook if kind == "sync" else async_hook]})

    with pytest.raises(httpx.HTTPStatusError):
        client.get(BASE)
    assert closed == [1]


def test_subclasses_keep_their_hooks(wrap: Any) -> None:
    """A subclass that overrides public methods works as a subclass of httpx's client does."""

    class Mine(Client):
        def request(self, method: str, url: Any, **options: Any) -> httpx.Response:
            return super().request(method, url, **options, params={"tenant": "7"})

    class MyAsync(AsyncClient):
        async def request(self, method: str, url: Any, **options: Any) -> httpx.Response:
            options.pop("params", None)
            return await super().request(method, url, **options, params={"tenant": "7"})

    inner = Recorder()
    client = wrap(Mine, MyAsync)(policy(), transport=inner)
    client.request("GET", f"{BASE}/x")

    assert inner.urls == [f"{BASE}/x?tenant=7"]


def test_streams_pass_through_all_layers() -> None:
    """A streamed response arrives in pieces, and a streamed request body arrives whole."""
    with Upstream() as upstream:
        document = policy(clusters=[cluster("up", upstream.port)])
        with Client(document) as client:
            with client.stream("POST", BASE, content=iter([b"a", b"b"])) as response:
                assert response.status_code == 200
                assert not response.is_closed
                assert b"".join(response.iter_bytes()) != b""
            assert response.is_closed

        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        async def main() -> None:
            async with AsyncClient(document) as client, client.stream("POST", BASE, content=body()) as response:
                assert b"".join([piece async for piece in response.aiter_bytes()]) != b""

        anyio.run(main)
        assert [request.body for request in upstream.requests] == [b"ab", b"ab"]


def test_a_body_of_the_wrong_kind_is_refused() -> None:
    """httpx's own errors for async bodies in a blocking client, and the other way round, are kept."""

    async def body() -> AsyncIterator[bytes]:
        yield b""

    with Client(policy(), transport=Recorder()) as client, pytest.raises(RuntimeError, match="async request"):
        client.post(BASE, content=body())

    async def main() -> None:
        async with AsyncClient(policy(), transport=Recorder()) as client:
            with pytest.raises(RuntimeError, match="sync request"):
                await client.post(BASE, content=iter([b""]))

    anyio.run(main)


def test_a_failure_carries_the_applications_request(make_client: MakeClient) -> None:
    """`exc.request` is the request as the application sent it."""
    with pytest.raises(httpx.ConnectError) as caught:
        make_client(policy(clusters=[cluster("up", port=1)])).get(f"{BASE}/x")

    assert str(caught.value.request.url) == f"{BASE}/x"


@pytest.mark.parametrize("http2", [False, True])
def test_http2_concerns_other_urls(make_client: MakeClient, http2: bool) -> None:
    """`http2=` is httpx's option for what it sends itself: the policy's cluster speaks what the policy says."""
    with Upstream(name="network") as upstream:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]), http2=http2)

        assert client.get(BASE).http_version == "HTTP/1.1"
        assert client.get(upstream.url).text == "network"
