"""One vocabulary for the three modes: a policy, a scripted upstream in virtual time, and `spec.get("/")`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import httpx

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport
from ambassador_lib.testing.clock import FakeClock, FakeRandom

MODES = ("blocking", "asyncio", "trio")
TYPE = "type.googleapis.com/envoy.extensions"
MANAGER = f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
}
BASE = "http://127.0.0.1:15001"


def bootstrap(
    *,
    route: dict[str, Any] | None = None,
    routes: list[dict[str, Any]] | None = None,
    vhost: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    manager: dict[str, Any] | None = None,
    endpoints: int = 1,
) -> dict[str, Any]:
    """Write the smallest policy around the part that a case is about."""
    if routes is None:
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": "c", **(route or {})}}]
    hosts = {"name": "v", "domains": ["*"], "routes": routes, **(vhost or {})}
    config = {
        "@type": MANAGER,
        "stat_prefix": "s",
        "route_config": {"virtual_hosts": [hosts]},
        "http_filters": [ROUTER],
        **(manager or {}),
    }
    listener = {
        "name": "main",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}
        ],
    }
    members = [
        {"endpoint": {"address": {"socket_address": {"address": f"10.0.0.{n}", "port_value": 80}}}}
        for n in range(1, endpoints + 1)
    ]
    upstream = {
        "name": "c",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": members}]},
        **(cluster or {}),
    }
    return {"static_resources": {"listeners": [listener], "clusters": [upstream]}}


class Hang:
    """Answers after `seconds` of virtual time."""

    def __init__(self, seconds: float, status: int = 200) -> None:
        self.seconds = seconds
        self.status = status


Step = int | Exception | Hang | httpx.Response | Callable[[httpx.Request], httpx.Response]


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's body that knows whether it was closed, and may break off."""

    def __init__(self, *chunks: bytes, error: Exception | None = None, on_chunk: Callable[[], None] | None = None) -> None:
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
        self.upstream = Script(self.clock)
        self.transport: Any = None

    def given(self, policy: dict[str, Any] | None, *steps: Step, random: Any = None, **options: Any) -> Spec:
        """Build the client of this mode over a scripted upstream."""
        if steps:
            self.upstream = Script(self.clock, *steps)
        kind = AmbassadorTransport if self.mode == "blocking" else AsyncAmbassadorTransport
        self.transport = kind(
            policy, inner=self.upstream, clock=self.clock, random=random or FakeRandom(), **options
        )
        return self

    def request(self, method: str, path: str = "/", *, stream: bool = False, **arguments: Any) -> httpx.Response:
        """Make one call; the body is read unless `stream`."""
        url = path if "://" in path else BASE + path
        if self.mode == "blocking":
            client = httpx.Client(transport=self.transport)
            response = client.send(client.build_request(method, url, **arguments), stream=stream)
            return response
        return self.run(self._request(method, url, stream, arguments))

    def get(self, path: str = "/", **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str = "/", **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)

    async def _request(self, method: str, url: str, stream: bool, arguments: dict[str, Any]) -> httpx.Response:
        client = httpx.AsyncClient(transport=self.transport)
        return await client.send(client.build_request(method, url, **arguments), stream=stream)

    def read(self, response: httpx.Response) -> bytes:
        """Read a streamed response to its end."""
        return response.read() if self.mode == "blocking" else self.run(response.aread())

    def close(self, response: httpx.Response) -> None:
        """Close a streamed response early."""
        if self.mode == "blocking":
            response.close()
        else:
            self.run(response.aclose())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine under this mode's event loop."""

        async def main() -> Any:
            return await work

        return anyio.run(main, backend=self.mode)

    # What the case can look at afterwards.

    @property
    def cluster(self) -> Any:
        return self.transport._stack.clusters["c"]

    def assert_nothing_held(self) -> None:
        """Every slot is back."""
        for limits in self.cluster.limits.values():
            assert (limits.active, limits.pending, limits.retries) == (0, 0, 0), limits
        assert [host.active for host in self.cluster.hosts] == [0] * len(self.cluster.hosts)


def story(response: httpx.Response) -> Any:
    """Return the call's report."""
    return response.extensions["ambassador"]
