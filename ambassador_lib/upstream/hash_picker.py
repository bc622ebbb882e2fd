"""RING_HASH and MAGLEV: the host of a hash (semantics 7).

A table is made when a snapshot's first request asks for it, and kept for when the same hosts are back: a host whose
health comes and goes costs two tables.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..algorithms.consistent import (
    DEFAULT_MAXIMUM_RING,
    DEFAULT_MINIMUM_RING,
    DEFAULT_TABLE_SIZE,
    Table,
    bounded,
    maglev,
    ring,
)
from .host import Host
from .lb_context import LbContext
from .pickers import Picker, nobody

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster
    from ..runtime.base import Random

MAX_TABLES = 8
"""Tables kept of one cluster."""

Weighted = Sequence[tuple[Host, float]]
"""Hosts with their part of all weight."""


class Hashing:
    """Makes the pickers of one cluster's consistent hashing."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._random = random
        common = cluster.common_lb_config
        config = common.consistent_hashing_lb_config if common is not None else None
        self._by_hostname = config is not None and config.use_hostname_for_hashing
        self._balance_factor = config.hash_balance_factor if config is not None else None
        self._maglev = cluster.lb_policy == "MAGLEV"
        ring_config, table_config = cluster.ring_hash_lb_config, cluster.maglev_lb_config
        self._minimum, self._maximum, self._murmur = DEFAULT_MINIMUM_RING, DEFAULT_MAXIMUM_RING, False
        if ring_config is not None:
            self._minimum = _or(ring_config.minimum_ring_size, DEFAULT_MINIMUM_RING)
            self._maximum = _or(ring_config.maximum_ring_size, DEFAULT_MAXIMUM_RING)
            self._murmur = ring_config.hash_function == "MURMUR_HASH_2"
        self._size = _or(table_config.table_size if table_config is not None else None, DEFAULT_TABLE_SIZE)
        self._tables: OrderedDict[tuple[tuple[str, ...], tuple[float, ...]], Table] = OrderedDict()

    def by_priority(self, shares: Sequence[tuple[int, int]], pickers: Sequence[Picker]) -> Picker:
        """Pick the priority by the hash, too: `shares` are percent of the load and the priority that it goes to."""
        random = self._random

        def pick(context: LbContext | None) -> Host | None:
            # Without a context there is nothing to hash, and the pick is random.
            context = context or LbContext()
            draw = context.hash(random) % 100
            for load, priority in shares:
                draw -= load
                if draw < 0:
                    return pickers[priority](context)
            return None

        return pick

    def picker(self, weighted: Weighted) -> Picker:
        """Pick among these hosts; their weights sum to 1."""
        if not weighted:
            return nobody
        hosts = [host for host, _ in weighted]
        weights = [weight for _, weight in weighted]
        random, factor = self._random, self._balance_factor
        table: Table | None = None

        def pick(context: LbContext | None) -> Host | None:
            nonlocal table
            if table is None:  # two threads may make it at once: both are the same
                table = self._table(hosts, weights)
            if context is None:
                value, skipped = random.getrandbits(64), 0
            else:
                value, skipped = context.hash(random), context.skipped
            index = table(value, skipped)
            if factor is not None:
                index = bounded(index, weights, active, value=value, balance_factor=factor)
            return hosts[index]

        def active(index: int) -> int:
            return hosts[index].active

        return pick

    def _table(self, hosts: Sequence[Host], weights: Sequence[float]) -> Table:
        keys = tuple(self._key(host) for host in hosts)
        known = self._tables.get((keys, tuple(weights)))
        if known is not None:
            return known
        made = self._make(keys, weights)
        self._tables[keys, tuple(weights)] = made
        while len(self._tables) > MAX_TABLES:
            try:
                self._tables.popitem(last=False)
            except KeyError:  # another thread was quicker
                break
        return made

    def _make(self, keys: Sequence[str], weights: Sequence[float]) -> Table:
        if self._maglev:
            return maglev(keys, weights, size=self._size)
        return ring(keys, weights, minimum=self._minimum, maximum=self._maximum, murmur=self._murmur)

    def _key(self, host: Host) -> str:
        """What of a host is hashed: `hash_key` of its metadata `envoy.lb`, its name, or its address."""
        own = host.labels.get("hash_key")
        if isinstance(own, str) and own:
            return own
        return host.hostname if self._by_hostname else host.key


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
