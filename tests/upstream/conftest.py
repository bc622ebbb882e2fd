"""A cluster at work on virtual time."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

from ambassador_lib.policy.model.cluster import Cluster
from ambassador_lib.upstream.host import HostSpec
from ambassador_lib.upstream.upstream import Upstream

MakeUpstream = Callable[..., Upstream]


class StillClock:
    """A clock that stands still; everything under test is told the time."""

    def monotonic(self) -> float:
        return 0.0

    def time(self) -> float:
        return 1_700_000_000.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")

    async def sleep_async(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def make_upstream(clock: StillClock) -> MakeUpstream:
    """Build an upstream: `make_upstream(hosts, seed=..., **fields of the cluster)`; a number stands for plain hosts."""

    def make(hosts: int | Sequence[HostSpec], *, seed: int = 1, **fields: object) -> Upstream:
        upstream = Upstream(Cluster(name="c", **fields), clock=clock, random=random.Random(seed))  # type: ignore[arg-type]
        specs = [HostSpec("10.0.0.1", 1 + n, "") for n in range(hosts)] if isinstance(hosts, int) else hosts
        upstream.update_hosts(specs, 0.0)
        return upstream

    return make


@pytest.fixture
def hectic() -> Iterator[None]:
    """Let threads change all the time, so that a race has its chance."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
