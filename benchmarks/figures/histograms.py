"""Latencies as HDR histograms: three significant digits up to a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdrh.histogram import HdrHistogram

from .results import Latency

if TYPE_CHECKING:
    from collections.abc import Iterable

SECOND = 1e9
_LOWEST, _HIGHEST, _DIGITS = 1, 60_000_000_000, 3

PERCENTILES = (
    *(float(percent) for percent in range(0, 90, 5)),
    90.0, 91.0, 92.0, 93.0, 94.0, 95.0, 96.0, 97.0, 98.0, 98.5, 99.0, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97,
    99.99, 99.999, 100.0,
)  # fmt: skip
"""Where a curve is drawn."""


class Histogram:
    """A distribution of nanoseconds."""

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._hdr = HdrHistogram(_LOWEST, _HIGHEST, _DIGITS)
        for value in nanoseconds:
            self._hdr.record_value(min(max(value, _LOWEST), _HIGHEST))

    def add(self, other: Histogram) -> None:
        self._hdr.add(other._hdr)

    def latency(self, *, whole: bool = False) -> Latency:
        """Return its figures; `whole`: with its curve and the histogram itself."""
        hdr = self._hdr
        count = hdr.get_total_count()
        if not count:
            return Latency(count=0, mean=0.0, p50=0.0, p90=0.0, p99=0.0, p999=0.0, max=0.0)
        p50, p90, p99, p999 = (hdr.get_value_at_percentile(at) / SECOND for at in (50.0, 90.0, 99.0, 99.9))
        curve = hdr.get_percentile_to_value_dict(PERCENTILES) if whole else {}
        return Latency(
            count=count,
            mean=hdr.get_mean_value() / SECOND,
            p50=p50,
            p90=p90,
            p99=p99,
            p999=p999,
            max=hdr.get_max_value() / SECOND,
            curve=tuple((at, value / SECOND) for at, value in sorted(curve.items())),
            histogram=hdr.encode().decode() if whole else "",
        )
