"""The header mutation filter (`envoy.extensions.filters.http.header_mutation.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..core import HeaderChange
from ..message import message


@message
class KeyValuePair:
    """A key, and a string for it that may hold command operators. Source: `envoy.config.core.v3.KeyValuePair`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.KeyValuePair"
    key: str
    value: str = ""


@message
class KeyValueAppend:
    """How a pair is added. Source: `envoy.config.core.v3.KeyValueAppend`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.KeyValueAppend"
    record: KeyValuePair | None = None
    action: str = "APPEND_IF_EXISTS_OR_ADD"


@message
class KeyValueMutation:
    """One change: either of the two. Source: `envoy.config.core.v3.KeyValueMutation`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.KeyValueMutation"
    append: KeyValueAppend | None = None
    remove: str = ""


@message
class Mutations:
    """Changes, made one after the other. Source: `envoy.extensions.filters.http.header_mutation.v3.Mutations`."""

    HeaderMutation = HeaderChange

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.header_mutation.v3.Mutations"
    request_mutations: tuple[HeaderChange, ...] = ()
    query_parameter_mutations: tuple[KeyValueMutation, ...] = ()
    response_mutations: tuple[HeaderChange, ...] = ()


@message
class HeaderMutation:
    """Source: `envoy.extensions.filters.http.header_mutation.v3.HeaderMutation`.

    What several levels set is all done, the most specific first, or last with `most_specific_header_mutations_wins`.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    mutations: Mutations | None = None
    most_specific_header_mutations_wins: bool = False


@message
class HeaderMutationPerRoute:
    """Source: `envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
    mutations: Mutations | None = None
