"""The buffer filter (`envoy.extensions.filters.http.buffer.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..message import message


@message
class Buffer:
    """The most bytes that a request's body may have. Source: `envoy.extensions.filters.http.buffer.v3.Buffer`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.buffer.v3.Buffer"
    max_request_bytes: int


@message
class BufferPerRoute:
    """Either of the two. Source: `envoy.extensions.filters.http.buffer.v3.BufferPerRoute`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.buffer.v3.BufferPerRoute"
    disabled: bool | None = None
    buffer: Buffer | None = None
