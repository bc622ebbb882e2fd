"""The admission_control filter (`envoy.extensions.filters.http.admission_control.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..balancing import RuntimeDouble
from ..core import Int32Range, RuntimeFeatureFlag, RuntimePercent, RuntimeUInt32
from ..message import message

_PROTO = "envoy.extensions.filters.http.admission_control.v3.AdmissionControl"


@message
class AdmissionControl:
    """Refuses a share of the requests that grows with the share that fails.

    Unset: `enabled`, `sampling_window` 30 s, `aggression` 1, `sr_threshold` 95 %, `rps_threshold` 0,
    `max_rejection_probability` 80 %. Source: `envoy.extensions.filters.http.admission_control.v3.AdmissionControl`;
    semantics 9.6.
    """

    @message
    class SuccessCriteria:
        """What is a success. Source: `AdmissionControl.SuccessCriteria`."""

        @message
        class HttpCriteria:
            """Unset: below 500. Source: `AdmissionControl.SuccessCriteria.HttpCriteria`."""

            PROTO: ClassVar[str] = f"{_PROTO}.SuccessCriteria.HttpCriteria"
            http_success_status: tuple[Int32Range, ...] = ()

        @message
        class GrpcCriteria:
            """Unset: all but those that are a server's failure. Source: `SuccessCriteria.GrpcCriteria`."""

            PROTO: ClassVar[str] = f"{_PROTO}.SuccessCriteria.GrpcCriteria"
            grpc_success_status: tuple[int, ...] = ()

        PROTO: ClassVar[str] = f"{_PROTO}.SuccessCriteria"
        http_criteria: HttpCriteria | None = None
        grpc_criteria: GrpcCriteria | None = None

    PROTO: ClassVar[str] = _PROTO
    success_criteria: SuccessCriteria
    enabled: RuntimeFeatureFlag | None = None
    sampling_window: float | None = None
    aggression: RuntimeDouble | None = None
    sr_threshold: RuntimePercent | None = None
    rps_threshold: RuntimeUInt32 | None = None
    max_rejection_probability: RuntimePercent | None = None
