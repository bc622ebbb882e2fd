"""What a request is counted under: descriptors, made by actions (`envoy.config.route.v3.RateLimit`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .message import message

if TYPE_CHECKING:
    from .matcher import HeaderMatcher, QueryParameterMatcher


_ACTION = "envoy.config.route.v3.RateLimit.Action"


@message
class SourceCluster:
    """`source_cluster`: the node's cluster. Source: `RateLimit.Action.SourceCluster`."""

    PROTO: ClassVar[str] = f"{_ACTION}.SourceCluster"


@message
class DestinationCluster:
    """`destination_cluster`: the cluster that the route chose. Source: `RateLimit.Action.DestinationCluster`."""

    PROTO: ClassVar[str] = f"{_ACTION}.DestinationCluster"


@message
class RequestHeaders:
    """The value of a header. Source: `RateLimit.Action.RequestHeaders`."""

    PROTO: ClassVar[str] = f"{_ACTION}.RequestHeaders"
    header_name: str
    descriptor_key: str
    skip_if_absent: bool = False


@message
class QueryParameters:
    """The value of a query parameter. Source: `RateLimit.Action.QueryParameters`."""

    PROTO: ClassVar[str] = f"{_ACTION}.QueryParameters"
    query_parameter_name: str
    descriptor_key: str
    skip_if_absent: bool = False


@message
class RemoteAddress:
    """`remote_address`: the trusted address. Source: `RateLimit.Action.RemoteAddress`."""

    PROTO: ClassVar[str] = f"{_ACTION}.RemoteAddress"


@message
class MaskedRemoteAddress:
    """`masked_remote_address`: the range of the trusted address; prefixes unset are 32 and 128.
    Source: `RateLimit.Action.MaskedRemoteAddress`."""

    PROTO: ClassVar[str] = f"{_ACTION}.MaskedRemoteAddress"
    v4_prefix_mask_len: int | None = None
    v6_prefix_mask_len: int | None = None


@message
class GenericKey:
    """A constant; the key is `generic_key` unless given. Source: `RateLimit.Action.GenericKey`."""

    PROTO: ClassVar[str] = f"{_ACTION}.GenericKey"
    descriptor_value: str
    descriptor_key: str = ""


@message
class HeaderValueMatch:
    """A constant under a condition; the key is `header_match` unless given, `expect_match` unset is true.
    Source: `RateLimit.Action.HeaderValueMatch`."""

    PROTO: ClassVar[str] = f"{_ACTION}.HeaderValueMatch"
    descriptor_key: str = ""
    descriptor_value: str
    expect_match: bool | None = None
    headers: tuple[HeaderMatcher, ...]


@message
class QueryParameterValueMatch:
    """A constant under a condition; the key is `query_match` unless given, `expect_match` unset is true.
    Source: `RateLimit.Action.QueryParameterValueMatch`."""

    PROTO: ClassVar[str] = f"{_ACTION}.QueryParameterValueMatch"
    descriptor_key: str = ""
    descriptor_value: str
    expect_match: bool | None = None
    query_parameters: tuple[QueryParameterMatcher, ...]


@message
class Action:
    """One entry of a descriptor: exactly one of these. Source: `RateLimit.Action`."""

    PROTO: ClassVar[str] = _ACTION
    source_cluster: SourceCluster | None = None
    destination_cluster: DestinationCluster | None = None
    request_headers: RequestHeaders | None = None
    query_parameters: QueryParameters | None = None
    remote_address: RemoteAddress | None = None
    masked_remote_address: MaskedRemoteAddress | None = None
    generic_key: GenericKey | None = None
    header_value_match: HeaderValueMatch | None = None
    query_parameter_value_match: QueryParameterValueMatch | None = None


@message
class HitsAddend:
    """How many tokens a request takes. Source: `RateLimit.HitsAddend`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.RateLimit.HitsAddend"
    number: int | None = None


@message
class RateLimit:
    """One descriptor; an action that yields nothing drops all of it. Source: `envoy.config.route.v3.RateLimit`.

    A local rate limit skips what has a `disable_key`, and heeds `hits_addend` in its own `rate_limits` alone.
    """

    PROTO: ClassVar[str] = "envoy.config.route.v3.RateLimit"
    stage: int | None = None
    disable_key: str = ""
    actions: tuple[Action, ...]
    hits_addend: HitsAddend | None = None
