"""What one builds by hand: httpx, tenacity's retries, a breaker of pybreaker and OpenTelemetry's instrumentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..load.absence import NOT_FRESH
from .base import Contestant, Simple, check
from .httpx_family import limits
from .ours import tracer_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..figures.results import Kind
    from .base import Place, Session

NEEDS = ("httpx", "tenacity", "pybreaker", "opentelemetry.instrumentation.httpx", "opentelemetry.sdk.trace.export")


def _open_sync(place: Place) -> Session:
    import httpx
    import pybreaker
    import tenacity
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    tracing = tracer_provider(sampled=True)
    client = httpx.Client(limits=limits(place), timeout=10.0, trust_env=False)
    HTTPXClientInstrumentor().instrument_client(client, tracer_provider=tracing)
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_random_exponential(0.05, 1.0),
        retry=tenacity.retry_if_exception_type(httpx.HTTPError),
        reraise=True,
    )

    def once() -> httpx.Response:
        return client.get(place.url).raise_for_status()

    def call() -> None:
        check(retrying(breaker.call, once).status_code)

    def close() -> None:
        client.close()
        tracing.shutdown()

    return Simple(call, close)


def _open_async(place: Place) -> Session:
    import httpx
    import pybreaker
    import tenacity
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    tracing = tracer_provider(sampled=True)
    client = httpx.AsyncClient(limits=limits(place), timeout=10.0, trust_env=False)
    HTTPXClientInstrumentor().instrument_client(client, tracer_provider=tracing)
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_random_exponential(0.05, 1.0),
        retry=tenacity.retry_if_exception_type(httpx.HTTPError),
        reraise=True,
    )

    async def once() -> httpx.Response:
        # pybreaker's own `call_async` needs Tornado.
        with breaker.calling():
            return (await client.get(place.url)).raise_for_status()

    async def call() -> None:
        check((await retrying(once)).status_code)

    async def close() -> None:
        await client.aclose()
        tracing.shutdown()

    return Simple(call, close)


def contestants() -> Iterator[Contestant]:
    ways: dict[Kind, Callable[[Place], Session]] = {"sync": _open_sync, "async": _open_async}
    for kind, opened in ways.items():
        yield Contestant(
            name="diy", kind=kind, title="httpx + tenacity + pybreaker + OpenTelemetry", family="diy", open=opened,
            needs=NEEDS, telemetry="sampled", without=NOT_FRESH,
        )  # fmt: skip
