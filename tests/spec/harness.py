"""One vocabulary for the three modes: a policy, a scripted upstream in virtual time, and `spec.get("/")`.

Policies are written with `documents`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import httpx

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, AsyncClient, Client
from ambassador_lib.call import CallReport
from ambassador_lib.testing.clock import FakeClock, FakeRandom

from .documents import bootstrap

__all__ = ["BASE", "MODES", "PATIENCE", "Body", "Hang", "Script", "Spec", "Step", "bootstrap", "story", "told"]

MODES = ("blocking", "asyncio", "trio")
BASE = "http://127.0.0.1:15001"
PATIENCE = 20.0
"""Real seconds after which a case that hangs has failed."""


class Hang:
    """Answers after `seconds` of virtual time."""

    def __init__(self, seconds: float, status: int = 200) -> None:
        self.seconds = seconds
        self.status = status


Step = int | Exception | Hang | httpx.Response | Callable[[httpx.Request], httpx.Response]


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's body that knows whether it was closed, and may break off."""

    def __init__(
        self, *chunks: bytes, error: Exception | None = None, on_chunk: Callable[[], None] | None = None
    ) -> None:
        self.chunks = chunks
        self.error = error
        self.on_chunk = on_chunk
        self.closed = 0

    def __iter__(self) -> Any:
        for chunk in self.chunks:
            if self.on_chunk is not None:
                self.on_chunk()
            yield chunk
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> Any:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


class Script(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The upstream: plays its steps in order, the last one for ever, and remembers what it was asked."""

    def __init__(self, clock: FakeClock, *steps: Step) -> None:
        self.clock = clock
        self.steps = list(steps) or [200]
        self.seen: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.answers: list[Body] = []

    def _next(self) -> Step:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]

    def _answer(self, step: Step, request: httpx.Request) -> httpx.Response:
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):
            response = step
        elif callable(step):
            response = step(request)
        else:
            status = step.status if isinstance(step, Hang) else step
            self.answers.append(Body(b"x"))
            response = httpx.Response(status, stream=self.answers[-1])
        return response

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        step = self._next()
        self.bodies.append(request.read())
        if isinstance(step, Hang):
            self.clock.sleep(step.seconds)
        return self._answer(step, request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        step = self._next()
        self.bodies.append(await request.aread())
        if isinstance(step, Hang):
            await self.clock.sleep_async(step.seconds)
        return self._answer(step, request)


class Spec:
    """One case in one mode."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.clock = FakeClock()
        self.upstream: Any = Script(self.clock)
        self.transport: Any = None
        self.client: Any = None

    @property
    def is_blocking(self) -> bool:
        return self.mode == "blocking"

    def given(self, policy: Any, *steps: Step, random: Any = None, upstream: Any = None, **options: Any) -> Spec:
        """Put this mode's transport over a scripted upstream, into a plain httpx client."""
        self.upstream = upstream or Script(self.clock, *steps)
        kind = AmbassadorTransport if self.is_blocking else AsyncAmbassadorTransport
        self.transport = kind(policy, inner=self.upstream, clock=self.clock, random=random or FakeRandom(), **options)
        self.client = (httpx.Client if self.is_blocking else httpx.AsyncClient)(
            transport=self.transport, trust_env=False
        )
        return self

    def given_client(self, policy: Any, *steps: Step, upstream: Any = None, **options: Any) -> Spec:
        """Make this mode's `Client` over a scripted upstream."""
        self.upstream = upstream or Script(self.clock, *steps)
        kind: Any = Client if self.is_blocking else AsyncClient
        self.client = kind(
            policy, transport=self.upstream, clock=self.clock, random=FakeRandom(), trust_env=False, **options
        )
        self.transport = self.client._ambassador()
        return self

    def request(self, method: str, path: str = "/", *, stream: bool = False, **arguments: Any) -> httpx.Response:
        """Make one call, to the listener unless `path` is a URL; the body is read unless `stream`."""
        url = path if "://" in path else BASE + path
        request = self.client.build_request(method, url, **arguments)
        response: httpx.Response = self.wait(self.client.send(request, stream=stream))
        return response

    def get(self, path: str = "/", **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str = "/", **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)

    def read(self, response: httpx.Response) -> bytes:
        """Read a streamed response to its end."""
        return bytes(self.wait(response.read() if self.is_blocking else response.aread()))

    def chunks(self, response: httpx.Response) -> list[bytes]:
        """Read a streamed response to its end, as it came over the wire."""
        if self.is_blocking:
            return list(response.iter_raw())

        async def collect() -> list[bytes]:
            return [chunk async for chunk in response.aiter_raw()]

        return self.run(collect())  # type: ignore[no-any-return]

    def close(self, response: httpx.Response) -> None:
        """Close a streamed response early."""
        self.wait(response.close() if self.is_blocking else response.aclose())  # type: ignore[func-returns-value]

    def close_transport(self) -> None:
        self.wait(self.transport.close() if self.is_blocking else self.transport.aclose())

    def wait(self, result: Any) -> Any:
        """Return what a method of a client or a response returned, awaited in this mode if need be."""
        return result if self.is_blocking else self.run(result)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine under this mode's event loop."""

        async def main() -> Any:
            return await work

        return anyio.run(main, backend=self.mode)

    # What the case can look at afterwards.

    @property
    def cluster(self) -> Any:
        return self.transport._at_work.clusters["c"]

    @property
    def endpoints(self) -> list[str]:
        """Which endpoints were called, in order."""
        return [request.extensions["ambassador_endpoint"] for request in self.upstream.seen]

    def assert_nothing_held(self) -> None:
        """Every slot is back."""
        for limits in self.cluster.limits.values():
            assert (limits.active, limits.pending, limits.retries) == (0, 0, 0), limits
        assert [host.active for host in self.cluster.hosts] == [0] * len(self.cluster.hosts)


def story(response: httpx.Response) -> CallReport:
    """Return the call's report."""
    report = response.extensions["ambassador"]
    assert isinstance(report, CallReport)
    return report


def told(error: BaseException) -> CallReport:
    """Return the report of a failed call."""
    report = error.call  # type: ignore[attr-defined]
    assert isinstance(report, CallReport)
    return report
