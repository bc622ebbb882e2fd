"""Keeping names resolved: one loop for each name, and the times between its lookups (semantics 8.2)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..algorithms.backoff import exponential_interval, full_jitter
from ..policy.model.cluster import Cluster
from ..runtime.base import Clock, Random
from ..upstream.host import HostSpec
from .resolver import Answer, NoSuchName, ResolveFailed, Resolver, look_up

log = logging.getLogger("ambassador_lib.discovery")

DEFAULT_REFRESH_RATE = 5.0
SHORTEST_DELAY = 0.001


class Names(Protocol):
    """What a way of discovery makes of answers: `StrictDns`, `LogicalDns`."""

    names: tuple[str, ...]
    no_such_name_is_success: bool

    def on_answer(self, name: str, answer: Answer) -> bool:
        """Take the addresses of `name`; True when the hosts may have changed."""

    def on_no_such_name(self, name: str) -> bool:
        """Take it that `name` has no address; True when the hosts may have changed."""

    def hosts(self) -> list[HostSpec]:
        """Return what is known now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTimes:
    """When the next lookup is due. Source: the `dns_*` fields of `envoy.config.cluster.v3.Cluster`."""

    refresh_rate: float = DEFAULT_REFRESH_RATE
    jitter: float = 0.0
    respect_ttl: bool = False
    failure_base: float | None = None
    failure_max: float | None = None

    @classmethod
    def of(cls, cluster: Cluster) -> RefreshTimes:
        """Read them from the cluster."""
        failure = cluster.dns_failure_refresh_rate
        return cls(
            refresh_rate=DEFAULT_REFRESH_RATE if cluster.dns_refresh_rate is None else cluster.dns_refresh_rate,
            jitter=cluster.dns_jitter or 0.0,
            respect_ttl=cluster.respect_dns_ttl,
            failure_base=None if failure is None else failure.base_interval,
            failure_max=None if failure is None else failure.max_interval,
        )

    def after_success(self, ttl: float | None, random: Random) -> float:
        """Return the wait after an answer. A TTL of 0, or one that nobody knows, leaves it at the refresh rate."""
        base = ttl if self.respect_ttl and ttl else self.refresh_rate
        return max(SHORTEST_DELAY, base + self.jitter * random.random())

    def after_failure(self, failures: int, random: Random) -> float:
        """Return the wait after so many failures in a row: full jitter under a doubling interval."""
        if self.failure_base is None:
            return max(SHORTEST_DELAY, self.refresh_rate)
        interval = exponential_interval(failures, self.failure_base, self.failure_max)
        return max(SHORTEST_DELAY, full_jitter(interval, random.random))


class NameRefresh:
    """Looks one name up, again and again.

    `on_hosts` is called where an answer changed something, `on_answered` after every lookup, failed ones too.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        names: Names,
        resolver: Resolver,
        *,
        clock: Clock,
        random: Random,
        on_hosts: Callable[[], None],
        on_answered: Callable[[str], None],
    ) -> None:
        self.name = name
        self._family = cluster.dns_lookup_family
        self._cluster_name = cluster.name
        self._times = RefreshTimes.of(cluster)
        self._names = names
        self._resolver = resolver
        self._clock = clock
        self._random = random
        self._on_hosts = on_hosts
        self._on_answered = on_answered
        self._failures = 0

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            delay = await self._refresh()
            self._on_answered(self.name)
            await self._clock.sleep_async(delay)

    async def _refresh(self) -> float:
        ttl = None
        try:
            answer = await look_up(self._resolver, self.name, self._family)
            ttl = answer.ttl
            changed = self._names.on_answer(self.name, answer)
        except NoSuchName as error:
            changed = self._names.on_no_such_name(self.name)
            if not self._names.no_such_name_is_success:
                return self._failed(error)
        except ResolveFailed as error:
            return self._failed(error)
        except Exception as error:  # a resolver of the user's: its bugs must not end discovery
            log.exception("cluster %s: the resolver broke on %s", self._cluster_name, self.name)
            return self._failed(error)
        self._failures = 0
        if changed:
            self._on_hosts()
        return self._times.after_success(ttl, self._random)

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        # Said once for each outage: a name that is down for a day is looked up thousands of times.
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        log.log(level, "cluster %s: cannot resolve %s: %s", self._cluster_name, self.name, error)
        return self._times.after_failure(self._failures, self._random)
