"""Conditions on a response (`envoy.config.common.matcher.v3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .message import message

if TYPE_CHECKING:
    from .matcher import HeaderMatcher


@message
class HttpHeadersMatch:
    """All of the matchers hold; `:status` is a header, too.
    Source: `envoy.config.common.matcher.v3.HttpHeadersMatch`."""

    PROTO: ClassVar[str] = "envoy.config.common.matcher.v3.HttpHeadersMatch"
    headers: tuple[HeaderMatcher, ...] = ()


@message
class MatchPredicate:
    """A condition, of which one field is set. Source: `envoy.config.common.matcher.v3.MatchPredicate`."""

    @message
    class MatchSet:
        """Two conditions or more. Source: `envoy.config.common.matcher.v3.MatchPredicate.MatchSet`."""

        PROTO: ClassVar[str] = "envoy.config.common.matcher.v3.MatchPredicate.MatchSet"
        rules: tuple[MatchPredicate, ...] = ()

    PROTO: ClassVar[str] = "envoy.config.common.matcher.v3.MatchPredicate"
    or_match: MatchSet | None = None
    and_match: MatchSet | None = None
    not_match: MatchPredicate | None = None
    any_match: bool = False
    http_response_headers_match: HttpHeadersMatch | None = None
