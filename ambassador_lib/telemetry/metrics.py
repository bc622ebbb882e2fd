"""Who is told of requests and statistics: OpenTelemetry's meter provider, whenever there is one.

While there is none a try costs one look at where it would be, and OpenTelemetry is not imported; one that is set up
later is told from the next try on.
"""
# ruff: noqa: SLF001 - the global provider's place is read where it is there

from __future__ import annotations

import os
import sys
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ..runtime.afresh import Anchor
from .stats import Stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.metrics import Meter, MeterProvider

    from ..call import Call
    from .instruments import Line, Requests
    from .stats import Statistic

API: Final = "opentelemetry.metrics._internal"
NAMES_A_PROVIDER: Final = "OTEL_PYTHON_METER_PROVIDER"
"""The API looks up the provider that this variable names, be it imported by nobody else."""


class Metrics:
    """Finds the meter provider that holds now. `meter_provider`: in place of the global one, which may come later."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self._place: Any = None if meter_provider is None else _Given(meter_provider)
        """Where the provider that holds now is found, as soon as that is known."""
        if meter_provider is None and NAMES_A_PROVIDER in os.environ:
            from opentelemetry.metrics import get_meter_provider

            get_meter_provider()  # loads it
        self._known: MeterProvider | None = None
        self._meter: Meter | None = None
        self._requests: Requests | None = None
        self._stats: dict[str, Stats] = {}
        self._lock = Lock()
        self._anchor = Anchor(self.start_afresh)

    def stats(self, kind: str, statistics: Sequence[Statistic]) -> Stats:
        """Return where all sources of a kind (`cluster`) are read, whose statistics these are."""
        provider = self._look_up() if self._place is None else self._place._METER_PROVIDER
        if provider is not None and provider is not self._known:
            self._bind(provider)
        with self._lock:
            known = self._stats.get(kind)
            if known is None:
                known = self._stats[kind] = Stats(kind, statistics)
                if self._meter is not None:
                    from .instruments import tell

                    tell(known, self._meter)
            return known

    def begin(self, call: Call) -> Line | None:
        """Count a request that begins; `None` while nobody wants to know. What is returned is told of its end."""
        place = self._place
        provider = self._look_up() if place is None else place._METER_PROVIDER
        if provider is None:
            return None
        if provider is not self._known:
            self._bind(provider)
        requests = self._requests
        if requests is None:
            return None
        key = (call.method, call.authority, call.scheme)
        line = requests.lines.get(key) or requests.new_line(key)
        line.active += 1
        return line

    def start_afresh(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = Lock()
        if self._requests is not None:
            self._requests.start_afresh()

    def _look_up(self) -> MeterProvider | None:
        """Return the global provider, `None` while none is set up; remember where it is once that is known."""
        api = sys.modules.get(API)
        if api is None:
            return None
        if hasattr(api, "_METER_PROVIDER"):
            # The public function asks the environment each time while none is set up.
            self._place = api
            provider: MeterProvider | None = api._METER_PROVIDER
        else:  # another version, or one that is being imported just now
            ask = getattr(api, "get_meter_provider", None)
            provider = None if ask is None else ask()
        return provider

    def _bind(self, provider: MeterProvider) -> None:
        with self._lock:
            if provider is self._known:
                return
            self._meter = self._requests = None
            from opentelemetry.metrics import NoOpMeterProvider

            from .instruments import Requests, tell
            from .tracing import SCHEMA_URL, SCOPE

            if not isinstance(provider, NoOpMeterProvider):
                self._meter = provider.get_meter(SCOPE, schema_url=SCHEMA_URL)
                self._requests = Requests(self._meter)
                for stats in self._stats.values():
                    tell(stats, self._meter)
            self._known = provider


class _Given:
    """A provider in a place like that of the global one."""

    def __init__(self, provider: MeterProvider) -> None:
        self._METER_PROVIDER = provider


@cache
def shared_metrics() -> Metrics:
    """Return what all clients of the process share: requests are told apart by their server, not by their client."""
    return Metrics()
