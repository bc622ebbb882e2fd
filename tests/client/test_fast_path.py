"""The clients' quick way is taken when it may be, and never past anybody who has changed something on httpx's way."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from httpx._client import BaseClient, BoundAsyncStream, BoundSyncStream

from ambassador_lib import AsyncClient, Client
from ambassador_lib._httpx.patched import AsWritten
from ambassador_lib.runtime.stepping import run_sync

from .conftest import MakeClient
from .documents import BASE, policy

URL = "http://elsewhere.test/x"
STEPS = [
    "request", "send", "build_request", "_merge_url", "_merge_headers", "_merge_cookies", "_merge_queryparams",
    "_build_request_auth", "_send_handling_auth", "_send_handling_redirects", "_send_single_request", "_set_timeout",
]  # fmt: skip
"""What a call passes in httpx's client."""
OURS = {"_send_single_request", "_set_timeout"}
"""... and of these, what our clients do themselves."""


class Complete(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers with a body that has arrived with the head, as the engine does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"x": "y"}, stream=httpx.ByteStream(b"body"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


def test_the_quick_way_is_taken(make_client: MakeClient) -> None:
    """URLs are shared between requests, and a body that is there is not read through generators."""
    client = make_client(policy(), transport=Complete())
    relative = [client.build_request("GET", "/x").url for _ in range(2)]
    assert relative[0] is relative[1]
    responses = [client.get(URL) for _ in range(3)]

    assert responses[1].request.url is responses[2].request.url
    for response in responses[1:]:  # the first call opens the client
        assert type(response.stream) is httpx.ByteStream
        assert response.content == b"body"
        assert response.is_closed
        assert response.num_bytes_downloaded == 4
        assert 0 < response.elapsed.total_seconds() < 10
        with pytest.raises(httpx.StreamConsumed):
            next(response.iter_raw())


def test_requests_share_nothing_that_may_be_changed(make_client: MakeClient) -> None:
    """What is done to one request is not seen in the next."""
    client = make_client(policy(), transport=Complete())
    first = client.build_request("GET", URL)
    first.headers["x-mine"] = "1"
    first.extensions["timeout"]["read"] = 77
    first.extensions["mine"] = 1
    second = client.build_request("GET", URL)

    assert "x-mine" not in second.headers
    assert "x-mine" not in client.headers
    assert second.extensions == {"timeout": httpx.Timeout(5.0).as_dict()}


@pytest.mark.parametrize("name", STEPS)
def test_an_override_is_called(wrap: Any, name: str) -> None:
    """A subclass that changes any step of httpx's client, a private one too, has it called for every request."""
    calls = []

    def override(base: type) -> Any:
        def step(self: Any, *arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return getattr(super(classes[base], self), name)(*arguments, **options)

        return step

    classes: dict[type, Any] = {
        base: type(base.__name__, (base,), {name: override(base)}) for base in (Client, AsyncClient)
    }
    client = wrap(classes[Client], classes[AsyncClient])(policy(), transport=Complete())
    for _ in range(2):
        assert client.get(URL).content == b"body"

    assert calls == [name, name]


@pytest.mark.parametrize("name", ["headers", "cookies", "params", "timeout", "base_url"])
def test_an_overridden_setting_is_read(name: str) -> None:
    """A subclass may compute what httpx keeps: headers with a fresh token, say."""
    reads = []

    def read(self: Any) -> Any:
        reads.append(name)
        return getattr(super(kind, self), name)

    inherited = getattr(httpx.Client, name)
    kind: Any = type("Mine", (Client,), {name: property(read, inherited.fset)})
    with kind(policy(), transport=Complete()) as client:
        client.get("/x")
        reads.clear()
        client.get("/x")

    assert reads


@pytest.mark.parametrize("name", [name for name in STEPS if name not in OURS])
def test_a_patch_of_httpxs_client_is_seen(
    make_client: MakeClient, kind: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Who patches a method of httpx's client, as error trackers and tests do, sees every request while it lasts."""
    client = make_client(policy(), transport=Complete())
    client.get(URL)
    owner = httpx.Client if kind == "sync" else httpx.AsyncClient
    home = next(base for base in owner.__mro__ if name in vars(base))
    original, calls = getattr(home, name), []

    def patched(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(home, name, patched)
        assert client.get(URL).content == b"body"
    assert calls == [name]
    assert type(client.get(URL).stream) is httpx.ByteStream
    assert calls == [name]


def test_a_patch_of_the_response_is_seen(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who patches how responses are read sees them read."""
    client = make_client(policy(), transport=Complete())
    read, calls = httpx.Response.read, []

    def patched(self: httpx.Response) -> bytes:
        calls.append(1)
        return read(self)

    async def patched_too(self: httpx.Response) -> bytes:
        calls.append(1)
        return await aread(self)

    aread = httpx.Response.aread
    monkeypatch.setattr(httpx.Response, "read", patched)
    monkeypatch.setattr(httpx.Response, "aread", patched_too)

    for _ in range(2):
        assert client.get(URL).content == b"body"
    assert len(calls) == 2


def test_what_was_patched_at_first_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch that is there when the library is imported is one; when it is gone, all is as written."""
    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_merge_headers", lambda *_: None)
        steps = AsWritten(Client, "_merge_headers", "headers")
        assert not steps.are_as_written(Client)
    assert steps.are_as_written(Client)
    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "headers", property(lambda _: None))
        assert not steps.are_as_written(Client)
    assert steps.are_as_written(Client)


def test_another_json_encoder_is_used(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has given httpx a faster encoder finds it used."""
    client = make_client(policy(), transport=Complete())
    assert client.build_request("POST", URL, json={"a": 1}).content == b'{"a":1}'
    monkeypatch.setattr("httpx._content.json_dumps", lambda *_, **__: "mine")
    assert client.build_request("POST", URL, json={"a": 1}).content == b"mine"


@pytest.mark.parametrize("name", ["x-a", b"x-\xe4"])
def test_headers_that_can_be_read_once_are_read_once(make_client: MakeClient, name: Any) -> None:
    """An iterator of headers is merged completely, whichever way it goes."""
    client = make_client(policy(), transport=Complete(), headers={"x-c": b"\xe4"})  # httpx guesses Latin-1
    request = client.build_request("GET", URL, headers=iter([(name, "1"), ("x-b", "2")]))

    assert request.headers.get_list("x-b") == ["2"]
    assert request.headers.raw[-2][1] == b"1"


class Body(httpx.ByteStream):
    """Not a plain `ByteStream`: it has to be read."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"body"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"body"


class Piecewise(Complete):
    """Answers with a body that has to be read."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Body(b"body"))


ROUNDS = 5


async def least_garbage(call: Callable[[], Awaitable[None]]) -> int:
    """Return what calls leave to the cyclic garbage collector in the round in which nobody else left anything.

    Threads of other tests may still be on their way out; what calls leave is there in each round.
    """
    await call()
    gc.collect()
    least = sys.maxsize
    for _ in range(ROUNDS):
        for _ in range(20):
            await call()
        least = min(least, gc.collect())
        if not least:
            break
    return least


def garbage(
    call: Callable[[Client], None], call_async: Callable[[AsyncClient], Awaitable[None]], transport: type[Complete]
) -> tuple[int, int]:
    """Return what calls leave with both clients."""

    async def awaited() -> int:
        async with AsyncClient(policy(), transport=transport()) as client:
            return await least_garbage(lambda: call_async(client))

    with Client(policy(), transport=transport()) as client:

        async def called() -> None:
            call(client)

        return run_sync(least_garbage(called)), asyncio.run(awaited())


@pytest.mark.parametrize("transport", [Complete, Piecewise])
def test_a_call_leaves_no_garbage(transport: type[Complete]) -> None:
    """Nothing of a call is left to the cyclic garbage collector, neither of a complete answer nor of a read one."""

    def call(client: Client) -> None:
        client.post(URL, json={"a": 1}, headers={"x": "y"})

    async def call_async(client: AsyncClient) -> None:
        await client.post(URL, json={"a": 1}, headers={"x": "y"})

    assert garbage(call, call_async, transport) == (0, 0)


@pytest.mark.parametrize("transport", [Complete, Piecewise])
def test_a_streamed_answer_leaves_no_garbage(transport: type[Complete]) -> None:
    """`client.stream` leaves nothing either, be the answer read, iterated over or closed without a look at it."""

    def call(client: Client) -> None:
        with client.stream("GET", URL) as response:
            response.read()
        with client.stream("GET", URL) as response:
            assert list(response.iter_raw()) == [b"body"]
        with client.stream("GET", URL):
            pass

    async def call_async(client: AsyncClient) -> None:
        async with client.stream("GET", URL) as response:
            await response.aread()
        async with client.stream("GET", URL) as response:
            assert [chunk async for chunk in response.aiter_raw()] == [b"body"]
        async with client.stream("GET", URL):
            pass

    assert garbage(call, call_async, transport) == (0, 0)


def test_a_stream_is_bound_until_it_is_closed(make_client: MakeClient) -> None:
    """What is not read yet has no time elapsed; once it is closed, the stream is the transport's own again."""
    client = make_client(policy(), transport=Piecewise())
    client.get(URL)
    with client.stream("GET", URL) as response:
        assert isinstance(response.stream, (BoundSyncStream, BoundAsyncStream))
        with pytest.raises(RuntimeError, match="elapsed"):
            _ = response.elapsed

    assert type(response.stream) is Body
    assert 0 < response.elapsed.total_seconds() < 10


def test_a_stream_stays_a_stream() -> None:
    """`client.stream` gives the body to whoever reads it, even if it has arrived."""
    with Client(policy(), transport=Complete()) as client:
        client.get(URL)
        with client.stream("GET", URL) as response:
            assert not response.is_closed
            with pytest.raises(httpx.ResponseNotRead):
                _ = response.content
            assert list(response.iter_raw()) == [b"body"]
        assert response.is_closed


def test_a_response_that_a_transport_gives_twice_is_whole_both_times(make_client: MakeClient) -> None:
    """Mocks return one response object again and again."""
    answer = httpx.Response(200, text="mock")
    client = make_client(policy(), transport=httpx.MockTransport(lambda _: answer))

    for _ in range(3):
        response = client.get(URL)
        assert (response.text, response.history) == ("mock", [])


def test_a_closed_client_refuses(make_client: MakeClient) -> None:
    """A client that was closed says so in httpx's words."""
    client = make_client(policy(), transport=Complete())
    client.get(BASE)
    client.close()
    with pytest.raises(RuntimeError, match="has been closed"):
        client.get(BASE)
