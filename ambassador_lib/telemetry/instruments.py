"""How long requests take and how many are under way, by OpenTelemetry's semantic conventions for HTTP clients.

A try costs two lookups and an `append`: what the SDK's own `record` does for 7 µs, hashing attributes and taking locks,
is done for many values at once, when somebody collects or a series is full. Nothing takes a lock on a call's way: a
deque gives each value to one taker, whoever empties it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import Observation

from .attributes import outcome_attributes, server_attributes
from .sdk_histogram import merging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter

    from .attributes import Attributes, Outcome
    from .stats import Statistic, Stats

BOUNDARIES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds; as the conventions advise for `http.client.request.duration`."""
FULL: Final = 512
"""A series is emptied when it has this many values, whether anybody collects or not."""
MOST_LINES: Final = 1000
"""Servers and methods that are told apart; what comes later counts as one (`otel.metric.overflow`)."""


class Series:
    """The durations of requests that ended in the same way, not handed over yet."""

    __slots__ = ("attributes", "values")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self.values: deque[float] = deque()

    def take(self) -> list[float]:
        """Return the values that are there, which nobody else is given."""
        values, taken = self.values, []
        try:
            while True:
                taken.append(values.popleft())
        except IndexError:
            return taken


class Line:
    """Requests of one method to one server."""

    __slots__ = ("_hand_over", "active", "attributes", "series")

    def __init__(self, attributes: Attributes, hand_over: Callable[[Series], None]) -> None:
        self.active = 0
        self.attributes = attributes
        self.series: dict[Outcome, Series] = {}
        self._hand_over = hand_over

    def end(self, outcome: Outcome, seconds: float) -> None:
        """Count a request that has ended: with a status, or with an exception of this type."""
        self.active -= 1
        series = self.series.get(outcome)
        if series is None:
            series = self.series.setdefault(outcome, Series({**self.attributes, **outcome_attributes(outcome)}))
        values = series.values
        values.append(seconds)
        if len(values) >= FULL:
            self._hand_over(series)


class Requests:
    """What one meter provider is told of requests."""

    def __init__(self, meter: Meter) -> None:
        self.lines: dict[tuple[str, str, str], Line] = {}
        self._distinct: dict[tuple[tuple[str, str | int | bool], ...], Line] = {}
        self._histogram = _histogram(meter)
        self._merge = merging(self._histogram)
        meter.create_observable_up_down_counter(
            "http.client.active_requests", [self._observe], "{request}", "Number of active HTTP requests."
        )

    def hand_over(self, series: Series) -> None:
        """Give the meter provider what has come together in a series."""
        values = series.take()
        if not values or (self._merge is not None and self._merge(values, series.attributes)):
            return
        for value in values:
            self._histogram.record(value, series.attributes)

    def new_line(self, key: tuple[str, str, str]) -> Line:
        """Return where requests of a method to an authority by a scheme are counted from now on."""
        if len(self.lines) >= MOST_LINES:  # nor is the key kept: there may be any number of them
            return self._line_of({"otel.metric.overflow": True})
        return self.lines.setdefault(key, self._line_of(server_attributes(*key)))

    def _line_of(self, attributes: Attributes) -> Line:
        return self._distinct.setdefault(tuple(attributes.items()), Line(attributes, self.hand_over))

    def start_afresh(self) -> None:
        """In a forked child: calls of the parent never end here, and what they took is the parent's to tell."""
        for line in self._distinct.values():
            line.active = 0
            for series in line.series.values():
                series.values.clear()

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """Tell how many are under way; asked once a collection, it is also the time to hand durations over."""
        lines = list(self._distinct.values())
        for line in lines:
            for series in list(line.series.values()):
                self.hand_over(series)
        return [Observation(line.active, line.attributes) for line in lines]


def tell(stats: Stats, meter: Meter) -> None:
    """Make the instruments by which a meter provider asks for statistics."""
    for statistic in stats.statistics:
        make = meter.create_observable_gauge if statistic.is_gauge else meter.create_observable_counter
        make(f"{stats.kind}.{statistic.name}", [_observing(stats, statistic)])


def _observing(stats: Stats, statistic: Statistic) -> Callable[[CallbackOptions], Iterable[Observation]]:
    key = f"envoy.{stats.kind}_name"

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        # A count that nothing was counted in is not worth a series, as in Envoy.
        values = stats.values(statistic)
        return [Observation(value, {key: name}) for name, value in values.items() if value or statistic.is_gauge]

    return observe


def _histogram(meter: Meter) -> Histogram:
    told = ("http.client.request.duration", "s", "Duration of HTTP client requests.")
    try:
        return meter.create_histogram(*told, explicit_bucket_boundaries_advisory=BOUNDARIES)
    except TypeError:  # an API before 1.30 takes no advice
        return meter.create_histogram(*told)
