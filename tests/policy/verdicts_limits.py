"""Documents about durations and the filters that refuse or decode, and what Envoy says of them."""

from __future__ import annotations

from .documents import ROUTER, TYPE, document

TAKEN = True
REFUSED = False

_STREAMS = {
    "max_stream_duration: {}": TAKEN, "max_stream_duration: {max_stream_duration: 0s}": TAKEN,
    "max_stream_duration: {max_stream_duration: -1s}": REFUSED,
    "max_stream_duration: {grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1s}": TAKEN,
    "max_grpc_timeout: 1s, grpc_timeout_offset: 2s": TAKEN, "flush_timeout: 1s": TAKEN,
    "retry_policy: {per_try_idle_timeout: 0s}": TAKEN,
    "retry_policy: {per_try_idle_timeout: 2s, per_try_timeout: 1s}": TAKEN,
}  # fmt: skip
_ROUTERS = {
    "strict_check_headers: [x-envoy-retry-on, x-envoy-max-retries]": TAKEN,
    "strict_check_headers: [x-envoy-retriable-status-codes]": REFUSED,
    "strict_check_headers: [X-Envoy-Retry-On]": REFUSED,
    "respect_expected_rq_timeout: true": TAKEN,
}  # fmt: skip
_ADMISSION = {
    "": REFUSED, "success_criteria: {}": TAKEN, "success_criteria: {http_criteria: {}}": REFUSED,
    "success_criteria: {http_criteria: {http_success_status: [{start: 100, end: 600}]}}": TAKEN,
    "success_criteria: {http_criteria: {http_success_status: [{start: 99, end: 600}]}}": REFUSED,
    "success_criteria: {http_criteria: {http_success_status: [{start: 100, end: 601}]}}": REFUSED,
    "success_criteria: {http_criteria: {http_success_status: [{start: 200, end: 200}]}}": TAKEN,
    "success_criteria: {grpc_criteria: {}}": REFUSED,
    "success_criteria: {grpc_criteria: {grpc_success_status: [16]}}": TAKEN,
    "success_criteria: {grpc_criteria: {grpc_success_status: [17]}}": REFUSED,
    "success_criteria: {}, sampling_window: 0s": TAKEN,
    "success_criteria: {}, sr_threshold: {default_value: {value: 0.5}, runtime_key: k}": REFUSED,
    "success_criteria: {}, sr_threshold: {default_value: {value: 1}, runtime_key: k}": TAKEN,
    "success_criteria: {}, enabled: {default_value: false}": TAKEN,
    "success_criteria: {}, enabled: {runtime_key: k}": REFUSED,
}  # fmt: skip
_GRADIENTS = {
    "interval: 1s": TAKEN, "fixed_value: 1s": TAKEN, "interval: 1s, fixed_value: 1s": TAKEN, "": REFUSED,
    "interval: 0s": REFUSED, "fixed_value: 0s": REFUSED, "interval: 0.0005s": REFUSED,
    "interval: 1s, request_count: 0": REFUSED, "interval: 1s, min_concurrency: 0": REFUSED,
}  # fmt: skip
_GZIP = {
    "": TAKEN, "window_bits: 8": REFUSED, "window_bits: 9": TAKEN, "window_bits: 16": REFUSED,
    "chunk_size: 4095": REFUSED,
    "chunk_size: 4096": TAKEN, "max_inflate_ratio: 0": REFUSED, "max_inflate_ratio: 1": TAKEN,
}  # fmt: skip


_GZIP_COMPRESSOR = {
    "": TAKEN, "memory_level: 0": REFUSED, "memory_level: 1": TAKEN, "memory_level: 10": REFUSED,
    "window_bits: 8": REFUSED, "window_bits: 15": TAKEN, "window_bits: 16": REFUSED, "chunk_size: 4095": REFUSED,
    "chunk_size: 65536": TAKEN, "chunk_size: 65537": REFUSED, "compression_level: BEST_SPEED": TAKEN,
    "compression_level: COMPRESSION_LEVEL_9": TAKEN, "compression_level: 10": REFUSED,
    "compression_strategy: RLE": TAKEN, "compression_strategy: 5": REFUSED,
}  # fmt: skip
_RESPONSES = {
    "": TAKEN, "uncompressible_response_codes: [200, 599]": TAKEN, "uncompressible_response_codes: [199]": REFUSED,
    "uncompressible_response_codes: [600]": REFUSED, "uncompressible_response_codes: [404, 404]": REFUSED,
    "weaken_etag_on_compress: true": TAKEN, "weaken_etag_on_compress: 1": REFUSED, "status_header_enabled: true": TAKEN,
    'common_config: {min_content_length: 0, content_type: [""]}': TAKEN,
    "common_config: {enabled: {default_value: true}}": TAKEN,
}  # fmt: skip
_COMPRESSOR_LEVELS = {
    "": REFUSED, "disabled: true": TAKEN, "disabled: false": REFUSED, "overrides: {}": TAKEN,
    "overrides: {response_direction_config: {remove_accept_encoding_header: true}}": TAKEN,
    "overrides: {compressor_library: {name: g}}": REFUSED,
}  # fmt: skip


def _filtered(kind: str, config: str) -> str:
    typed = f'{{"@type": {TYPE}envoy.extensions.filters.http.{kind}, {config}}}'
    return document(filters=f"{{name: f, typed_config: {typed}}}, {ROUTER}")


def _router(config: str) -> str:
    typed = f'{{"@type": {TYPE}envoy.extensions.filters.http.router.v3.Router, {config}}}'
    return document(filters=f"{{name: r, typed_config: {typed}}}")


def _gradient(config: str) -> str:
    limit = "concurrency_limit_params: {concurrency_update_interval: 1s}"
    return _filtered(
        "adaptive_concurrency.v3.AdaptiveConcurrency",
        f"gradient_controller_config: {{{limit}, min_rtt_calc_params: {{{config}}}}}",
    )


def _gzip(config: str) -> str:
    typed = f'{{"@type": {TYPE}envoy.extensions.compression.gzip.decompressor.v3.Gzip, {config}}}'
    library = f"{{name: g, typed_config: {typed}}}"
    return _filtered("decompressor.v3.Decompressor", f"decompressor_library: {library}")


def _compressor(config: str, library: str = "", level: str | None = None) -> str:
    typed = f'{{"@type": {TYPE}envoy.extensions.compression.gzip.compressor.v3.Gzip, {library}}}'
    given = f"compressor_library: {{name: g, typed_config: {typed}}}, {config}"
    kind = f"{TYPE}envoy.extensions.filters.http.compressor.v3.Compressor"
    filters = f'{{name: f, typed_config: {{"@type": {kind}, {given}}}}}, {ROUTER}'
    if level is None:
        return document(filters=filters)
    settings = f'typed_per_filter_config: {{f: {{"@type": {kind}PerRoute, {level}}}}}'
    return document(filters=filters, on_route=settings)


LIMITS: dict[str, tuple[str, bool]] = {
    **{f"stream {value}": (document(route=f"cluster: c, {value}"), taken) for value, taken in _STREAMS.items()},
    **{f"router {value}": (_router(value), taken) for value, taken in _ROUTERS.items()},
    **{
        f"admission {value}": (_filtered("admission_control.v3.AdmissionControl", value), taken)
        for value, taken in _ADMISSION.items()
    },
    **{f"gradient {value}": (_gradient(value), taken) for value, taken in _GRADIENTS.items()},
    **{f"gzip {value}": (_gzip(value), taken) for value, taken in _GZIP.items()},
    **{f"gzip compressor {value}": (_compressor("", value), taken) for value, taken in _GZIP_COMPRESSOR.items()},
    **{
        f"compressor responses {value}": (_compressor(f"response_direction_config: {{{value}}}"), taken)
        for value, taken in _RESPONSES.items()
    },
    **{
        f"compressor level {value}": (_compressor("", level=value), taken)
        for value, taken in _COMPRESSOR_LEVELS.items()
    },
    "compressor without a library": (_filtered("compressor.v3.Compressor", ""), REFUSED),
}
