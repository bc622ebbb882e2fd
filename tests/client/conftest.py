"""One way to write a test for `Client` and `AsyncClient`: the latter behind a facade that blocks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Self

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ambassador_lib import AsyncClient, Client

MakeClient = Callable[..., Any]

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Blocking:
    """An `AsyncClient` whose methods block; its event loop runs in a thread."""

    def __init__(self, client: httpx.AsyncClient, portal: BlockingPortal) -> None:
        self.client = client
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, {"close": "aclose"}.get(name, name))
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **kwargs: self._portal.call(partial(value, *args, **kwargs))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("client", "_portal"):
            super().__setattr__(name, value)
        else:
            setattr(self.client, name, value)

    def __enter__(self) -> Self:
        self._portal.call(self.client.__aenter__)
        return self

    def __exit__(self, *failure: object) -> None:
        self._portal.call(self.client.__aexit__, *failure)

    def stream(self, *args: Any, **kwargs: Any) -> AbstractContextManager[httpx.Response]:
        return self._portal.wrap_async_context_manager(self.client.stream(*args, **kwargs))


@pytest.fixture(params=["sync", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients a test is about."""
    return str(request.param)


@pytest.fixture
def wrap(kind: str) -> Iterator[Callable[[type[httpx.Client], type[httpx.AsyncClient]], MakeClient]]:
    """Make a factory of clients that can be used, and are closed, as if they were blocking."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal()) if kind == "asyncio" else None

        def choose(sync_class: type[httpx.Client], async_class: type[httpx.AsyncClient]) -> MakeClient:
            def make(*args: Any, **kwargs: Any) -> Any:
                if portal is None:
                    client: Any = sync_class(*args, **kwargs)
                else:
                    client = Blocking(portal.call(partial(async_class, *args, **kwargs)), portal)
                stack.callback(client.close)
                return client

            return make

        yield choose


@pytest.fixture
def make_client(wrap: Callable[..., MakeClient]) -> MakeClient:
    """Make a `Client` or an `AsyncClient`, closed when the test is over."""
    return wrap(Client, AsyncClient)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine's environment takes part."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Recorder(httpx.MockTransport):
    """A transport that answers 200 with its own name, and remembers requests and how it was closed."""

    def __init__(self, name: str = "inner", answer: Callable[[httpx.Request], httpx.Response] | None = None) -> None:
        super().__init__(self._answer)
        self.name = name
        self.requests: list[httpx.Request] = []
        self.closed = 0
        self._given = answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, text=self.name) if self._given is None else self._given(request)

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.requests]

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1
