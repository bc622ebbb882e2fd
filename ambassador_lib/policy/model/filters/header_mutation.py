"""The header mutation filter (`envoy.extensions.filters.http.header_mutation.v3`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..core import HeaderChange


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValuePair:
    """A key, and a string for it that may hold command operators. Source: `envoy.config.core.v3.KeyValuePair`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.KeyValuePair"
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueAppend:
    """How a pair is added. Source: `envoy.config.core.v3.KeyValueAppend`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.KeyValueAppend"
    record: KeyValuePair | None = None
    action: str = "APPEND_IF_EXISTS_OR_ADD"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueMutation:
    """One change: either of the two. Source: `envoy.config.core.v3.KeyValueMutation`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.KeyValueMutation"
    append: KeyValueAppend | None = None
    remove: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutations:
    """Changes, made one after the other. Source: `envoy.extensions.filters.http.header_mutation.v3.Mutations`."""

    HeaderMutation = HeaderChange

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.header_mutation.v3.Mutations"
    request_mutations: tuple[HeaderChange, ...] = ()
    query_parameter_mutations: tuple[KeyValueMutation, ...] = ()
    response_mutations: tuple[HeaderChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMutation:
    """Source: `envoy.extensions.filters.http.header_mutation.v3.HeaderMutation`.

    What several levels set is all done, the most specific first, or last with `most_specific_header_mutations_wins`.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    mutations: Mutations | None = None
    most_specific_header_mutations_wins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMutationPerRoute:
    """Source: `envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute`."""

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
    mutations: Mutations | None = None
