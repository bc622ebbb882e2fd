"""`SimulatedUpstream`: an upstream without sockets in virtual time; and the surroundings in which clients reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

from .. import surroundings as world_around
from ..discovery.resolver import Answer, Family, NoSuchName, ResolveFailed
from ..discovery.system_resolver import SYSTEM_LOOKUP_TIMEOUT
from ..surroundings import Surroundings
from .direct import AsyncSimulatedTransport, SimulatedTransport
from .misuse import MisuseError
from .script import Scripted
from .virtual_time import VirtualTime

if TYPE_CHECKING:
    from ..engine.wire import Network
    from ..policy.model import Cluster
    from ..runtime.base import Clock
    from .latency import RandomNumbers
    from .names import NamesStep


class SimulatedUpstream(Scripted):
    """An upstream in virtual time: told what to do by the same sentences as a real one, and no socket, no thread.

    `time` is the world it lives in, by default the one at work. `endpoints` is how many it has; by default as many as
    the policy's cluster that it stands in for. `seed` starts its own dice (default: the world's).
    """

    is_simulated = True

    def __init__(
        self,
        name: str = "upstream",
        *,
        world: VirtualTime | None = None,
        endpoints: int | None = None,
        strict: bool = False,
        random: RandomNumbers | None = None,
    ) -> None:
        time = world if world is not None else VirtualTime.current()
        self.world = time
        super().__init__(
            name, clock=time.monotonic, random=random or _dice(time.seed, name), strict=strict, endpoints=endpoints
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where its endpoints are, in their order; nobody outside of the simulation can reach them."""
        return self.world.network.addresses(self)

    @property
    def host(self) -> str:
        """Address of its first endpoint."""
        return self.addresses[0][0]

    @property
    def port(self) -> int:
        """Port of its first endpoint."""
        return self.addresses[0][1]

    @property
    def address(self) -> str:
        """`host:port` of its first endpoint, as reports name it."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where a client in the simulation reaches it directly."""
        return f"http://{self.address}"

    @property
    def connections(self) -> int:
        """How many connections were ever accepted."""
        return self.world.network.connections(self)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self.world.network.open_connections(self)

    def serves(self, name: str) -> None:
        """Let it answer for a name in the simulated DNS; what is answered, `dns` says."""
        self.world.network.name(name, self)

    def provide(self, endpoints: int) -> None:
        """Have at least so many endpoints."""
        self.grow(endpoints)

    def close(self) -> None:
        """Nothing: it ends with its world."""

    def __repr__(self) -> str:
        return f"<SimulatedUpstream {self.name}>"


class SimulatedResolver:
    """Looks names up in the simulated DNS: each is answered for by an upstream."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._last: dict[str, tuple[float, NamesStep]] = {}

    async def resolve(self, name: str, family: Family) -> Answer:  # noqa: ARG002
        """Return the addresses that the upstream's `dns` tells, for whatever family."""
        network = self._time.network
        upstream = network.named(name)
        if upstream is None:
            raise NoSuchName(f"{name}: no simulated upstream answers for it")
        now = self._time.monotonic()
        asked, step = self._last.get(name, (-1.0, None))
        if step is None or asked != now or step.kind == "addresses":  # a second family is the same question
            step = upstream.dns.answer(now)
        self._last[name] = (now, step)
        if step.kind == "silence":
            await self._time.sleep_async(SYSTEM_LOOKUP_TIMEOUT)
            self._last[name] = (self._time.monotonic(), step)
            raise ResolveFailed(f"no answer for {name} in {SYSTEM_LOOKUP_TIMEOUT:g} s")
        if step.kind == "failure":
            raise ResolveFailed(f"{name}: the name server failed")
        if step.kind == "no such name":
            raise NoSuchName(f"{name}: there is no such name")
        addresses = network.addresses(upstream)
        told = upstream.dns.endpoints(step)
        known = [number for number in told if number < len(addresses)]
        if len(known) < len(told):
            upstream.note(
                f"{upstream.dns.code_name}.{step.said}: {upstream.name} has endpoints 0 to {len(addresses) - 1}"
            )
        return Answer(tuple(addresses[number][0] for number in known), step.ttl)


class Simulation(Surroundings):
    """What is around clients in virtual time: its clock and its dice, simulated upstreams, and nothing real.

    As a context manager it installs itself.
    """

    def __init__(self, time: VirtualTime | None = None) -> None:
        super().__init__()
        self.time = time = time if time is not None else VirtualTime.current()
        self.clock = time
        self.random = time.random
        self.control = time.control
        self._resolver = SimulatedResolver(time)
        self._direct: dict[bool, SimulatedTransport | AsyncSimulatedTransport] = {}

    def __enter__(self) -> Self:
        world_around.install(self)
        return self

    def __exit__(self, *_: object) -> None:
        world_around.uninstall(self)

    def own_clock(self, clock: Clock) -> Clock:
        """Refuse a clock of the application's own, which would not move with the world."""
        if clock is self.time:
            return clock
        raise MisuseError(
            f"a client has a clock of its own, clock={clock!r}: under virtual time all must go by one; leave it out in "
            "the test, or give it the fixture's virtual_time"
        )

    def check_loop(self) -> None:
        """Refuse loops whose time is not virtual: trio without its clock, uvloop."""
        self.time.loops.check()

    def network(self, *, blocking: bool) -> Network:
        """Return the simulated network."""
        return self.time.network.network(blocking=blocking)

    def resolver(self, cluster: Cluster) -> SimulatedResolver:  # noqa: ARG002
        """Return the simulated DNS."""
        return self._resolver

    def passthrough(self, request: httpx.Request, transport: Any) -> Any:
        """Reach simulated upstreams by their own URLs, and refuse what would go out to the real world.

        Mocks and applications (ASGI, WSGI) go on.
        """
        from ..engine.foreign import AsyncForeignEngine, ForeignEngine

        is_blocking = isinstance(transport, httpx.BaseTransport)
        if self.time.network.lives_at(request.url.host, request.url.port or 80):
            return self.direct(is_blocking=is_blocking)
        kind = ForeignEngine if is_blocking else AsyncForeignEngine
        if not kind(transport, clock=self.time).dials:
            return transport
        raise MisuseError(
            f"{request.method} {request.url}: nothing in the policy claims this URL, and under virtual time nothing "
            "real is called; add it to the policy, or give the client a transport that answers (httpx.MockTransport)"
        )

    def direct(self, *, is_blocking: bool) -> SimulatedTransport | AsyncSimulatedTransport:
        """Return the transport to simulated upstreams that no policy is about."""
        known = self._direct.get(is_blocking)
        if known is None:
            known = self._direct[is_blocking] = (SimulatedTransport if is_blocking else AsyncSimulatedTransport)(
                self.time
            )
        return known

    def end(self) -> None:
        """Close every twin, and what was reached directly."""
        try:
            super().end()
        finally:
            for transport in self._direct.values():
                transport.abandon()
            self._direct.clear()

    def __repr__(self) -> str:
        return f"<Simulation {self.time!r}>"


def _dice(seed: int, name: str) -> RandomNumbers:
    import random

    return random.Random(f"{seed}/{name}")
