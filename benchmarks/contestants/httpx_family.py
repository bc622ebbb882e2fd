"""httpx as it comes, straight to the upstream and through sidecars. Its limits alone are raised: all callers fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Contestant, Simple, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from .base import Place, Session

SIDECARS = {"envoy": "Envoy", "haproxy": "HAProxy", "nginx": "nginx"}


def limits(place: Place) -> httpx.Limits:
    import httpx

    return httpx.Limits(max_connections=place.callers, max_keepalive_connections=place.callers)


def sync_session(client: httpx.Client, url: str) -> Session:
    def call() -> None:
        check(client.get(url).status_code)

    return Simple(call, client.close)


def async_session(client: httpx.AsyncClient, url: str) -> Session:
    async def call() -> None:
        check((await client.get(url)).status_code)

    return Simple(call, client.aclose)


def _open_sync(place: Place) -> Session:
    import httpx

    # What the environment says of proxies is no part of the comparison.
    return sync_session(httpx.Client(limits=limits(place), trust_env=False), place.url)


def _open_async(place: Place) -> Session:
    import httpx

    return async_session(httpx.AsyncClient(limits=limits(place), trust_env=False), place.url)


def contestants() -> Iterator[Contestant]:
    yield Contestant(name="httpx", kind="sync", title="httpx", family="httpx", open=_open_sync, needs=("httpx",))
    yield Contestant(name="httpx", kind="async", title="httpx", family="httpx", open=_open_async, needs=("httpx",))
    for sidecar, title in SIDECARS.items():
        for kind, opened in (("sync", _open_sync), ("async", _open_async)):
            yield Contestant(
                name=f"httpx-{sidecar}", kind=kind, title=f"httpx through {title}", family="sidecar", open=opened,
                needs=("httpx",), target="sidecar", through=sidecar,
            )  # fmt: skip
