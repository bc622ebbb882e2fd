"""What `Cluster.outlier_detection` says, with Envoy's defaults filled in (semantics 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..algorithms.runtime_value import integer

if TYPE_CHECKING:
    from ..policy.model.cluster import OutlierDetection


_NO_RUNTIME: Mapping[str, Any] = {}
TIMES = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")
_BOOLEANS = (
    "always_eject_one_host", "split_external_local_origin_errors", "successful_active_health_check_uneject_host",
    "detect_degraded_hosts",
)  # fmt: skip


def _override(name: str, runtime: Mapping[str, Any]) -> float | None:
    if name in _BOOLEANS:
        return None
    value = integer(runtime.get(f"outlier_detection.{name}{'_ms' if name in TIMES else ''}"), -1)
    if value < 0:
        return None
    return value / 1000 if name in TIMES else value


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
    detect_degraded_hosts: bool = False

    @classmethod
    def of(cls, policy: OutlierDetection, runtime: Mapping[str, Any] = _NO_RUNTIME) -> Settings:
        """Fill the defaults in; `max_ejection_time` unset is 300 s, but never less than the base.

        Runtime: `outlier_detection.<field>`, times in milliseconds as `<field>_ms`.
        """
        given = {name: getattr(policy, name) for name in cls.__slots__ if getattr(policy, name) is not None}
        given |= {name: value for name in cls.__slots__ if (value := _override(name, runtime)) is not None}
        settings = cls(**given)
        if settings.max_ejection_time < settings.base_ejection_time:
            return cls(**{**given, "max_ejection_time": settings.base_ejection_time})
        return settings
