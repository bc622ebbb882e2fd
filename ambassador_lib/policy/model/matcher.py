"""Conditions on headers and query parameters, which routes and rate limits share (`envoy.config.route.v3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .message import message

if TYPE_CHECKING:
    from .core import Int64Range, RegexMatcher, StringMatcher


@message
class HeaderMatcher:
    """One condition on a header. No specifier: the header is present. Source: `envoy.config.route.v3.HeaderMatcher`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.HeaderMatcher"
    name: str
    exact_match: str | None = None
    safe_regex_match: RegexMatcher | None = None
    range_match: Int64Range | None = None
    present_match: bool | None = None
    prefix_match: str | None = None
    suffix_match: str | None = None
    contains_match: str | None = None
    string_match: StringMatcher | None = None
    invert_match: bool = False
    treat_missing_header_as_empty: bool = False


@message
class QueryParameterMatcher:
    """One condition on a query parameter. Source: `envoy.config.route.v3.QueryParameterMatcher`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.QueryParameterMatcher"
    name: str
    string_match: StringMatcher | None = None
    present_match: bool | None = None
