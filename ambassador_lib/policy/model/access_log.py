"""Access logs and local replies: their filters, formats and sinks (`envoy.config.accesslog.v3`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .message import message

if TYPE_CHECKING:
    from .core import DataSource, FractionalPercent, HeaderValueOption, RuntimeUInt32, SubstitutionFormatString
    from .matcher import HeaderMatcher


_FILTERS = "envoy.config.accesslog.v3"


@message
class ComparisonFilter:
    """`op` is EQ, GE, LE or NE. Source: `envoy.config.accesslog.v3.ComparisonFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.ComparisonFilter"
    op: str = "EQ"
    value: RuntimeUInt32


@message
class StatusCodeFilter:
    """By the response's code. Source: `envoy.config.accesslog.v3.StatusCodeFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.StatusCodeFilter"
    comparison: ComparisonFilter


@message
class DurationFilter:
    """By the call's milliseconds. Source: `envoy.config.accesslog.v3.DurationFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.DurationFilter"
    comparison: ComparisonFilter


@message
class NotHealthCheckFilter:
    """Everything that is not a health check. Source: `envoy.config.accesslog.v3.NotHealthCheckFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.NotHealthCheckFilter"


@message
class TraceableFilter:
    """Calls that are traced. Source: `envoy.config.accesslog.v3.TraceableFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.TraceableFilter"


@message
class RuntimeFilter:
    """A share, by the request's id unless `use_independent_randomness`.
    Source: `envoy.config.accesslog.v3.RuntimeFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.RuntimeFilter"
    runtime_key: str
    percent_sampled: FractionalPercent | None = None
    use_independent_randomness: bool = False


@message
class AndFilter:
    """All of them. Source: `envoy.config.accesslog.v3.AndFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.AndFilter"
    filters: tuple[AccessLogFilter, ...] = ()


@message
class OrFilter:
    """Any of them. Source: `envoy.config.accesslog.v3.OrFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.OrFilter"
    filters: tuple[AccessLogFilter, ...] = ()


@message
class HeaderFilter:
    """By a request header. Source: `envoy.config.accesslog.v3.HeaderFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.HeaderFilter"
    header: HeaderMatcher


@message
class ResponseFlagFilter:
    """Any of the flags, or any flag at all. Source: `envoy.config.accesslog.v3.ResponseFlagFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.ResponseFlagFilter"
    flags: tuple[str, ...] = ()


@message
class GrpcStatusFilter:
    """By the gRPC status, or all others. Source: `envoy.config.accesslog.v3.GrpcStatusFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.GrpcStatusFilter"
    statuses: tuple[str, ...] = ()
    exclude: bool = False


@message
class LogTypeFilter:
    """By the kind of entry; here every entry is DownstreamEnd. Source: `envoy.config.accesslog.v3.LogTypeFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.LogTypeFilter"
    types: tuple[str, ...] = ()
    exclude: bool = False


@message
class AccessLogFilter:
    """One condition on a call that has ended. Source: `envoy.config.accesslog.v3.AccessLogFilter`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.AccessLogFilter"
    status_code_filter: StatusCodeFilter | None = None
    duration_filter: DurationFilter | None = None
    not_health_check_filter: NotHealthCheckFilter | None = None
    traceable_filter: TraceableFilter | None = None
    runtime_filter: RuntimeFilter | None = None
    and_filter: AndFilter | None = None
    or_filter: OrFilter | None = None
    header_filter: HeaderFilter | None = None
    response_flag_filter: ResponseFlagFilter | None = None
    grpc_status_filter: GrpcStatusFilter | None = None
    log_type_filter: LogTypeFilter | None = None


@message
class FileAccessLog:
    """Lines appended to a file; `format` and `json_format` are the older forms of `log_format`.
    Source: `envoy.extensions.access_loggers.file.v3.FileAccessLog`."""

    PROTO: ClassVar[str] = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    path: str
    format: str | None = None
    json_format: Mapping[str, Any] | None = None
    typed_json_format: Mapping[str, Any] | None = None
    log_format: SubstitutionFormatString | None = None


@message
class StdoutAccessLog:
    """Lines on the standard output. Source: `envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`."""

    PROTO: ClassVar[str] = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    log_format: SubstitutionFormatString | None = None


@message
class StderrAccessLog:
    """Lines on the standard error stream. Source: `envoy.extensions.access_loggers.stream.v3.StderrAccessLog`."""

    PROTO: ClassVar[str] = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog"
    log_format: SubstitutionFormatString | None = None


@message
class AccessLog:
    """Which calls are logged, where and how; without `typed_config` of ours nothing is written.
    Source: `envoy.config.accesslog.v3.AccessLog`."""

    PROTO: ClassVar[str] = f"{_FILTERS}.AccessLog"
    name: str = ""
    filter: AccessLogFilter | None = None
    typed_config: Any = None


_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3"


@message
class ResponseMapper:
    """Changes the local replies that its filter selects. Source: `ResponseMapper` of the connection manager."""

    PROTO: ClassVar[str] = f"{_MANAGER}.ResponseMapper"
    filter: AccessLogFilter
    status_code: int | None = None
    body: DataSource | None = None
    body_format_override: SubstitutionFormatString | None = None
    headers_to_add: tuple[HeaderValueOption, ...] = ()


@message
class LocalReplyConfig:
    """The first mapper that applies, then the format. Source: `LocalReplyConfig` of the connection manager."""

    PROTO: ClassVar[str] = f"{_MANAGER}.LocalReplyConfig"
    mappers: tuple[ResponseMapper, ...] = ()
    body_format: SubstitutionFormatString | None = None
