"""A stage for scenarios that are written once and played three times: blocking, on asyncio, on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import httpx

from ambassador_lib import AsyncClient, Client
from ambassador_lib.call import CallReport
from ambassador_lib.runtime.stepping import run_sync
from ambassador_lib.testing.simulated import SimulatedUpstream, Simulation
from ambassador_lib.testing.virtual_time import VirtualTime

MODES = ("blocking", "asyncio", "trio")
BASE = "http://127.0.0.1:15001"

T = TypeVar("T")


class Scene:
    """Virtual time, an upstream `payment` at 10.0.0.1:80 and following, and a client of a policy's."""

    def __init__(self, mode: str, time: VirtualTime) -> None:
        self.mode = mode
        self.time = time
        self.payment = self.upstream("payment")
        self.client: Any = None

    def upstream(self, name: str, *, first: int = 1, endpoints: int = 3) -> SimulatedUpstream:
        """Make an upstream whose endpoints live where the documents of tests have theirs."""
        made = SimulatedUpstream(name, world=self.time, endpoints=endpoints)
        for number in range(endpoints):
            self.time.network.put_at(f"10.0.0.{first + number}", 80, made, number)
        return made

    def play(self, document: Any, scenario: Callable[[Scene], Coroutine[Any, Any, T]], **options: Any) -> T:
        """Play `scenario` with a client of the policy `document`, and close the client."""
        with Simulation(self.time):
            if self.mode == "blocking":
                with Client(document, **options) as self.client:
                    return run_sync(scenario(self))
            main = self._played(document, scenario, options)
            if self.mode == "asyncio":
                return asyncio.run(main)
            import trio

            return trio.run(lambda: main, clock=self.time.trio_clock())  # type: ignore[no-any-return]

    async def _played(
        self, document: Any, scenario: Callable[[Scene], Coroutine[Any, Any, T]], options: dict[str, Any]
    ) -> T:
        async with AsyncClient(document, **options) as self.client:
            return await scenario(self)

    async def request(self, method: str = "GET", path: str = "/", **options: Any) -> httpx.Response:
        """Make a call."""
        made = self.client.request(method, f"{BASE}{path}", **options)
        return await made if isinstance(made, Awaitable) else made  # type: ignore[no-any-return]

    async def get(self, path: str = "/", **options: Any) -> httpx.Response:
        """Make a call with GET."""
        return await self.request("GET", path, **options)

    async def outcome(self, path: str = "/", **options: Any) -> int | str:
        """Make a call; return the status, or the exception's name."""
        try:
            return (await self.get(path, **options)).status_code
        except httpx.HTTPError as error:
            return type(error).__name__

    async def ready(self, timeout: float = 60.0) -> None:
        """Wait for the client."""
        made = self.client.ready(timeout)
        if made is not None:
            await made

    async def sleep(self, seconds: float) -> None:
        """Let time pass, as the test of an application would."""
        if self.mode == "blocking":
            self.time.sleep(seconds)
        elif self.mode == "asyncio":
            await asyncio.sleep(seconds)
        else:
            import trio

            await trio.sleep(seconds)

    async def together(self, *works: Callable[[], Coroutine[Any, Any, T]]) -> list[T]:
        """Do several things at once, in threads or tasks."""
        if self.mode == "blocking":
            return self.time.together(*((lambda work=work: run_sync(work())) for work in works))
        if self.mode == "asyncio":
            return list(await asyncio.gather(*(work() for work in works)))
        import trio

        results: dict[int, T] = {}

        async def run(number: int, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
            results[number] = await work()

        async with trio.open_nursery() as nursery:
            for number, work in enumerate(works):
                nursery.start_soon(run, number, work)
        return [results[number] for number in range(len(works))]


def report(response: httpx.Response) -> CallReport:
    """Return what the call tells of itself."""
    told = response.extensions["ambassador"]
    assert isinstance(told, CallReport)
    return told


def statuses(told: CallReport) -> list[int | None]:
    """Return the status of each try."""
    return [attempt.status for attempt in told.attempts]


def trace(scene: Scene) -> list[Any]:
    """Return all that the upstream saw, times and headers included."""
    return [
        (
            seen.method,
            seen.target,
            tuple(seen.headers),
            seen.body,
            seen.endpoint,
            seen.connection,
            seen.arrived,
            seen.answered,
            seen.finished,
            seen.gone,
        )
        for seen in scene.payment.requests
    ]
