"""Other clients, where they are installed: bare, without any resilience."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .base import Contestant, Simple, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..figures.results import Kind
    from .base import Place, Session


def _open_aiohttp(place: Place) -> Session:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=place.callers))

    async def call() -> None:
        async with session.get(place.url) as response:
            await response.read()
            check(response.status)

    return Simple(call, session.close)


def _open_urllib3(place: Place) -> Session:
    import urllib3

    pool = urllib3.PoolManager(maxsize=place.callers)

    def call() -> None:
        check(pool.request("GET", place.url).status)

    return Simple(call, pool.clear)


def _open_http_client(place: Place) -> Session:
    from http.client import HTTPConnection

    url = urlsplit(place.url)
    target = f"{url.path}?{url.query}" if url.query else url.path
    idle: list[HTTPConnection] = []

    def call() -> None:
        try:
            connection = idle.pop()
        except IndexError:
            assert url.hostname is not None
            connection = HTTPConnection(url.hostname, url.port)
        connection.request("GET", target)
        response = connection.getresponse()
        response.read()
        idle.append(connection)
        check(response.status)

    def close() -> None:
        while idle:
            idle.pop().close()

    return Simple(call, close)


def _open_httpx2_sync(place: Place) -> Session:
    import httpx2

    limits = httpx2.Limits(max_connections=place.callers, max_keepalive_connections=place.callers)
    client = httpx2.Client(limits=limits, trust_env=False)
    return Simple(lambda: check(client.get(place.url).status_code), client.close)


def _open_httpx2_async(place: Place) -> Session:
    import httpx2

    limits = httpx2.Limits(max_connections=place.callers, max_keepalive_connections=place.callers)
    client = httpx2.AsyncClient(limits=limits, trust_env=False)

    async def call() -> None:
        check((await client.get(place.url)).status_code)

    return Simple(call, client.aclose)


def _open_pyreqwest_sync(place: Place) -> Session:
    from pyreqwest.client import SyncClientBuilder

    client = SyncClientBuilder().build()

    def call() -> None:
        response = client.get(place.url).build().send()
        response.bytes()
        check(int(response.status))

    return Simple(call, client.close)


def _open_pyreqwest_async(place: Place) -> Session:
    from pyreqwest.client import ClientBuilder

    client = ClientBuilder().build()

    async def call() -> None:
        response = await client.get(place.url).build().send()
        await response.bytes()
        check(int(response.status))

    return Simple(call, client.close)


def contestants() -> Iterator[Contestant]:
    found: tuple[tuple[str, Kind, Callable[[Place], Session], str], ...] = (
        ("urllib3", "sync", _open_urllib3, "urllib3"),
        ("http.client", "sync", _open_http_client, "http.client"),
        ("aiohttp", "async", _open_aiohttp, "aiohttp"),
        ("httpx2", "sync", _open_httpx2_sync, "httpx2"),
        ("httpx2", "async", _open_httpx2_async, "httpx2"),
        ("pyreqwest", "sync", _open_pyreqwest_sync, "pyreqwest.client"),
        ("pyreqwest", "async", _open_pyreqwest_async, "pyreqwest.client"),
    )
    for name, kind, opened, needs in found:
        yield Contestant(name=name, kind=kind, title=name, family="others", open=opened, needs=(needs,))
    yield Contestant(
        name="aiohttp-envoy", kind="async", title="aiohttp through Envoy", family="others", open=_open_aiohttp,
        needs=("aiohttp",), target="sidecar", through="envoy",
    )  # fmt: skip
