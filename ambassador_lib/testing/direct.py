"""Plain httpx in the simulation: transports that reach simulated upstreams by their own URLs, without a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ..call import INFINITY, Deadline
from ..engine.base import Destination, Exchange
from ..engine.pooled import AsyncPooledEngine, PooledEngine
from ..errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError
from ..runtime.blocking import BlockingRuntime
from ..runtime.loop import LoopRuntime
from ..runtime.stepping import run_sync

if TYPE_CHECKING:
    from .virtual_time import VirtualTime


class SimulatedTransport(httpx.BaseTransport):
    """For `httpx.Client(transport=...)`: `client.get(payment.url)` without any policy, in virtual time."""

    def __init__(self, time: VirtualTime) -> None:
        self._runtime = BlockingRuntime(time)
        self._engine = PooledEngine(time, network=time.network.network(blocking=True))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request out; raises httpx's own errors."""
        watch = _Watch(self._runtime, request)
        try:
            response = run_sync(self._engine.send(watch.exchange))
        except Exception as error:
            raise watch.failed(error) from error
        self._runtime.watch_body(response, watch)
        return response

    def close(self) -> None:
        """Close its connections."""
        self.abandon()

    def abandon(self) -> None:
        """Close its connections."""
        self._engine.abandon()


class AsyncSimulatedTransport(httpx.AsyncBaseTransport):
    """`SimulatedTransport` for `httpx.AsyncClient(transport=...)`."""

    def __init__(self, time: VirtualTime) -> None:
        self._runtime = LoopRuntime(time)
        self._engine = AsyncPooledEngine(time, network=time.network.network(blocking=False))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request out; raises httpx's own errors."""
        watch = _Watch(self._runtime, request)
        try:
            response = await self._runtime.within(watch.deadline, self._engine.send(watch.exchange))
        except Exception as error:
            raise watch.failed(error) from error
        self._runtime.watch_body(response, watch)
        return response

    async def aclose(self) -> None:
        """Close its connections."""
        self.abandon()

    def abandon(self) -> None:
        """Close its connections."""
        self._engine.abandon()


class _Watch:
    """Keeps a request's `read` timeout, and tells failures as httpx does."""

    def __init__(self, runtime: BlockingRuntime | LoopRuntime, request: httpx.Request) -> None:
        timeout = request.extensions.get("timeout", {})
        self._runtime = runtime
        self._read = INFINITY if timeout.get("read") is None else timeout["read"]
        self.deadline = Deadline()  # it begins with the connection, which has a timeout of its own
        url, authority = request.url, request.headers.get("host", request.url.netloc.decode())
        destination = Destination(
            pool="direct",
            address=url.host,
            port=url.port or {"http": 80, "https": 443}.get(url.scheme, 80),
            connect_timeout=INFINITY if timeout.get("connect") is None else timeout["connect"],
        )
        self.exchange = Exchange(
            request.method,
            url.scheme,
            authority,
            url.raw_path.decode("ascii"),
            [(name.lower(), value) for name, value in request.headers.raw if name.lower() != b"host"],
            request.stream,
            destination,
            self.deadline,
            self._connected,
            url,
            request.extensions,
        )

    def reading(self) -> Deadline:
        """Before each wait: it is under the timeout anew."""
        self.deadline.set(self._runtime.now() + self._read)
        return self.deadline

    def _connected(self) -> None:
        self.reading()

    def received(self, size: int) -> None:
        """Bytes have come."""

    def complete(self, size: int) -> None:
        """All bytes have come."""

    def failed(self, error: Exception) -> Exception:
        """Return what httpx would raise."""
        if isinstance(error, DeadlineExpired):
            return httpx.ReadTimeout("timed out")
        if isinstance(error, UpstreamConnectError):
            kind = httpx.ConnectTimeout if "timeout" in error.reply.details else httpx.ConnectError
            return kind(str(error))
        if isinstance(error, UpstreamResetError):
            return httpx.RemoteProtocolError(str(error))
        return error

    def ended(self) -> None:
        """Nothing is held."""
