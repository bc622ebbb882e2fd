"""Who is measured: one object a contestant, each around a null transport of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import httpx
import httpx_retries
import pybreaker
import tenacity

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, AsyncClient, Client

from .null import NullTransport
from .policy import URL, all_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "ambassador_lib, all layers"
NULL = "null transport"

SyncCall = Callable[[], None]
AsyncCall = Callable[[], Awaitable[None]]


class _Reader(Protocol):
    def __call__(self, request: httpx.Request) -> httpx.Response: ...


class _AsyncReader(Protocol):
    def __call__(self, request: httpx.Request) -> Awaitable[httpx.Response]: ...


def _to_the_end(send: _Reader) -> SyncCall:
    """Count a call to the end of its body, since only there everything is given back."""
    request = httpx.Request("GET", URL)

    def call() -> None:
        response = send(request)
        response.read()
        response.close()

    return call


def _to_the_end_async(send: _AsyncReader) -> AsyncCall:
    request = httpx.Request("GET", URL)

    async def call() -> None:
        response = await send(request)
        await response.aread()
        await response.aclose()

    return call


def sync_contestants(*, streamed: bool) -> Iterator[tuple[str, SyncCall]]:
    """Yield everybody's blocking call."""
    null = NullTransport(streamed=streamed)
    yield NULL, _to_the_end(null.handle_request)
    yield OURS, _to_the_end(AmbassadorTransport(all_layers(), inner=null).handle_request)
    yield "httpx-retries", _to_the_end(httpx_retries.RetryTransport(null).handle_request)
    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), retry=tenacity.retry_if_exception_type())
    yield "tenacity", _to_the_end(lambda request: retrying(null.handle_request, request))
    breaker = pybreaker.CircuitBreaker()
    yield "pybreaker", _to_the_end(lambda request: breaker.call(null.handle_request, request))
    yield "tenacity + pybreaker", _to_the_end(lambda request: retrying(breaker.call, null.handle_request, request))
    plain = httpx.Client(transport=null)
    yield "httpx.Client.get", lambda: _drop(plain.get(URL))
    client = Client(all_layers(), transport=null)
    yield "ambassador_lib.Client.get", lambda: _drop(client.get(URL))


def async_contestants(*, streamed: bool) -> Iterator[tuple[str, AsyncCall]]:
    """Yield everybody's async call."""
    null = NullTransport(streamed=streamed)
    yield NULL, _to_the_end_async(null.handle_async_request)
    yield OURS, _to_the_end_async(AsyncAmbassadorTransport(all_layers(), inner=null).handle_async_request)
    yield "httpx-retries", _to_the_end_async(httpx_retries.RetryTransport(null).handle_async_request)
    retrying = tenacity.AsyncRetrying(stop=tenacity.stop_after_attempt(3), retry=tenacity.retry_if_exception_type())
    yield "tenacity", _to_the_end_async(lambda request: retrying(null.handle_async_request, request))
    breaker = pybreaker.CircuitBreaker()

    # pybreaker's own `call_async` needs Tornado.
    async def broken(request: httpx.Request) -> httpx.Response:
        with breaker.calling():
            return await null.handle_async_request(request)

    yield "pybreaker", _to_the_end_async(broken)
    yield "tenacity + pybreaker", _to_the_end_async(lambda request: retrying(broken, request))
    plain = httpx.AsyncClient(transport=null)

    async def get() -> None:
        await plain.get(URL)

    yield "httpx.AsyncClient.get", get
    client = AsyncClient(all_layers(), transport=null)

    async def get_ours() -> None:
        await client.get(URL)

    yield "ambassador_lib.AsyncClient.get", get_ours


def _drop(_: httpx.Response) -> None:
    """Leave the response, which the client has read, to its fate."""
