"""Virtual time on an asyncio loop, scripted DNS answers, and clusters in few words."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from ambassador_lib.discovery import Answer, NoSuchName, ResolveFailed
from ambassador_lib.policy.model.cluster import (
    Cluster,
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from ambassador_lib.policy.model.core import Address, SocketAddress
from ambassador_lib.upstream.upstream import Upstream


class VirtualClock:
    """Time that moves when a test says so, waking sleepers in the order of their moments."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here may block the thread")

    async def sleep_async(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and everything happen that is due."""
        target = self.now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target + 1e-9:
            moment, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self.now = max(self.now, moment)
            future.set_result(None)
            await self.settle()
        self.now = target

    @staticmethod
    async def settle() -> None:
        """Run all tasks until each of them waits."""
        for _ in range(40):
            await asyncio.sleep(0)


class FakeResolver:
    """Answers from a table that tests change; of a list of outcomes the last one stays. Keeps the questions."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], Any] = {}
        self.questions: list[tuple[str, str]] = []

    def set(self, name: str, outcome: Any, family: str = "V4") -> None:
        self.table[name, family] = outcome

    async def resolve(self, name: str, family: str) -> Answer:
        self.questions.append((name, family))
        outcome = self.table.get((name, family), NoSuchName(name))
        if isinstance(outcome, list) and outcome and not isinstance(outcome[0], str):
            outcome = outcome.pop(0) if len(outcome) > 1 else outcome[0]
        if isinstance(outcome, asyncio.Future):
            outcome = await asyncio.shield(outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome if isinstance(outcome, Answer) else Answer(tuple(outcome))


class InlineControl:
    """Runs watches as tasks of the test's own loop, in place of the control thread."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.names: list[str] = []

    def watch(self, make: Callable[[], Any], *, name: str, clock: Any, random: Any) -> Any:
        task = asyncio.ensure_future(make())
        self.tasks.append(task)
        self.names.append(name)

        class Handle:
            @property
            def ended(self) -> bool:
                return task.done()

            def cancel(self, timeout: float = 1.0) -> bool:
                task.cancel()
                return task.done()

            def abandon(self) -> None:
                """The tests close the control themselves."""

        return Handle()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class FixedRandom(random.Random):
    """Every draw is `value`."""

    value = 0.0

    def random(self) -> float:
        return self.value


def lb_endpoint(name: str, port: int = 80, *, hostname: str = "", **fields: Any) -> LbEndpoint:
    config = fields.pop("health_check_config", None)
    address = Address(socket_address=SocketAddress(address=name, port_value=port))
    return LbEndpoint(endpoint=Endpoint(address=address, hostname=hostname, health_check_config=config), **fields)


def make_cluster(*groups: Any, name: str = "c", **fields: Any) -> Cluster:
    """A cluster; a group is a `LocalityLbEndpoints` or a list of names or endpoints."""
    localities = [group if isinstance(group, LocalityLbEndpoints) else locality(group) for group in groups]
    return Cluster(
        name=name, load_assignment=ClusterLoadAssignment(cluster_name=name, endpoints=tuple(localities)), **fields
    )


def locality(endpoints: Sequence[Any], **fields: Any) -> LocalityLbEndpoints:
    made = tuple(each if isinstance(each, LbEndpoint) else lb_endpoint(each) for each in endpoints)
    return LocalityLbEndpoints(lb_endpoints=made, **fields)


class Kit:
    """What tests build with."""

    Answer = Answer
    NoSuchName = NoSuchName
    ResolveFailed = ResolveFailed
    endpoint = staticmethod(lb_endpoint)
    cluster = staticmethod(make_cluster)
    locality = staticmethod(locality)

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.random = FixedRandom()
        self.resolver = FakeResolver()
        self.control = InlineControl()

    def upstream(self, cluster: Cluster, **options: Any) -> Upstream:
        return Upstream(cluster, clock=self.clock, random=self.random, **options)

    @staticmethod
    def keys(upstream: Upstream) -> list[str]:
        return [host.key for host in upstream.hosts]


@pytest.fixture
def kit() -> Kit:
    return Kit()
