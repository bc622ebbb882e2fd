"""Where the model flattens Envoy's shape: one small function per message."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .breaker_metadata import read_circuit_breaker
from .dns_adapter import dns_cluster, resolution_config
from .lb_adapter import load_balancing_policy
from .messages import CLASSES
from .model.cluster import HttpProtocolOptions
from .model.core import ConfigSource, PathConfigSource
from .model.listener import RequestIDExtension, Router
from .model.route import FilterConfig, PreviousHostsPredicate, RetryPolicy
from .parsed import ParsedMessage, Value
from .support import HARMLESS_FILTERS, LOGGERS, STATS_FILTERS, TRACERS

if TYPE_CHECKING:
    from .build import Builder

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HPO = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_COMMON_OPTIONS = (
    "idle_timeout", "max_requests_per_connection", "max_connection_duration", "max_stream_duration",
    "max_headers_count", "max_response_headers_kb",
)  # fmt: skip
_TLS = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext"
_TYPE = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A function that adds to the arguments of a class; `replaces` are fields that it reads itself."""

    function: Callable[[Builder, ParsedMessage, dict[str, Any]], None]
    replaces: frozenset[str] = frozenset()


def _listener(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    _harmless_only(builder, parsed, "listener_filters", HARMLESS_FILTERS, "there is no connection to inspect",
                   "listener filters are not supported: the call's URL names the listener")  # fmt: skip
    chains: tuple[Value, ...] = parsed.get("filter_chains") or ()
    if len(chains) > 1:
        builder.fault(chains[1].place, "one filter chain in a listener is supported", "make it a listener of its own")
    filters: list[Value] = []
    for chain in chains[:1]:
        if isinstance(chain.value, ParsedMessage):
            filters = list(chain.value.get("filters") or ())
    managers = [found for item in filters if (found := _network_filter(builder, item)) is not None]
    if managers:
        arguments["http_connection_manager"] = builder.build(managers[0])
        if len(managers) > 1:
            builder.fault(managers[1].place, "the connection manager must be the last filter of its chain")
    elif filters:
        parsed.doubtful = True  # each filter has its fault already
    elif not parsed.doubtful:
        parsed.doubtful = True
        builder.fault(parsed.where("filter_chains"), "a listener needs one filter chain with a connection manager")


def _harmless_only(
    builder: Builder, parsed: ParsedMessage, field: str, harmless: Collection[str], why: str, refusal: str
) -> None:
    """Warn of filters that change nothing here, and refuse all others."""
    for item in parsed.get(field) or ():
        if not isinstance(item.value, ParsedMessage) or item.value.doubtful:
            continue
        config = item.value.get("typed_config")
        if config is not None and config.doubtful:
            continue
        if config is not None and config.name in harmless:
            builder.warn(item.place, f"no effect: {why}")
        else:
            builder.fault(item.place, refusal)


def _network_filter(builder: Builder, item: Value) -> ParsedMessage | None:
    if not isinstance(item.value, ParsedMessage):
        return None
    config = item.value.get("typed_config")
    if isinstance(config, ParsedMessage) and config.name == _HCM:
        return config
    if isinstance(config, ParsedMessage) and config.name != "google.protobuf.Any":
        builder.fault(config.place, f"{config.name} is not a network filter")
    elif not item.value.doubtful and not (isinstance(config, ParsedMessage) and config.doubtful):
        builder.fault(item.place, "typed_config is missing", f'"@type": {_TYPE}{_HCM}')
    return None


def _connection_manager(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    http1 = parsed.get("http_protocol_options")
    if http1 is not None:
        arguments["allow_custom_methods"] = bool(http1.get("allow_custom_methods"))
    common = parsed.get("common_http_protocol_options")
    if common is None:
        return
    for name, value in common.fields.items():
        if name in ("headers_with_underscores_action", "max_stream_duration", "max_headers_count"):
            arguments[name] = value.value
        else:
            builder.warn(value.place, "no effect: there is no connection between the application and the policy")


def _tracing(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    provider = parsed.get("provider")
    config = provider.get("typed_config") if provider is not None else None
    if provider is not None:
        _any_type(builder, provider, arguments)
        if config is not None and not config.doubtful and config.name not in (*TRACERS, "google.protobuf.Any"):
            builder.fault(config.place, f"{config.name} is not a tracer")
            return
    if config is not None and not config.doubtful and config.name != "google.protobuf.Any":
        arguments["provider"] = "zipkin" if config.name.endswith(".ZipkinConfig") else "opentelemetry"
        if arguments["provider"] == "zipkin":
            arguments["trace_id_128bit"] = bool(config.get("trace_id_128bit"))
            arguments["shared_span_context"] = config.get("shared_span_context") is not False
            arguments["w3c_propagation"] = config.get("trace_context_option") == "USE_B3_WITH_W3C_PROPAGATION"
        message = "spans go where the application's OpenTelemetry SDK sends them, not to this collector"
        builder.warn(config.place, message)


def _common_tls_context(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Drop a certificate of which nothing is set, as Envoy does."""
    certificates: tuple[Value, ...] = parsed.get("tls_certificates") or ()
    kept = []
    for item in certificates:
        if isinstance(item.value, ParsedMessage) and (item.value.fields or item.value.doubtful):
            kept.append(builder.build(item.value))
        elif not item.broken:
            builder.warn(item.place, "no effect: the certificate is empty")
    arguments["tls_certificates"] = tuple(kept)


def _cidr_range(_builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Envoy cuts a prefix that is longer than the address."""
    if (length := parsed.get("prefix_len")) is not None:
        arguments["prefix_len"] = min(length, 128 if ":" in str(parsed.get("address_prefix")) else 32)


def _typed_only(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Refuse a message whose extension has no type, or one that the model has no class for."""
    _any_type(builder, parsed, arguments)
    config = parsed.get("typed_config")
    if config is not None and not config.doubtful and config.name not in (*CLASSES, "google.protobuf.Any"):
        builder.fault(config.place, f"{config.name} cannot stand here")


def _access_log(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Warn of loggers that send elsewhere what is logged."""
    _any_type(builder, parsed, arguments)
    config = parsed.get("typed_config")
    if config is None or config.doubtful or config.name == "google.protobuf.Any":
        return
    if config.name in LOGGERS:
        builder.warn(parsed.place, f"no effect: {config.name} is not written; only files and standard streams are")
    elif config.name not in CLASSES:
        builder.fault(config.place, f"{config.name} is not an access log")


def _any_type(builder: Builder, parsed: ParsedMessage, _arguments: dict[str, Any]) -> None:
    config = parsed.get("typed_config")
    missing = config is None or (config.name == "google.protobuf.Any" and not config.doubtful)
    if missing and not parsed.doubtful:
        builder.fault(parsed.where("typed_config"), "typed_config is missing", "it names the type by its @type")


def _bare(name: str, type_name: str, default: Callable[[], object]) -> Adapter:
    """An extension that old files name without `typed_config`, which today's Envoy refuses."""

    def adapt(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
        if parsed.get("name") != name:
            config = parsed.get("typed_config")
            if config is not None and config.name in STATS_FILTERS:
                builder.warn(config.place, "no effect: the filter only concerns Envoy's stats")
            elif parsed.get("is_optional") and "typed_config" not in parsed.fields:
                builder.warn(parsed.place, "no effect: there is no typed_config, and it is optional")
            else:
                _typed_only(builder, parsed, arguments)
            return
        config = parsed.get("typed_config")
        if config is not None and (config.name != "google.protobuf.Any" or config.doubtful):
            _typed_only(builder, parsed, arguments)
            return
        arguments["typed_config"] = default()
        wanted = f'typed_config: {{"@type": {_TYPE}{type_name}}}'
        builder.warn(parsed.where("name"), f"{name} has no typed_config, which today's Envoy refuses; add {wanted}")

    return Adapter(adapt)


def _filter_config(builder: Builder, parsed: ParsedMessage, _arguments: dict[str, Any]) -> None:
    if "config" not in parsed.fields and not parsed.get("disabled") and not parsed.doubtful:
        builder.fault(parsed.where("config"), "config is missing", "config: {} turns a filter on with what it has")


def _protocol_options(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    explicit = parsed.get("explicit_http_config")
    if parsed.get("auto_config") is not None:
        arguments["protocol"] = "auto"
    elif explicit is not None and explicit.get("http2_protocol_options") is not None:
        arguments["protocol"] = "http2"
    for config in (parsed.get("auto_config"), explicit):
        if config is not None:
            _names_of_headers(builder, config, arguments)
            _most_streams(config, arguments)
    _common_options(builder, parsed, arguments)


def _names_of_headers(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Read how HTTP/1.1 writes the names of headers."""
    options = parsed.get("http_protocol_options")
    form = options.get("header_key_format") if options is not None else None
    if form is None:
        return
    if form.get("proper_case_words") is not None:
        arguments["proper_case_words"] = True
    elif not form.doubtful:
        builder.fault(options.where("header_key_format"), "a format of header names must be chosen: proper_case_words")


def _most_streams(parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Read how many calls share an HTTP/2 connection."""
    options = parsed.get("http2_protocol_options")
    if options is not None and (most := options.get("max_concurrent_streams")) is not None:
        arguments["max_concurrent_streams"] = most


def _common_options(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    common = parsed.get("common_http_protocol_options")
    for name, value in common.fields.items() if common is not None else ():
        if name in _COMMON_OPTIONS:
            arguments[name] = value.value
        elif not value.broken:
            builder.warn(value.place, f"no effect: {name} is not applied to connections with upstreams")
    upstream = parsed.get("upstream_http_protocol_options")
    for name, value in upstream.fields.items() if upstream is not None else ():
        arguments[name] = value.value


def _config_source(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Read the deprecated `path` as the `path_config_source` that has replaced it."""
    if (path := parsed.get("path")) is not None:
        source = PathConfigSource(path=path)
        builder.places.note(
            source, ParsedMessage(PathConfigSource.PROTO, parsed.place, {"path": parsed.fields["path"]})
        )
        arguments["path_config_source"] = source


def _cluster(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    options = _typed_protocol_options(builder, parsed)
    if options is None:
        options = _deprecated_protocol_options(builder, parsed)
    if options is not None:
        arguments["http_protocol_options"] = options
    load_balancing_policy(builder, parsed, arguments)
    dns_cluster(builder, parsed, arguments)
    if (config := resolution_config(builder, parsed)) is not None:
        arguments["dns_resolution_config"] = config
    metadata = parsed.get("metadata")
    if metadata is not None and (breaker := read_circuit_breaker(builder, metadata)) is not None:
        arguments["circuit_breaker"] = breaker


def _typed_protocol_options(builder: Builder, parsed: ParsedMessage) -> Any:
    found = None
    for name, value in (parsed.get("typed_extension_protocol_options") or {}).items():
        message = value.value
        if not isinstance(message, ParsedMessage) or message.name == "google.protobuf.Any":
            continue
        if name != _HPO or message.name != _HPO:
            builder.fault(value.place, f"options {name!r} are not supported: only {_HPO}")
            continue
        found = builder.build(message)
    return found


def _deprecated_protocol_options(builder: Builder, parsed: ParsedMessage) -> Any:
    """Read the fields of `Cluster` that `HttpProtocolOptions` replaced; Envoy takes them where that is absent."""
    arguments: dict[str, Any] = {}
    if parsed.get("http2_protocol_options") is not None:
        arguments["protocol"] = "http2"
    if (most := parsed.get("max_requests_per_connection")) is not None:
        arguments["max_requests_per_connection"] = most
    _names_of_headers(builder, parsed, arguments)
    _most_streams(parsed, arguments)
    _common_options(builder, parsed, arguments)
    if not arguments:
        return None
    options = HttpProtocolOptions(**arguments)
    builder.places.note(options, ParsedMessage(_HPO, parsed.place))
    return options


ADAPTERS: dict[str, Adapter] = {
    ConfigSource.PROTO: Adapter(_config_source),
    "envoy.config.listener.v3.Listener": Adapter(_listener),
    _HCM: Adapter(_connection_manager),
    f"{_HCM}.Tracing": Adapter(_tracing, frozenset({"provider"})),
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": _bare(
        "envoy.filters.http.router", Router.PROTO, Router
    ),
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate": _bare(
        "envoy.retry_host_predicates.previous_hosts", PreviousHostsPredicate.PROTO, PreviousHostsPredicate
    ),
    FilterConfig.PROTO: Adapter(_filter_config),
    RetryPolicy.RetryPriority.PROTO: Adapter(_typed_only),
    "envoy.config.core.v3.TransportSocket": Adapter(_typed_only),
    "envoy.config.accesslog.v3.AccessLog": Adapter(_access_log),
    RequestIDExtension.PROTO: Adapter(_typed_only),
    "envoy.config.core.v3.TypedExtensionConfig": Adapter(_typed_only),
    "envoy.config.core.v3.CidrRange": Adapter(_cidr_range, frozenset({"prefix_len"})),
    _TLS: Adapter(_common_tls_context, frozenset({"tls_certificates"})),
    _HPO: Adapter(_protocol_options),
    "envoy.config.cluster.v3.Cluster": Adapter(
        _cluster, frozenset({"http_protocol_options", "dns_resolution_config", "max_requests_per_connection"})
    ),
}
