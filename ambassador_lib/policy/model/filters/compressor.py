"""The compressor filter (`envoy.extensions.filters.http.compressor.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..core import RuntimeFeatureFlag
from ..extra_requests import TypedExtensionConfig
from ..message import message

_V3 = "envoy.extensions.filters.http.compressor.v3"
_PROTO = f"{_V3}.Compressor"


@message
class GzipCompressor:
    """Unset: zlib's own level, a window of 12 bits and memory level 5.
    Source: `envoy.extensions.compression.gzip.compressor.v3.Gzip`."""

    PROTO: ClassVar[str] = "envoy.extensions.compression.gzip.compressor.v3.Gzip"
    memory_level: int | None = None
    compression_level: str = "DEFAULT_COMPRESSION"
    compression_strategy: str = "DEFAULT_STRATEGY"
    window_bits: int | None = None
    chunk_size: int | None = None


@message
class Compressor:
    """Encodes bodies: those of responses where the caller accepts it, those of requests where it is told to.
    Source: `envoy.extensions.filters.http.compressor.v3.Compressor`; semantics 9.8."""

    @message
    class CommonDirectionConfig:
        """`enabled` unset is true, `min_content_length` unset or 0 is 30 bytes. Source:
        `Compressor.CommonDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.CommonDirectionConfig"
        enabled: RuntimeFeatureFlag | None = None
        min_content_length: int | None = None
        content_type: tuple[str, ...] = ()

    @message
    class RequestDirectionConfig:
        """Requests are encoded only where it is there. Source: `Compressor.RequestDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.RequestDirectionConfig"
        common_config: Compressor.CommonDirectionConfig | None = None

    @message
    class ResponseDirectionConfig:
        """In place of the filter's older fields for responses, all of them. Source:
        `Compressor.ResponseDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.ResponseDirectionConfig"
        common_config: Compressor.CommonDirectionConfig | None = None
        disable_on_etag_header: bool = False
        remove_accept_encoding_header: bool = False
        uncompressible_response_codes: tuple[int, ...] = ()
        status_header_enabled: bool = False
        weaken_etag_on_compress: bool = False

    PROTO: ClassVar[str] = _PROTO
    compressor_library: TypedExtensionConfig
    request_direction_config: RequestDirectionConfig | None = None
    response_direction_config: ResponseDirectionConfig | None = None
    choose_first: bool = False
    content_length: int | None = None
    content_type: tuple[str, ...] = ()
    disable_on_etag_header: bool = False
    remove_accept_encoding_header: bool = False
    runtime_enabled: RuntimeFeatureFlag | None = None


@message
class CompressorPerRoute:
    """What a level of a route table says of responses. Source:
    `envoy.extensions.filters.http.compressor.v3.CompressorPerRoute`."""

    @message
    class ResponseDirectionOverrides:
        """Turns the encoding of responses on by being there. Source: `ResponseDirectionOverrides`."""

        PROTO: ClassVar[str] = f"{_V3}.ResponseDirectionOverrides"
        remove_accept_encoding_header: bool | None = None

    @message
    class CompressorOverrides:
        """Source: `CompressorOverrides`."""

        PROTO: ClassVar[str] = f"{_V3}.CompressorOverrides"
        response_direction_config: CompressorPerRoute.ResponseDirectionOverrides | None = None
        compressor_library: TypedExtensionConfig | None = None

    PROTO: ClassVar[str] = f"{_V3}.CompressorPerRoute"
    disabled: bool = False
    overrides: CompressorOverrides | None = None
