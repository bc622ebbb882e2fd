"""Many values at once for a histogram of OpenTelemetry's SDK.

`Histogram.record` hashes the attributes, finds their aggregation in each reader, and adds one value to it. Here that is
done once for all values of a series; what readers tell is the same, but for exemplars, of which there are none. Private
names are used where they are known to mean this (`known`); elsewhere values are recorded one by one.
"""
# ruff: noqa: SLF001 - what is private is looked at before

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from .known import is_known

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Histogram

    from .attributes import Attributes


def merging(histogram: Histogram) -> Callable[[list[float], Attributes], bool] | None:
    """Return what takes many values at once, and says whether it did; `None` where `record` alone is known."""
    if not type(histogram).__module__.startswith("opentelemetry.sdk.metrics."):  # whose import others need not pay for
        return None
    from opentelemetry.sdk.metrics._internal import _view_instrument_match as matches
    from opentelemetry.sdk.metrics._internal import aggregation, instrument, measurement_consumer, metric_reader_storage

    known = {
        (instrument.Histogram, "record"): """Measurement _is_enabled _logger _measurement_consumer consume_measurement
            get_current isfinite math name record super time_ns warning""",
        (measurement_consumer.SynchronousMeasurementConsumer, "consume_measurement"): """_reader_storages _sdk_config
            attributes consume_measurement context exemplar_filter should_sample time_unix_nano value values""",
        (metric_reader_storage.MetricReaderStorage, "consume_measurement"): """_get_or_init_view_instrument_match
            consume_measurement instrument""",
        (matches._ViewInstrumentMatch, "consume_measurement"): """DefaultAggregation __class__ _aggregation
            _attribute_keys _attributes_aggregation _create_aggregation _exemplar_reservoir_factory
            _get_or_create_aggregation _hash_attributes _instrument _instrument_class_aggregation _lock
            _reset_on_collect _start_time_unix_nano _view aggregate attributes dict frozenset get isinstance items
            time_ns""",
        (aggregation._ExplicitBucketHistogramAggregation, "aggregate"): """_boundaries _get_empty_bucket_counts _lock
            _max _min _record_min_max _sample_exemplar _sum _value bisect_left max min value""",
    }
    consumer = getattr(histogram, "_measurement_consumer", None)
    if (
        not isinstance(histogram, instrument.Histogram)
        or type(consumer) is not measurement_consumer.SynchronousMeasurementConsumer
        or not all(is_known(owner, name, names) for (owner, name), names in known.items())
    ):
        return None
    return SdkHistogram(
        histogram,
        aggregation._ExplicitBucketHistogramAggregation,
        getattr(matches, "_hash_attributes", None),
    ).merge


class SdkHistogram:
    """`hash_attributes` is the key of a set of attributes since 1.45, which may forget aggregations in between."""

    def __init__(self, histogram: Histogram, plain: type, hash_attributes: Callable[[Attributes], Any] | None) -> None:
        self._histogram: Any = histogram
        self._plain = plain
        self._hash_attributes = hash_attributes

    def merge(self, values: list[float], attributes: Attributes) -> bool:
        """Add all values; False, with nothing done, where a reader or a view has another aggregation."""
        histogram = self._histogram
        storages = histogram._measurement_consumer._reader_storages.values()
        matches = [match for storage in storages for match in storage._get_or_init_view_instrument_match(histogram)]
        if any(type(match._aggregation) is not self._plain for match in matches):
            return False
        if hasattr(histogram, "_is_enabled") and not histogram._is_enabled():
            return True
        told = [_shown(match, attributes) for match in matches]
        if self._hash_attributes is None and not all(map(_has, matches, told)):
            histogram.record(values.pop(), attributes)  # makes the aggregations that are missing
        values.sort()
        for match, shown in zip(matches, told, strict=True):
            if self._hash_attributes is None:
                _add(match._attributes_aggregation[frozenset(shown.items())], values)
            else:
                with match._lock:
                    _add(match._get_or_create_aggregation(self._hash_attributes(shown), shown), values)
        return True


def _shown(match: Any, attributes: Attributes) -> Attributes:
    """Return the attributes that the view keeps."""
    keys = match._view._attribute_keys
    return dict(attributes) if keys is None else {key: value for key, value in attributes.items() if key in keys}


def _has(match: Any, attributes: Attributes) -> bool:
    return frozenset(attributes.items()) in match._attributes_aggregation


def _add(aggregation: Any, values: list[float]) -> None:
    """Add sorted values, as so many calls of `aggregate` would."""
    if not values:
        return
    with aggregation._lock:
        if aggregation._value is None:
            aggregation._value = aggregation._get_empty_bucket_counts()
        aggregation._sum += sum(values)
        if aggregation._record_min_max:
            aggregation._min = min(aggregation._min, values[0])
            aggregation._max = max(aggregation._max, values[-1])
        below = 0
        for index, boundary in enumerate(aggregation._boundaries):
            upto = bisect_right(values, boundary)
            aggregation._value[index] += upto - below
            below = upto
        aggregation._value[-1] += len(values) - below
