"""The decompressor filter (`envoy.extensions.filters.http.decompressor.v3`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..core import RuntimeFeatureFlag
from ..extra_requests import TypedExtensionConfig

_PROTO = "envoy.extensions.filters.http.decompressor.v3.Decompressor"


@dataclass(frozen=True, slots=True, kw_only=True)
class GzipDecompressor:
    """Unset: a window of 15 bits, at most 100 times as much output as input, to the next whole chunk of 4096 bytes.
    Source: `envoy.extensions.compression.gzip.decompressor.v3.Gzip`."""

    PROTO: ClassVar[str] = "envoy.extensions.compression.gzip.decompressor.v3.Gzip"
    window_bits: int | None = None
    chunk_size: int | None = None
    max_inflate_ratio: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompressor:
    """Decodes bodies in both directions, and asks upstreams for encoded ones.
    Source: `envoy.extensions.filters.http.decompressor.v3.Decompressor`; semantics 9.8."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class CommonDirectionConfig:
        """`enabled` unset is true. Source: `Decompressor.CommonDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.CommonDirectionConfig"
        enabled: RuntimeFeatureFlag | None = None
        ignore_no_transform_header: bool = False

    @dataclass(frozen=True, slots=True, kw_only=True)
    class RequestDirectionConfig:
        """`advertise_accept_encoding` unset is true. Source: `Decompressor.RequestDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.RequestDirectionConfig"
        common_config: Decompressor.CommonDirectionConfig | None = None
        advertise_accept_encoding: bool | None = None

    @dataclass(frozen=True, slots=True, kw_only=True)
    class ResponseDirectionConfig:
        """Source: `Decompressor.ResponseDirectionConfig`."""

        PROTO: ClassVar[str] = f"{_PROTO}.ResponseDirectionConfig"
        common_config: Decompressor.CommonDirectionConfig | None = None

    PROTO: ClassVar[str] = _PROTO
    decompressor_library: TypedExtensionConfig
    request_direction_config: RequestDirectionConfig | None = None
    response_direction_config: ResponseDirectionConfig | None = None
