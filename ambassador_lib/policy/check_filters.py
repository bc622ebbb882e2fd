"""Envoy's checks of HTTP filters: their order, and what the levels of a route table set for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from ..algorithms import header_format
from .check_routes import Level, check_added, levels
from .check_secrets import check_secret
from .findings import Findings
from .model.extra_requests import TypedExtensionConfig
from .model.filters import (
    HTTP_FILTERS,
    PER_ROUTE,
    SETTINGS,
    UPSTREAM_FILTERS,
    AdaptiveConcurrency,
    AdmissionControl,
    Compressor,
    CompressorPerRoute,
    CredentialInjector,
    Decompressor,
    Generic,
    GzipCompressor,
    GzipDecompressor,
    HeaderMutation,
    HeaderMutationPerRoute,
    HTTPFault,
    LocalRateLimit,
    Mutations,
    TokenBucket,
)
from .model.listener import HttpConnectionManager, HttpFilter, Router, UpstreamCodec
from .model.route import FilterConfig

_LAST_GRPC_STATUS = 16


def _check_mutations(findings: Findings, config: HeaderMutation | HeaderMutationPerRoute) -> None:
    mutations = config.mutations or Mutations()
    for one in (*mutations.request_mutations, *mutations.response_mutations):
        if one.append is not None:
            check_added(findings, (one.append,))
        if one.remove is not None and (one.remove.startswith(":") or one.remove.lower() == "host"):
            findings.fault(one, "remove", f"no request can be sent, and no response, without {one.remove!r}")
    for change in mutations.query_parameter_mutations:
        if bool(change.append) == bool(change.remove):
            findings.fault(change, "", "exactly one of append and remove must be set")
        elif change.append is not None and change.append.record is None:
            findings.fault(change.append, "record", "required field is missing")
        elif change.append is not None and change.append.record is not None:
            value: object = change.append.record.value
            reason = header_format.check(value) if isinstance(value, str) else "only a string can be a value"
            if reason is not None:
                findings.fault(change.append.record, "value", reason)


def _check_local_rate_limit(findings: Findings, config: LocalRateLimit) -> None:
    check_added(findings, (*config.response_headers_to_add, *config.request_headers_to_add_when_not_enforced))
    _check_bucket(findings, config.token_bucket)
    seen = set()
    for descriptor in config.descriptors:
        _check_bucket(findings, descriptor.token_bucket)
        if descriptor.entries in seen:
            findings.fault(descriptor, "entries", "another descriptor has the same entries")
        seen.add(descriptor.entries)
    for limit in config.rate_limits:
        if limit.stage or limit.disable_key:
            findings.fault(limit, "", "stage and disable_key have no place in the filter's own rate_limits")


def _check_bucket(findings: Findings, bucket: TokenBucket | None) -> None:
    if bucket is not None and bucket.fill_interval < _SHORTEST_FILL:
        findings.fault(bucket, "fill_interval", "must be at least 0.05 s")


_SHORTEST_FILL = 0.05


def _check_admission(findings: Findings, config: AdmissionControl) -> None:
    http, grpc = config.success_criteria.http_criteria, config.success_criteria.grpc_criteria
    for one in http.http_success_status if http is not None else ():
        if not 100 <= one.start <= one.end <= 600:
            findings.fault(one, "", f"[{one.start}, {one.end}) is no range of statuses from 100 to before 600")
    for index, code in enumerate(grpc.grpc_success_status if grpc is not None else ()):
        if code > _LAST_GRPC_STATUS:
            findings.fault(grpc, "grpc_success_status", f"{code} is no gRPC status", index=index)
    threshold = config.sr_threshold
    if threshold is not None and threshold.default_value is not None and threshold.default_value.value < 1:
        findings.fault(threshold, "default_value", "a success rate below 1 % cannot be a threshold")


def _check_gradient(findings: Findings, config: AdaptiveConcurrency) -> None:
    measured = config.gradient_controller_config.min_rtt_calc_params
    if measured.interval is None and measured.fixed_value is None:
        findings.fault(measured, "interval", "one of interval and fixed_value is needed")


def _check_credential(findings: Findings, config: CredentialInjector) -> None:
    credential = config.credential.typed_config
    if isinstance(credential, Generic):
        check_secret(findings, credential.credential, "generic_secret")
    elif credential is not None:  # reported where it was read
        findings.fault(config.credential, "typed_config", f"{type(credential).__name__} is no credential")


def _check_decompressor(findings: Findings, config: Decompressor) -> None:
    library = config.decompressor_library.typed_config
    if library is not None and not isinstance(library, GzipDecompressor):
        message = f"{type(library).__name__} decodes nothing"
        findings.fault(config.decompressor_library, "typed_config", message)


def _check_compressor(findings: Findings, config: Compressor) -> None:
    _check_encoder(findings, config.compressor_library)


def _check_encoder(findings: Findings, extension: TypedExtensionConfig) -> None:
    library = extension.typed_config
    if library is not None and not isinstance(library, GzipCompressor):
        findings.fault(extension, "typed_config", f"{type(library).__name__} encodes nothing")


def _check_compressor_level(findings: Findings, config: CompressorPerRoute) -> None:
    if config.overrides is not None and config.overrides.compressor_library is not None:
        _check_encoder(findings, config.overrides.compressor_library)


_CHECKS: dict[type, Callable[[Findings, Any], None]] = {
    AdaptiveConcurrency: _check_gradient,
    AdmissionControl: _check_admission,
    Compressor: _check_compressor,
    CompressorPerRoute: _check_compressor_level,
    CredentialInjector: _check_credential,
    Decompressor: _check_decompressor,
    HeaderMutation: _check_mutations,
    HeaderMutationPerRoute: _check_mutations,
    LocalRateLimit: _check_local_rate_limit,
}
"""By class: what Envoy checks of a filter's configuration, wherever it stands, beyond its schema."""

_PREFIXES: dict[type, tuple[str, ...]] = {
    AdaptiveConcurrency: ("adaptive_concurrency.gradient_controller.",),
    HTTPFault: ("fault.http.",),
}
"""By class: families of runtime keys that a filter reads without being told."""


def check_filters(findings: Findings, manager: HttpConnectionManager) -> None:
    """Check the filters of a connection manager, and all that its route table sets for them."""
    last = len(manager.http_filters) - 1
    for position, filter_ in enumerate(manager.http_filters):
        if filter_.typed_config is None:
            continue  # reported where it was read
        _check_filter(findings, filter_, is_last=position == last)
        if filter_.is_optional:
            message = "no effect: the filter is known, and one that is not known is an error all the same"
            findings.warn(filter_, "is_optional", message)
    if not manager.http_filters:
        message = "there are no http_filters, so nothing sends requests on: add envoy.filters.http.router"
        findings.warn(manager, "http_filters", message)
    if manager.route_config is not None:
        for level in levels(manager.route_config):
            _check_settings(findings, level, manager)


def _check_filter(findings: Findings, filter_: HttpFilter, *, is_last: bool) -> None:
    config = filter_.typed_config
    if isinstance(config, Router):
        if not is_last:
            findings.fault(filter_, "", "the router must be the last HTTP filter")
        elif filter_.disabled:
            findings.fault(filter_, "disabled", "the router cannot be disabled")
        check_upstream_filters(findings, config, "upstream_http_filters", config.upstream_http_filters)
    elif not isinstance(config, HTTP_FILTERS):
        findings.fault(filter_, "typed_config", f"{type(config).__name__} cannot stand here: it is no HTTP filter")
    elif is_last:
        findings.fault(filter_, "", "the last HTTP filter must be the router", "add envoy.filters.http.router")
    if (check := _CHECKS.get(type(config))) is not None:
        check(findings, config)


def check_upstream_filters(findings: Findings, owner: object, field: str, filters: Sequence[HttpFilter]) -> None:
    """Check the filters of a cluster, or a router's for clusters: they run once a try, and end with the codec."""
    for position, filter_ in enumerate(filters):
        config = filter_.typed_config
        is_last = position == len(filters) - 1
        if config is None:
            continue  # reported where it was read
        if is_last != isinstance(config, UpstreamCodec):
            findings.fault(owner, field, "upstream_codec must be the last of these filters", index=position)
        elif not is_last and not isinstance(config, UPSTREAM_FILTERS):
            message = f"{type(config).__name__} is not supported as a filter of a cluster"
            findings.fault(owner, field, message, index=position)
        elif (check := _CHECKS.get(type(config))) is not None:
            check(findings, config)


def filter_runtime_keys(manager: HttpConnectionManager) -> Iterator[str]:
    """Yield the runtime keys that the filters read, and families of them, which end with a dot (`fault.http.`)."""
    given = [filter_.typed_config for filter_ in manager.http_filters]
    for config in given:
        yield from _PREFIXES.get(type(config), ())
    for level in levels(manager.route_config) if manager.route_config is not None else ():
        given += [getattr(item, "config", item) for item in level.typed_per_filter_config.values()]
    for config in given:
        if isinstance(config, LocalRateLimit):
            yield from (one.runtime_key for one in (config.filter_enabled, config.filter_enforced) if one is not None)
        if isinstance(config, AdaptiveConcurrency | AdmissionControl | Compressor | Decompressor):
            yield from _keys_below(config)
        if isinstance(config, HTTPFault):
            yield from (getattr(config, field.name) for field in fields(config) if field.name.endswith("_runtime"))


def _keys_below(root: object) -> Iterator[str]:
    """Yield all that stands in a field `runtime_key` of an object, or of what it consists of."""
    if is_dataclass(root):
        for field in fields(root):
            value = getattr(root, field.name)
            yield from (value,) if field.name == "runtime_key" and value else _keys_below(value)


def _check_settings(findings: Findings, level: Level, manager: HttpConnectionManager) -> None:
    filters = {filter_.name: filter_ for filter_ in manager.http_filters}
    for name, given in level.typed_per_filter_config.items():
        where = f'"{name}" of typed_per_filter_config'
        config = given.config if isinstance(given, FilterConfig) else given
        if config is not None and not isinstance(config, SETTINGS):
            message = f"{where}: {type(config).__name__} is no filter's configuration for a route"
            findings.fault(level, "typed_per_filter_config", message)
            continue
        if (check := _CHECKS.get(type(config))) is not None:
            check(findings, config)
        if isinstance(config, LocalRateLimit) and config.token_bucket is None:
            findings.fault(config, "token_bucket", "required in the settings of a route")
        filter_ = filters.get(name)
        if filter_ is None and not isinstance(config, HeaderMutationPerRoute):  # which may be for a cluster's filter
            hint = f"the filters are named {', '.join(map(repr, filters))}"
            findings.warn(level, "typed_per_filter_config", f"no effect: no HTTP filter is named {name!r}; {hint}")
        elif filter_ is None:
            continue
        elif isinstance(filter_.typed_config, Router):
            findings.fault(level, "typed_per_filter_config", f"{where}: the router takes no settings and is never off")
        elif config is not None and not isinstance(config, PER_ROUTE.get(type(filter_.typed_config)) or ()):
            message = f"no effect: {name!r} is another filter than {type(config).__name__} is for"
            findings.warn(level, "typed_per_filter_config", message)
