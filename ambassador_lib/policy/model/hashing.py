"""What of a request makes its hash (`envoy.config.route.v3.RouteAction.HashPolicy`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .message import message

if TYPE_CHECKING:
    from .core import RegexMatchAndSubstitute


_PROTO = "envoy.config.route.v3.RouteAction.HashPolicy"


@message
class HashPolicy:
    """One part of the hash; where it is `terminal` and there is a hash, the policies after it do not count.
    Source: `envoy.config.route.v3.RouteAction.HashPolicy`."""

    @message
    class Header:
        """All values of a header, sorted. Source: `RouteAction.HashPolicy.Header`."""

        PROTO: ClassVar[str] = f"{_PROTO}.Header"
        header_name: str
        regex_rewrite: RegexMatchAndSubstitute | None = None

    @message
    class CookieAttribute:
        """Of a cookie that is made. Source: `RouteAction.HashPolicy.CookieAttribute`."""

        PROTO: ClassVar[str] = f"{_PROTO}.CookieAttribute"
        name: str
        value: str = ""

    @message
    class Cookie:
        """A cookie's value; with a `ttl` (seconds, 0 for the session) one that is missing is made.
        Source: `RouteAction.HashPolicy.Cookie`."""

        PROTO: ClassVar[str] = f"{_PROTO}.Cookie"
        name: str
        ttl: float | None = None
        path: str = ""
        attributes: tuple[HashPolicy.CookieAttribute, ...] = ()

    @message
    class ConnectionProperties:
        """The caller's address. Source: `RouteAction.HashPolicy.ConnectionProperties`."""

        PROTO: ClassVar[str] = f"{_PROTO}.ConnectionProperties"
        source_ip: bool = False

    @message
    class QueryParameter:
        """The first value of a query parameter, as it was written. Source: `RouteAction.HashPolicy.QueryParameter`."""

        PROTO: ClassVar[str] = f"{_PROTO}.QueryParameter"
        name: str

    PROTO: ClassVar[str] = _PROTO
    header: Header | None = None
    cookie: Cookie | None = None
    connection_properties: ConnectionProperties | None = None
    query_parameter: QueryParameter | None = None
    terminal: bool = False
