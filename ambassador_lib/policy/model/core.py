"""Messages shared by the rest of the schema (`envoy.config.core.v3`, `envoy.type.*`).

Every class in this package mirrors one protobuf message of Envoy v3: the class attribute `PROTO` names it and the
fields keep Envoy's names. Durations are float seconds, wrapper types are plain values or `None` (unset), enums are
the names of their values, repeated fields are tuples, `Any` holds the model of the message inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from .message import message

V_co = TypeVar("V_co", covariant=True)


class FrozenDict(Mapping[str, V_co]):
    """A mapping that nobody can change, so that a policy can be compared, hashed and shared."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V_co] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> V_co:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


NOTHING: FrozenDict[Any] = FrozenDict()
"""The default of mappings."""


@message
class SocketAddress:
    """A TCP address. Source: `envoy.config.core.v3.SocketAddress`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.SocketAddress"
    address: str
    port_value: int = 0
    protocol: str = "TCP"


@message
class Pipe:
    """A unix domain socket; a path that begins with `@` is in Linux's abstract namespace.
    Source: `envoy.config.core.v3.Pipe`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.Pipe"
    path: str


@message
class Address:
    """Where something listens. Source: `envoy.config.core.v3.Address`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.Address"
    socket_address: SocketAddress | None = None
    pipe: Pipe | None = None


@message
class CidrRange:
    """An address range. `prefix_len` unset means 0. Source: `envoy.config.core.v3.CidrRange`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.CidrRange"
    address_prefix: str
    prefix_len: int | None = None


@message
class DataSource:
    """Bytes from a file, the environment or the document itself. Source: `envoy.config.core.v3.DataSource`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.DataSource"
    filename: str | None = None
    inline_bytes: bytes | None = None
    inline_string: str | None = None
    environment_variable: str | None = None


@message
class Metadata:
    """Opaque data by filter name. Source: `envoy.config.core.v3.Metadata`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.Metadata"
    filter_metadata: Mapping[str, Mapping[str, Any]] = NOTHING


@message
class HeaderValue:
    """A header to add; `value` may hold command operators (`%REQ(x)%`). Source: `envoy.config.core.v3.HeaderValue`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.HeaderValue"
    key: str
    value: str = ""


@message
class HeaderValueOption:
    """How a header is added. Source: `envoy.config.core.v3.HeaderValueOption`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.HeaderValueOption"
    header: HeaderValue
    append: bool | None = None
    append_action: str = "APPEND_IF_EXISTS_OR_ADD"
    keep_empty_value: bool = False


@message
class FractionalPercent:
    """A share. Source: `envoy.type.v3.FractionalPercent`."""

    PROTO: ClassVar[str] = "envoy.type.v3.FractionalPercent"
    numerator: int = 0
    denominator: str = "HUNDRED"


@message
class RuntimeFractionalPercent:
    """A share that a runtime key may override. Source: `envoy.config.core.v3.RuntimeFractionalPercent`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.RuntimeFractionalPercent"
    default_value: FractionalPercent
    runtime_key: str = ""


@message
class Percent:
    """Percent, 0 to 100. Source: `envoy.type.v3.Percent`."""

    PROTO: ClassVar[str] = "envoy.type.v3.Percent"
    value: float = 0.0


@message
class Int64Range:
    """Half open: start <= x < end. Source: `envoy.type.v3.Int64Range`."""

    PROTO: ClassVar[str] = "envoy.type.v3.Int64Range"
    start: int = 0
    end: int = 0


@message
class RegexMatcher:
    """An RE2 expression; the whole value must match. Source: `envoy.type.matcher.v3.RegexMatcher`."""

    PROTO: ClassVar[str] = "envoy.type.matcher.v3.RegexMatcher"
    regex: str


@message
class RegexMatchAndSubstitute:
    r"""RE2 global replacement, `\1` for groups. Source: `envoy.type.matcher.v3.RegexMatchAndSubstitute`."""

    PROTO: ClassVar[str] = "envoy.type.matcher.v3.RegexMatchAndSubstitute"
    pattern: RegexMatcher
    substitution: str = ""


@message
class StringMatcher:
    """One way to match a string. Source: `envoy.type.matcher.v3.StringMatcher`."""

    PROTO: ClassVar[str] = "envoy.type.matcher.v3.StringMatcher"
    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    contains: str | None = None
    safe_regex: RegexMatcher | None = None
    ignore_case: bool = False


@message
class Locality:
    """Where endpoints are. Source: `envoy.config.core.v3.Locality`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.Locality"
    region: str = ""
    zone: str = ""
    sub_zone: str = ""


@message
class Node:
    """Who runs the policy; spans carry `cluster` as the service's name. Source: `envoy.config.core.v3.Node`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.Node"
    id: str = ""
    cluster: str = ""
    locality: Locality | None = None


@message
class WatchedDirectory:
    """A directory whose changes announce new files; with `watch_modify`, writing into the files counts, too.
    Source: `envoy.config.core.v3.WatchedDirectory`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.WatchedDirectory"
    path: str
    watch_modify: bool = False


@message
class PathConfigSource:
    """A file with a `DiscoveryResponse`, and what announces that there is a new one: unless `watched_directory` says
    otherwise, a move to `path`. Source: `envoy.config.core.v3.PathConfigSource`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.PathConfigSource"
    path: str
    watched_directory: WatchedDirectory | None = None


@message
class ConfigSource:
    """Where resources come from: a file. Source: `envoy.config.core.v3.ConfigSource`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.ConfigSource"
    path_config_source: PathConfigSource | None = None
    resource_api_version: str = "AUTO"


@message
class SubstitutionFormatString:
    """A text or JSON object with command operators. Source: `envoy.config.core.v3.SubstitutionFormatString`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.SubstitutionFormatString"
    text_format: str | None = None
    json_format: Mapping[str, Any] | None = None
    text_format_source: DataSource | None = None
    omit_empty_values: bool = False
    content_type: str = ""


@message
class RuntimeUInt32:
    """A number that a runtime key may override. Source: `envoy.config.core.v3.RuntimeUInt32`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.RuntimeUInt32"
    default_value: int = 0
    runtime_key: str = ""


@message
class HeaderChange:
    """One change of headers, of the three. Source: `envoy.config.common.mutation_rules.v3.HeaderMutation`."""

    @message
    class RemoveOnMatch:
        """Removes headers by their name, in lower case. Source: `HeaderMutation.RemoveOnMatch`."""

        PROTO: ClassVar[str] = "envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch"
        key_matcher: StringMatcher

    PROTO: ClassVar[str] = "envoy.config.common.mutation_rules.v3.HeaderMutation"
    remove: str | None = None
    append: HeaderValueOption | None = None
    remove_on_match: RemoveOnMatch | None = None


@message
class RuntimeFeatureFlag:
    """A switch that a runtime key may override. Source: `envoy.config.core.v3.RuntimeFeatureFlag`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.RuntimeFeatureFlag"
    default_value: bool | None = None
    runtime_key: str = ""


@message
class RuntimePercent:
    """A percentage that a runtime key may override. Source: `envoy.config.core.v3.RuntimePercent`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.RuntimePercent"
    default_value: Percent | None = None
    runtime_key: str = ""


@message
class Int32Range:
    """From `start` to before `end`. Source: `envoy.type.v3.Int32Range`."""

    PROTO: ClassVar[str] = "envoy.type.v3.Int32Range"
    start: int = 0
    end: int = 0
