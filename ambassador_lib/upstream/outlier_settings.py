"""What `Cluster.outlier_detection` says, with Envoy's defaults filled in (semantics 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..policy.model.cluster import OutlierDetection


@dataclass(frozen=True, slots=True)
class Settings:
    """`OutlierDetection` with Envoy's defaults filled in; seconds, percent, thousandths as there."""

    consecutive_5xx: int = 5
    enforcing_consecutive_5xx: int = 100
    consecutive_gateway_failure: int = 5
    enforcing_consecutive_gateway_failure: int = 0
    consecutive_local_origin_failure: int = 5
    enforcing_consecutive_local_origin_failure: int = 100
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_time: float = 300.0
    max_ejection_time_jitter: float = 0.0
    max_ejection_percent: int = 10
    always_eject_one_host: bool = False
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: int = 1900
    enforcing_success_rate: int = 100
    enforcing_local_origin_success_rate: int = 100
    failure_percentage_threshold: int = 85
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50
    enforcing_failure_percentage: int = 0
    enforcing_failure_percentage_local_origin: int = 0
    split_external_local_origin_errors: bool = False
    successful_active_health_check_uneject_host: bool = True

    @classmethod
    def of(cls, policy: OutlierDetection) -> Settings:
        """Fill the defaults in; `max_ejection_time` unset is 300 s, but never less than the base."""
        given = {name: getattr(policy, name) for name in cls.__slots__ if getattr(policy, name) is not None}
        settings = cls(**given)
        if settings.max_ejection_time < settings.base_ejection_time:
            return cls(**{**given, "max_ejection_time": settings.base_ejection_time})
        return settings
