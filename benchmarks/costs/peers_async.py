"""Who is measured with async calls: each around a null transport of its own, with what it needs to be installed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from ambassador_lib import AsyncAmbassadorTransport, AsyncClient

from .null import NullTransport
from .policy import URL, all_layers

AsyncCall = Callable[[], Awaitable[None]]
Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


def ours(send: NullTransport) -> Send:
    return AsyncAmbassadorTransport(all_layers(), inner=send).handle_async_request


def httpx_retries(send: NullTransport) -> Send:
    import httpx_retries as library

    wrapped: Send = library.RetryTransport(send).handle_async_request
    return wrapped


def tenacity(send: NullTransport) -> Send:
    import tenacity as library

    retrying = library.AsyncRetrying(stop=library.stop_after_attempt(3), retry=library.retry_if_exception_type())
    return lambda request: retrying(send.handle_async_request, request)


def stamina(send: NullTransport) -> Send:
    import stamina as library

    retrying = library.AsyncRetryingCaller(attempts=3).on(httpx.TransportError)
    return lambda request: retrying(send.handle_async_request, request)


def hyx_retry(send: NullTransport) -> Send:
    from hyx.retry import retry

    wrapped: Send = retry(on=httpx.TransportError, attempts=3)(send.handle_async_request)
    return wrapped


def hyx_breaker(send: NullTransport) -> Send:
    from hyx.circuitbreaker import consecutive_breaker

    wrapped: Send = consecutive_breaker(exceptions=httpx.TransportError)(send.handle_async_request)
    return wrapped


def pybreaker(send: NullTransport) -> Send:
    import pybreaker as library

    breaker = library.CircuitBreaker()

    # Its own `call_async` needs Tornado.
    async def call(request: httpx.Request) -> httpx.Response:
        with breaker.calling():
            return await send.handle_async_request(request)

    return call


def aiobreaker(send: NullTransport) -> Send:
    import aiobreaker as library

    breaker = library.CircuitBreaker()
    return lambda request: breaker.call_async(send.handle_async_request, request)


def purgatory(send: NullTransport) -> Send:
    import purgatory as library

    factory = library.AsyncCircuitBreakerFactory()

    async def call(request: httpx.Request) -> httpx.Response:
        async with await factory.get_breaker("billing"):
            return await send.handle_async_request(request)

    return call


def tenacity_and_pybreaker(send: NullTransport) -> Send:
    import tenacity

    retrying = tenacity.AsyncRetrying(stop=tenacity.stop_after_attempt(3), retry=tenacity.retry_if_exception_type())
    broken = pybreaker(send)
    return lambda request: retrying(broken, request)


def httpx_client(send: NullTransport) -> Callable[[], Awaitable[httpx.Response]]:
    client = httpx.AsyncClient(transport=send)
    return lambda: client.get(URL)


def our_client(send: NullTransport) -> Callable[[], Awaitable[httpx.Response]]:
    client = AsyncClient(all_layers(), transport=send)
    return lambda: client.get(URL)


def to_the_end(send: Send) -> AsyncCall:
    """Count a call to the end of its body, since only there everything is given back."""
    request = httpx.Request("GET", URL)

    async def call() -> None:
        response = await send(request)
        await response.aread()
        await response.aclose()

    return call


def dropping(get: Callable[[], Awaitable[httpx.Response]]) -> AsyncCall:
    """Leave the response, which the client has read, to its fate."""

    async def call() -> None:
        await get()

    return call
