"""The decompressor filter (`envoy.extensions.filters.http.decompressor.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..core import RuntimeFeatureFlag
from ..extra_requests import TypedExtensionConfig
from ..message import message

_PROTO = "envoy.extensions.filters.http.decompressor.v3.Decompressor"


@message
class GzipDecompressor:
    """Unset: a window of 15 bits, at most 100 times as much output as input, to the next whole chunk of 4096 bytes.
    Source: `envoy.extensions.compression.gzip.decompressor.v3.Gzip`."""

    PROTO: ClassVar[str] = "envoy.extensions.compression.gzip.decompressor.v3.Gzip"
    window_bits: int | None = None
    chunk_size: int | None = None
    max_inflate_ratio: int | None = None


@message
class Decompressor:
    """Decodes bodies in both directions, and asks upstreams for encoded ones.
    Source: `envoy.extensions.filters.http.decompressor.v3.Decompressor`; semantics 9.8."""

    @message
    class CommonDirectionConfig:
        """`enabled` unset is true. Source: `Decompressor.CommonDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.CommonDirectionConfig"
        enabled: RuntimeFeatureFlag | None = None
        ignore_no_transform_header: bool = False

    @message
    class RequestDirectionConfig:
        """`advertise_accept_encoding` unset is true. Source: `Decompressor.RequestDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.RequestDirectionConfig"
        common_config: Decompressor.CommonDirectionConfig | None = None
        advertise_accept_encoding: bool | None = None

    @message
    class ResponseDirectionConfig:
        """Source: `Decompressor.ResponseDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.ResponseDirectionConfig"
        common_config: Decompressor.CommonDirectionConfig | None = None

    PROTO: ClassVar[str] = _PROTO
    decompressor_library: TypedExtensionConfig
    request_direction_config: RequestDirectionConfig | None = None
    response_direction_config: ResponseDirectionConfig | None = None
