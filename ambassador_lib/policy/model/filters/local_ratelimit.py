"""The local rate limit filter (`envoy.extensions.filters.http.local_ratelimit.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..core import HeaderValueOption, RuntimeFractionalPercent
from ..message import message
from ..rate_limit import RateLimit


@message
class TokenBucket:
    """Starts full; `tokens_per_fill` (unset: 1) come in within `fill_interval` seconds, a bit at a time.
    Source: `envoy.type.v3.TokenBucket`."""

    PROTO: ClassVar[str] = "envoy.type.v3.TokenBucket"
    max_tokens: int = 0
    tokens_per_fill: int | None = None
    fill_interval: float


@message
class HttpStatus:
    """A status by its name. Source: `envoy.type.v3.HttpStatus`."""

    PROTO: ClassVar[str] = "envoy.type.v3.HttpStatus"
    code: str


@message
class RateLimitDescriptor:
    """Namespace of `Entry`. Source: `envoy.extensions.common.ratelimit.v3.RateLimitDescriptor`."""

    @message
    class Entry:
        """A key and its value, any if it is empty. Source: `RateLimitDescriptor.Entry`."""

        PROTO: ClassVar[str] = "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry"
        key: str
        value: str = ""

    PROTO: ClassVar[str] = "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor"
    entries: tuple[Entry, ...] = ()


@message
class LocalRateLimitDescriptor:
    """A bucket for the requests with exactly these entries, in this order.
    Source: `envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor`."""

    PROTO: ClassVar[str] = "envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor"
    entries: tuple[RateLimitDescriptor.Entry, ...]
    token_bucket: TokenBucket


@message
class LocalRateLimit:
    """Source: `envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit`; semantics 9.3.

    Does nothing without `filter_enabled`, and refuses nothing without `filter_enforced`. `status` unset, or below
    400, is 429; `max_dynamic_descriptors` unset is 20; `always_consume_default_token_bucket` unset is true.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    stat_prefix: str
    status: HttpStatus | None = None
    token_bucket: TokenBucket | None = None
    filter_enabled: RuntimeFractionalPercent | None = None
    filter_enforced: RuntimeFractionalPercent | None = None
    request_headers_to_add_when_not_enforced: tuple[HeaderValueOption, ...] = ()
    response_headers_to_add: tuple[HeaderValueOption, ...] = ()
    descriptors: tuple[LocalRateLimitDescriptor, ...] = ()
    stage: int = 0
    enable_x_ratelimit_headers: str = "OFF"
    vh_rate_limits: str = "OVERRIDE"
    always_consume_default_token_bucket: bool | None = None
    rate_limited_as_resource_exhausted: bool = False
    rate_limits: tuple[RateLimit, ...] = ()
    max_dynamic_descriptors: int | None = None
