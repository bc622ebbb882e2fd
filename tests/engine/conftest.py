"""Four ways to drive an engine: the body of a test is written once, as a coroutine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trustme

from ambassador_lib.call import Deadline
from ambassador_lib.engine.base import Destination, Exchange
from ambassador_lib.engine.blocking import step
from ambassador_lib.engine.pooled import AsyncPooledEngine, PooledEngine
from ambassador_lib.runtime.blocking import BlockingRuntime
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.runtime.loop import LoopRuntime

from .exchanges import exchange_of
from .proactor import ProactorLoop
from .servers import Server


class Gauge:
    """Counts connections as `upstream.limits` does."""

    def __init__(self) -> None:
        self.opens = 0
        self.closes = 0
        self.retired = False
        self.drains = 0

    def opened(self) -> None:
        self.opens += 1

    def closed(self) -> None:
        self.closes += 1

    @property
    def now(self) -> int:
        return self.opens - self.closes


class Mode:
    """How to run a test's coroutine, with an engine and its runtime."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = SystemClock()
        self.runtime: Any = BlockingRuntime(self.clock) if name == "sync" else LoopRuntime(self.clock)
        self.gauge = Gauge()

    def run(self, main: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Run `main(engine)`; the engine is closed, and all connections must be given back."""
        if self.name == "sync":
            step(self._scoped(main, PooledEngine(self.clock)))
        else:
            backend, options = loop_of(self.name)
            anyio.run(self._scoped, main, AsyncPooledEngine(self.clock), backend=backend, backend_options=options)
        assert self.gauge.now == 0

    async def _scoped(self, main: Callable[[Any], Coroutine[Any, Any, None]], engine: Any) -> None:
        try:
            await main(engine)
        finally:
            await engine.close()

    def exchange(self, server: Server | int, **changes: Any) -> Exchange:
        """Make one try; `changes` go to the exchange or, by name, to its destination."""
        destination: dict[str, Any] = {
            "pool": "c/DEFAULT",
            "address": "127.0.0.1",
            "port": server if isinstance(server, int) else server.port,
            "gauge": self.gauge,
        }
        for name in (
            "tls", "sni", "san", "protocol", "connect_timeout", "idle_timeout", "max_requests", "max_age", "address",
            "alternates", "tcp_keepalive",
        ):  # fmt: skip
            if name in changes:
                destination[name] = changes.pop(name)
        return exchange_of(Destination(**destination), **changes)

    async def send(self, engine: Any, exchange: Exchange) -> httpx.Response:
        """Send under the exchange's deadline, as the stack does."""
        response: httpx.Response = await self.runtime.within(exchange.deadline, engine.send(exchange))
        return response

    async def read(self, response: httpx.Response) -> bytes:
        """Read the whole body and close the response."""
        return response.read() if self.name == "sync" else await response.aread()

    async def close(self, response: httpx.Response) -> None:
        """Close the response as it is."""
        if self.name == "sync":
            response.close()
        else:
            await response.aclose()

    def after(self, seconds: float) -> Deadline:
        """Return a deadline from now."""
        return Deadline(time.monotonic() + seconds)

    def body(self, *chunks: Any) -> Any:
        """Return a streamed request body: chunks, or one iterator of chunks."""
        if chunks and not isinstance(chunks[0], bytes):
            (chunks,) = chunks
        return SyncChunks(chunks) if self.name == "sync" else AsyncChunks(chunks)


def loop_of(name: str) -> tuple[str, dict[str, Any]]:
    """Return what `anyio.run` knows a kind of event loop by; without uvloop, its tests are skipped outside of CI."""
    if name == "proactor":
        return "asyncio", {"loop_factory": ProactorLoop}
    if name != "uvloop":
        return name, {}
    if find_spec("uvloop") is None and "CI" not in os.environ:
        pytest.skip("uvloop is not installed")
    return "asyncio", {"use_uvloop": True}


class SyncChunks(httpx.SyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks


class AsyncChunks(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> Any:
        for chunk in self.chunks:
            yield chunk


@pytest.fixture(params=["sync", "asyncio", "uvloop", "trio"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return Mode(request.param)


@pytest.fixture
def wires(mode: Mode) -> Any:
    from .wires import Wires  # which needs the modes

    return Wires(mode.name)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path
