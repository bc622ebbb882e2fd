"""The adaptive_concurrency filter (`envoy.extensions.filters.http.adaptive_concurrency.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..core import Percent, RuntimeFeatureFlag
from ..message import message
from .local_ratelimit import HttpStatus

_PACKAGE = "envoy.extensions.filters.http.adaptive_concurrency.v3"


@message
class GradientControllerConfig:
    """How the limit follows latency. Unset: the 50th percentile.
    Source: `envoy.extensions.filters.http.adaptive_concurrency.v3.GradientControllerConfig`."""

    @message
    class ConcurrencyLimitCalculationParams:
        """Unset: at most 1000. Source: `GradientControllerConfig.ConcurrencyLimitCalculationParams`."""

        PROTO: ClassVar[str] = f"{_PACKAGE}.GradientControllerConfig.ConcurrencyLimitCalculationParams"
        concurrency_update_interval: float
        max_concurrency_limit: int | None = None

    @message
    class MinimumRTTCalculationParams:
        """`interval` between two measurements, or a `fixed_value`. Unset: 50 requests, jitter 15 %, at least 3 at once,
        buffer 25 %. Source: `GradientControllerConfig.MinimumRTTCalculationParams`."""

        PROTO: ClassVar[str] = f"{_PACKAGE}.GradientControllerConfig.MinimumRTTCalculationParams"
        interval: float | None = None
        fixed_value: float | None = None
        request_count: int | None = None
        jitter: Percent | None = None
        min_concurrency: int | None = None
        buffer: Percent | None = None

    PROTO: ClassVar[str] = f"{_PACKAGE}.GradientControllerConfig"
    concurrency_limit_params: ConcurrencyLimitCalculationParams
    min_rtt_calc_params: MinimumRTTCalculationParams
    sample_aggregate_percentile: Percent | None = None


@message
class AdaptiveConcurrency:
    """Lets as many requests pass at once as the upstreams' latency allows; `enabled` unset is true, and the status 503.
    Source: `envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency`; semantics 9.5."""

    PROTO: ClassVar[str] = f"{_PACKAGE}.AdaptiveConcurrency"
    gradient_controller_config: GradientControllerConfig
    enabled: RuntimeFeatureFlag | None = None
    concurrency_limit_exceeded_status: HttpStatus | None = None
