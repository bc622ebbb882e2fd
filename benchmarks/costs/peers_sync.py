"""Who is measured with blocking calls: each around a null transport of its own, with what it needs to be installed."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from ambassador_lib import AmbassadorTransport, Client

from .null import NullTransport
from .policy import URL, all_layers

SyncCall = Callable[[], None]
Send = Callable[[httpx.Request], httpx.Response]


def ours(send: NullTransport) -> Send:
    return AmbassadorTransport(all_layers(), inner=send).handle_request


def httpx_retries(send: NullTransport) -> Send:
    import httpx_retries as library

    wrapped: Send = library.RetryTransport(send).handle_request
    return wrapped


def tenacity(send: NullTransport) -> Send:
    import tenacity as library

    retrying = library.Retrying(stop=library.stop_after_attempt(3), retry=library.retry_if_exception_type())
    return lambda request: retrying(send.handle_request, request)


def stamina(send: NullTransport) -> Send:
    import stamina as library

    retrying = library.RetryingCaller(attempts=3).on(httpx.TransportError)
    return lambda request: retrying(send.handle_request, request)


def pybreaker(send: NullTransport) -> Send:
    import pybreaker as library

    breaker = library.CircuitBreaker()
    return lambda request: breaker.call(send.handle_request, request)


def purgatory(send: NullTransport) -> Send:
    import purgatory as library

    factory = library.SyncCircuitBreakerFactory()

    def call(request: httpx.Request) -> httpx.Response:
        with factory.get_breaker("billing"):
            return send.handle_request(request)

    return call


def tenacity_and_pybreaker(send: NullTransport) -> Send:
    import pybreaker as library
    import tenacity

    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), retry=tenacity.retry_if_exception_type())
    breaker = library.CircuitBreaker()
    return lambda request: retrying(breaker.call, send.handle_request, request)


def httpx_client(send: NullTransport) -> Callable[[], httpx.Response]:
    client = httpx.Client(transport=send)
    return lambda: client.get(URL)


def our_client(send: NullTransport) -> Callable[[], httpx.Response]:
    client = Client(all_layers(), transport=send)
    return lambda: client.get(URL)


def to_the_end(send: Send) -> SyncCall:
    """Count a call to the end of its body, since only there everything is given back."""
    request = httpx.Request("GET", URL)

    def call() -> None:
        response = send(request)
        response.read()
        response.close()

    return call


def dropping(get: Callable[[], httpx.Response]) -> SyncCall:
    """Leave the response, which the client has read, to its fate."""

    def call() -> None:
        get()

    return call
