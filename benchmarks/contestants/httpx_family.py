"""httpx, straight to the upstream and through sidecars.

httpcore imports `sniffio` several times a call, and a fresh `pip install httpx` no longer brings it: each time the
import fails, which costs more than the rest of the call. So there are two baselines, as installed and with sniffio. All
have limits raised so that every caller fits; with the default limits most callers wait, which is quicker for very many.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from ..load.absence import NOT_FRESH
from .base import KINDS, Contestant, Simple, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from ..figures.results import Kind
    from .base import Place, Session

SIDECARS = {"envoy": "Envoy", "haproxy": "HAProxy", "nginx": "nginx"}
DEFAULT_LIMITS = {"max_connections": 100, "max_keepalive_connections": 20}
"""httpx's own; `httpx.Limits()` means none."""


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


def _open(kind: Kind, place: Place, *, default_limits: bool = False) -> Session:
    import ssl

    import httpx

    verify = ssl.create_default_context(cafile=place.authority) if place.authority else True
    chosen = httpx.Limits(**DEFAULT_LIMITS) if default_limits else limits(place)
    # Waiting for one of few connections is no failure. What the environment says of proxies is not compared.
    timeout = httpx.Timeout(5.0, pool=60.0)
    if kind == "sync":
        client = httpx.Client(limits=chosen, timeout=timeout, verify=verify, trust_env=False)
        return sync_session(client, place.url)
    caller = httpx.AsyncClient(limits=chosen, timeout=timeout, verify=verify, trust_env=False)
    return async_session(caller, place.url)


def _one(
    kind: Kind, name: str, title: str, *, target: Literal["upstream", "sidecar", "tls"] = "upstream",
    through: str | None = None, sniffio: bool = False, default_limits: bool = False, uvloop: bool = False,
) -> Contestant:  # fmt: skip
    needs = ("httpx", *(("sniffio",) if sniffio else ()), *(("uvloop",) if uvloop else ()))
    return Contestant(
        name=name, kind=kind, title=title, family="httpx" if through is None else "sidecar", needs=needs,
        open=partial(_open, kind, default_limits=default_limits), target=target, through=through,
        without=tuple(name for name in NOT_FRESH if name != "sniffio" or not sniffio),
        loop="uvloop" if uvloop else "asyncio",
    )  # fmt: skip


def contestants() -> Iterator[Contestant]:
    for kind in KINDS:
        yield _one(kind, "httpx", "httpx, as installed")
        for sidecar, title in SIDECARS.items():
            yield _one(kind, f"httpx-{sidecar}", f"httpx through {title}", target="sidecar", through=sidecar)
        yield _one(kind, "httpx-tls", "httpx, TLS", target="tls")
    # Blocking calls do not ask for sniffio.
    yield _one("async", "httpx-sniffio", "httpx + sniffio", sniffio=True)
    yield _one(
        "async", "httpx-sniffio-envoy", "httpx + sniffio through Envoy", target="sidecar", through="envoy", sniffio=True
    )
    yield _one("async", "httpx-default", "httpx, default limits", default_limits=True)
    yield _one("async", "httpx-sniffio-default", "httpx + sniffio, default limits", sniffio=True, default_limits=True)
    yield _one("async", "httpx-uvloop", "httpx on uvloop", uvloop=True)
