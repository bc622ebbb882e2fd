"""Statistics under Envoy's names: what clusters count, read when somebody asks.

Whoever counts does so in plain objects; here is who counts, under which name, and how OpenTelemetry is told. A source
that is gone leaves what it counted, so that no total ever falls. New names need no change here: a source brings the
statistics that it has.

OpenTelemetry's instruments are named as by Envoy's own exporter: `cluster.upstream_rq_total` with the attribute
`envoy.cluster_name` for `cluster.<name>.upstream_rq_total`.
"""

from __future__ import annotations

import weakref
from collections import Counter, deque
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol

from ..runtime.afresh import after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Statistic(Protocol):
    """One statistic of a kind of source."""

    @property
    def name(self) -> str:
        """As Envoy has it, below the source's own name: `upstream_rq_total`."""

    @property
    def is_gauge(self) -> bool:
        """Whether it says how things are; else it counts what has happened, and stays when the source is gone."""

    @property
    def read(self) -> Callable[[Any], int]:
        """Reads it: a gauge from the source, a count from its counters."""


class Source:
    """One cluster of one client: its counters, and the cluster itself for as long as it is at work."""

    def __init__(self, name: str, counters: object, gauges: object) -> None:
        self.name = name
        self.counters = counters
        self._gauges: Callable[[], object | None] = weakref.ref(gauges)

    @property
    def gauges(self) -> object | None:
        """What gauges are read from, `None` once it is not at work any more."""
        return self._gauges()

    def cancel(self, timeout: float = 0) -> None:  # noqa: ARG002 - as what else ends with a cluster
        """Tell no gauges any more; what calls under way still count is told."""
        self._gauges = _nothing


class Stats:
    """All sources of a kind, whichever clients they belong to; those of one name count together."""

    def __init__(self, kind: str, statistics: Sequence[Statistic]) -> None:
        self.kind = kind
        self.statistics = tuple(statistics)
        self._sources: dict[int, Source] = {}
        self._left: Counter[tuple[str, str]] = Counter()
        self._gone: deque[int] = deque()
        self._lock = RLock()
        after_fork(self)

    def add(self, name: str, counters: object, gauges: object) -> Source:
        """Read from now on; `cancel` of what is returned ends the gauges, and the counts stay."""
        source = Source(name, counters, gauges)
        with self._lock:
            self._sources[id(source)] = source
            self._settle_locked()
        # Whoever ends it may hold any lock, so it only leaves a note.
        weakref.finalize(gauges, self._gone.append, id(source)).atexit = False
        return source

    def read(self) -> dict[str, int]:
        """Return all that there is by its full name, `cluster.<name>.<statistic>`."""
        with self._lock:
            return {
                f"{self.kind}.{name}.{statistic.name}": value
                for statistic in self.statistics
                for name, value in self._values_locked(statistic).items()
            }

    def start_afresh(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = RLock()

    def values(self, statistic: Statistic) -> Mapping[str, int]:
        """Return one statistic of each source, by the sources' names."""
        with self._lock:
            return self._values_locked(statistic)

    def _values_locked(self, statistic: Statistic) -> Mapping[str, int]:
        self._settle_locked()
        found: Counter[str] = Counter()
        for source in self._sources.values():
            counted = source.gauges if statistic.is_gauge else source.counters
            if counted is not None:
                found[source.name] += statistic.read(counted)
        for (name, counter), value in self._left.items():
            if counter == statistic.name:
                found[name] += value
        return found

    def _settle_locked(self) -> None:
        """Keep what sources that are gone have counted, and let them go."""
        while self._gone:
            source = self._sources.pop(self._gone.popleft())
            for statistic in self.statistics:
                if not statistic.is_gauge:
                    self._left[source.name, statistic.name] += statistic.read(source.counters)


def _nothing() -> None:
    return None
