"""The fault filter: aborts, delays and slow responses on purpose (`envoy.extensions.filters.http.fault.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..core import FractionalPercent
from ..matcher import HeaderMatcher
from ..message import message


@message
class FaultDelay:
    """A wait before the request goes on, `fixed_delay` seconds or as a header says; `percentage` unset is none.
    Source: `envoy.extensions.filters.common.fault.v3.FaultDelay`."""

    @message
    class HeaderDelay:
        """`x-envoy-fault-delay-request` gives the milliseconds. Source: `FaultDelay.HeaderDelay`."""

        PROTO: ClassVar[str] = "envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay"

    PROTO: ClassVar[str] = "envoy.extensions.filters.common.fault.v3.FaultDelay"
    fixed_delay: float | None = None
    header_delay: HeaderDelay | None = None
    percentage: FractionalPercent | None = None


@message
class FaultAbort:
    """An answer in the upstream's place; `percentage` unset is none. Source: `fault.v3.FaultAbort`."""

    @message
    class HeaderAbort:
        """`x-envoy-fault-abort-request` gives the status, `x-envoy-fault-abort-grpc-request` a gRPC status.
        Source: `FaultAbort.HeaderAbort`."""

        PROTO: ClassVar[str] = "envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort"

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.fault.v3.FaultAbort"
    http_status: int | None = None
    grpc_status: int | None = None
    header_abort: HeaderAbort | None = None
    percentage: FractionalPercent | None = None


@message
class FaultRateLimit:
    """Slows response bodies down; `percentage` unset is none. Source: `common.fault.v3.FaultRateLimit`."""

    @message
    class FixedLimit:
        """KiB per second. Source: `FaultRateLimit.FixedLimit`."""

        PROTO: ClassVar[str] = "envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit"
        limit_kbps: int

    @message
    class HeaderLimit:
        """`x-envoy-fault-throughput-response` gives KiB per second. Source: `FaultRateLimit.HeaderLimit`."""

        PROTO: ClassVar[str] = "envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit"

    PROTO: ClassVar[str] = "envoy.extensions.filters.common.fault.v3.FaultRateLimit"
    fixed_limit: FixedLimit | None = None
    header_limit: HeaderLimit | None = None
    percentage: FractionalPercent | None = None


@message
class HTTPFault:
    """Source: `envoy.extensions.filters.http.fault.v3.HTTPFault`; semantics 9.2.

    `max_active_faults` unset is no limit. The `..._runtime` fields name runtime keys in place of `fault.http....`.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.fault.v3.HTTPFault"
    delay: FaultDelay | None = None
    abort: FaultAbort | None = None
    upstream_cluster: str = ""
    headers: tuple[HeaderMatcher, ...] = ()
    downstream_nodes: tuple[str, ...] = ()
    max_active_faults: int | None = None
    response_rate_limit: FaultRateLimit | None = None
    delay_percent_runtime: str = ""
    abort_percent_runtime: str = ""
    delay_duration_runtime: str = ""
    abort_http_status_runtime: str = ""
    abort_grpc_status_runtime: str = ""
    max_active_faults_runtime: str = ""
    response_rate_limit_percent_runtime: str = ""
