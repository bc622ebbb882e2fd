"""Policies written in Python: held to Envoy's schema as files are, and brought into the form that files give.

One walk over the dataclasses checks types by their annotations and enums, ranges and oneofs by Envoy's descriptors. It
makes tuples of lists and `FrozenDict`s of mappings, and notes each object's path, so that later faults have one.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import PolicyError, PolicyFault
from .breaker_metadata import check_setting, read_circuit_breaker
from .constraints import check_oneofs, check_rules
from .descriptors import Field, Message
from .findings import Places
from .messages import hints_of
from .model.access_log import AccessLog, FileAccessLog, StderrAccessLog, StdoutAccessLog
from .model.cluster import CircuitBreaker, Cluster, TransportSocket
from .model.core import FractionalPercent, FrozenDict, Metadata, Node
from .model.dynamic import ClusterManager, DynamicResources
from .model.filters import HTTP_FILTERS, SETTINGS
from .model.listener import HttpFilter, Listener, RequestIDExtension, Router, UpstreamCodec, UuidRequestIdConfig
from .model.route import (
    FilterConfig,
    OmitCanaryHostsPredicate,
    OmitHostMetadataConfig,
    PreviousHostsPredicate,
    PreviousPrioritiesConfig,
    RetryPolicy,
)
from .model.tls import RawBuffer, Secret, UpstreamTlsContext
from .parsed import ParsedMessage, Place, Value
from .python_scalars import described, read_plain, read_value
from .scalars import Unreadable, nearest, read_struct
from .schema import Schema, envoy
from .support import CHOICES, REFUSED_VALUES, flattened_from
from .uncollected import uncollected
from .yaml_nodes import from_python

_AT = "<python>"
_EXTENSIONS: dict[type, tuple[type, ...]] = {
    RequestIDExtension: (UuidRequestIdConfig,),
    AccessLog: (FileAccessLog, StdoutAccessLog, StderrAccessLog),
    HttpFilter: (Router, *HTTP_FILTERS, UpstreamCodec),
    FilterConfig: SETTINGS,
    TransportSocket: (UpstreamTlsContext, RawBuffer),
    RetryPolicy.RetryHostPredicate: (PreviousHostsPredicate, OmitCanaryHostsPredicate, OmitHostMetadataConfig),
    RetryPolicy.RetryPriority: (PreviousPrioritiesConfig,),
}
"""What the `typed_config` of a class may hold."""
_FILTER_SETTINGS = (FilterConfig, *_EXTENSIONS[FilterConfig])
"""What `typed_per_filter_config` may hold."""


class Written:
    """Walks the parts of one policy; `faults` are what it found."""

    def __init__(self) -> None:
        self._schema: Schema = envoy()
        self.places = Places()
        self.faults: list[PolicyFault] = []

    def fault(self, place: Place, message: str, hint: str = "") -> None:
        """Note something wrong."""
        self.faults.append(place.fault(message, hint))

    def sequence(self, name: str, given: Iterable[object], item: type) -> tuple[Any, ...]:
        """Return the listeners or clusters in the form of a file's."""
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            hint = f"write {name}=[{item.__name__}(...)]" if isinstance(given, item) else ""
            self.fault(Place(_AT, name), f"expected a list of {item.__name__}, not {described(given)}", hint)
            return ()
        kept: tuple[Any, ...] = self._items(tuple(given), item, None, Place(_AT, name)).kept
        return kept

    def node(self, given: object) -> Node | None:
        """Return the node."""
        return typing.cast("Node | None", self._value(given, Node | None, None, Place(_AT, "node")).kept)

    def dynamic_resources(self, given: object) -> DynamicResources | None:
        """Return the files that bring more."""
        read = self._value(given, DynamicResources | None, None, Place(_AT, "dynamic_resources"))
        return typing.cast("DynamicResources | None", read.kept)

    def cluster_manager(self, given: object) -> ClusterManager | None:
        """Return the cluster manager's settings."""
        read = self._value(given, ClusterManager | None, None, Place(_AT, "cluster_manager"))
        return typing.cast("ClusterManager | None", read.kept)

    def runtime(self, given: object) -> FrozenDict[Any]:
        """Return the runtime's values by key."""
        if given is None:
            return FrozenDict()
        if not isinstance(given, Mapping):
            self.fault(Place(_AT, "runtime"), f"expected a mapping, not {described(given)}")
            return FrozenDict()
        kept: dict[str, Any] = {}
        for key, value in given.items():
            place = self.places.runtime[key] = Place(_AT, f'runtime["{key}"]')
            if isinstance(value, FractionalPercent):
                kept[key] = self._message(value, place).kept
            elif isinstance(key, str) and isinstance(value, (bool, int, str)):
                kept[key] = value
            else:
                message = "a runtime value is a whole number, a boolean, a string or a fraction"
                self.fault(place, message, "a share is a FractionalPercent")
        return FrozenDict(kept)

    # One value: what the model keeps, and what the rules of the schema read.

    def _value(self, given: object, hint: Any, field: Field | None, place: Place) -> _Read:
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) or _is_union(hint) else (hint,)
        if given is None and type(None) in options:
            return _Read(None, None)
        (wanted,) = (option for option in options if option is not type(None))
        if typing.get_origin(wanted) is tuple:
            return self._list(given, typing.get_args(wanted)[0], field, place)
        if typing.get_origin(wanted) is Mapping:
            free = field is not None and field.message_type is not None and field.message_type.name == "Struct"
            return self._struct(given, place) if free else self._filter_settings(given, place)
        if dataclasses.is_dataclass(wanted):
            return self._expected(given, (typing.cast(type, wanted),), place)
        try:
            of = None if field is None or _is_free_form(field) else field
            kept = read_plain(given, wanted) if of is None else read_value(given, of)
        except Unreadable as error:
            self.fault(place, error.message, error.hint)
            return _Read(None, Value(None, place, broken=True))
        return _Read(kept, Value(kept, place))

    def _filter_settings(self, given: object, place: Place) -> _Read:
        if not isinstance(given, Mapping):
            self.fault(place, f"expected a mapping, not {described(given)}")
            return _Read(FrozenDict(), Value(FrozenDict(), place, broken=True))
        read = {
            str(name): self._expected(value, _FILTER_SETTINGS, Place(_AT, f'{place.path}["{name}"]'))
            for name, value in given.items()
        }
        kept = FrozenDict({name: one.kept for name, one in read.items() if one.kept is not None})
        return _Read(kept, Value(FrozenDict({name: one.value for name, one in read.items()}), place))

    def _list(self, given: object, item: Any, field: Field | None, place: Place) -> _Read:
        if not isinstance(given, (list, tuple)):
            name = getattr(item, "__name__", str(item))
            message = f"expected a list of {name}, not {described(given)}"
            self.fault(place, message, f"write [{given!r}]" if isinstance(given, (str, int)) else "")
            return _Read((), Value((), place, broken=True))
        return self._items(given, item, field, place)

    def _items(self, given: Iterable[object], item: Any, field: Field | None, place: Place) -> _Read:
        read = [
            self._value(value, item, field, Place(_AT, f"{place.path}[{index}]")) for index, value in enumerate(given)
        ]
        seen = (one.value or Value(None, place, broken=True) for one in read)
        return _Read(tuple(one.kept for one in read), Value(tuple(seen), place))

    def _struct(self, given: object, place: Place) -> _Read:
        """Read free-form data as from a document, so that it is equal to a file's."""
        if not isinstance(given, Mapping):
            self.fault(place, f"expected a mapping, not {described(given)}")
            return _Read(FrozenDict(), Value(FrozenDict(), place, broken=True))
        try:
            kept = read_struct(from_python(given, _AT, place.path))
        except PolicyError as error:
            self.faults += error.faults
            return _Read(FrozenDict(), Value(FrozenDict(), place, broken=True))
        return _Read(kept, Value(kept, place))

    def _expected(self, given: object, classes: tuple[type, ...], place: Place) -> _Read:
        if isinstance(given, classes):
            return self._message(given, place)
        names = " or ".join(found.__qualname__ for found in classes)
        self.fault(place, f"expected {names}, not {described(given)}")
        return _Read(None, Value(None, place, broken=True))

    # Messages.

    def _message(self, given: Any, place: Place) -> _Read:
        if isinstance(given, Metadata):
            return self._metadata(given, place)
        cls: Any = type(given)
        parsed = ParsedMessage(getattr(cls, "PROTO", ""), place)
        descriptor = self._schema.find(parsed.name)
        hints = hints_of(cls)
        kept: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            of = self._descriptor(descriptor, field.name)
            at = Place(_AT, f"{place.path}.{field.name}")
            value = getattr(given, field.name)
            if hints[field.name] is Any:
                read = self._extension(value, cls, at)
            else:
                read = self._value(value, hints[field.name], of, at)
            kept[field.name] = read.kept
            if read.value is not None and (read.value.broken or not _is_unset(of, read.kept)):
                parsed.fields[field.name] = read.value
        self._check(descriptor, cls, parsed)
        if isinstance(given, CircuitBreaker):
            self._check_breaker(parsed)
        built = cls(**kept)
        if isinstance(built, Cluster):
            built = self._with_breaker(built, place)
        self.places.note(built, parsed)
        return _Read(built, Value(parsed, place))

    def _descriptor(self, descriptor: Message | None, name: str) -> Field | None:
        """Return Envoy's field, be it one that the model took from another message."""
        if descriptor is None or f"{descriptor.full_name}.{name}" in CHOICES:
            return None
        message, _, field = flattened_from(f"{descriptor.full_name}.{name}").rpartition(".")
        found = self._schema.find(message)
        return found.fields_by_name.get(field) if found is not None else None

    def _extension(self, given: object, cls: type, place: Place) -> _Read:
        classes = _EXTENSIONS[cls]
        if given is None and cls is FilterConfig:
            return _Read(None, None)
        if given is None:
            hint = f"such as {classes[0].__name__}()"
            self.fault(place, "typed_config is missing", hint)
            return _Read(None, Value(None, place, broken=True))
        return self._expected(given, classes, place)

    def _check(self, descriptor: Message | None, cls: type, parsed: ParsedMessage) -> None:
        if descriptor is None:
            return

        for name, value in parsed.fields.items():
            choices = CHOICES.get(f"{parsed.name}.{name}")
            if choices is not None and not value.broken and value.value not in choices:
                self._report(parsed, value.place, f"no such value {value.value!r}", nearest(value.value, choices))
            refusals = REFUSED_VALUES.get(f"{parsed.name}.{name}", {})
            refusal = refusals.get(value.value) if isinstance(value.value, str) else None
            if refusal:
                self._report(parsed, value.place, refusal)
        names = {field.name for field in dataclasses.fields(cls)}
        check_oneofs(descriptor, parsed, self._report, only=names)
        check_rules(descriptor, parsed, self._report)
        self._check_flattened(parsed, names)

    def _check_flattened(self, parsed: ParsedMessage, names: set[str]) -> None:
        origins = {name: flattened_from(f"{parsed.name}.{name}") for name in names}
        others = {origin.rpartition(".")[0] for origin in origins.values()} - {parsed.name, ""}
        for other in sorted(others):
            descriptor = self._schema.find(other)
            assert descriptor is not None
            fields = {
                origin.rpartition(".")[2]: parsed.fields[name]
                for name, origin in origins.items()
                if origin.startswith(f"{other}.") and name in parsed.fields
            }
            check_rules(descriptor, ParsedMessage(other, parsed.place, fields), self._report)

    def _report(self, _parsed: ParsedMessage, place: Place, message: str, hint: str = "") -> None:
        self.fault(place, message, hint)

    # What Envoy has no field for.

    def _check_breaker(self, parsed: ParsedMessage) -> None:
        for name, value in parsed.fields.items():
            try:
                if not value.broken:
                    check_setting(name, value.value)
            except Unreadable as error:
                self.fault(value.place, error.message, error.hint)

    def _metadata(self, given: Metadata, place: Place) -> _Read:
        """Read free-form data as from a document, so that it is equal to a file's."""
        at = Place(_AT, f"{place.path}.filter_metadata")
        parsed = ParsedMessage(Metadata.PROTO, place)
        content: object = given.filter_metadata
        if not isinstance(content, Mapping):
            self.fault(at, f"expected a mapping, not {described(content)}")
            content = {}
        entries: dict[str, Value] = {}
        for name, data in content.items():
            where = Place(_AT, f'{at.path}["{name}"]')
            if not isinstance(data, Mapping):
                self.fault(where, f"expected a mapping, not {described(data)}")
                continue
            try:
                node = from_python(data, _AT, where.path)
            except PolicyError as error:
                self.faults += error.faults
                continue
            entries[str(name)] = Value(read_struct(node), where, node=node)
        parsed.fields["filter_metadata"] = Value(FrozenDict(entries), at)
        built = Metadata(filter_metadata=FrozenDict({name: entry.value for name, entry in entries.items()}))
        self.places.note(built, parsed)
        return _Read(built, Value(parsed, place))

    def _with_breaker(self, cluster: Cluster, place: Place) -> Cluster:
        """Give the cluster the breaker that its metadata asks for."""
        if not isinstance(cluster.metadata, Metadata):
            return cluster
        breaker = read_circuit_breaker(self, self.places.origin(cluster.metadata))
        if breaker is None or breaker == cluster.circuit_breaker:
            return cluster
        if cluster.circuit_breaker is not None:
            at = Place(_AT, f"{place.path}.circuit_breaker")
            self.fault(at, "the cluster's metadata asks for another circuit_breaker", "keep one of them")
            return cluster
        return dataclasses.replace(cluster, circuit_breaker=breaker)


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """What the model keeps, and the same for the rules; no `value`: it is not set."""

    kept: Any
    value: Value | None


def _is_free_form(field: Field) -> bool:
    """Tell whether a field holds free-form data, of which the model says more than Envoy's schema."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Union


def _is_unset(field: Field | None, kept: object) -> bool:
    """Tell whether protobuf would see the field as unset: its default, where that is not told apart."""
    if field is None or field.has_presence:
        return kept is None
    if field.enum_type is not None and isinstance(kept, str):
        return kept == field.enum_type.first
    return not kept


@uncollected()
def read_written(
    listeners: Iterable[Listener],
    clusters: Iterable[Cluster],
    runtime: Mapping[str, Any] | None,
    node: Node | None,
    dynamic_resources: DynamicResources | None,
    cluster_manager: ClusterManager | None,
    secrets: Iterable[Secret],
) -> tuple[tuple[Any, ...], Places]:
    """Return the parts of a policy in the form of a file's, and their places; raise `PolicyError` if they are none."""
    written = Written()
    parts = (
        written.sequence("listeners", listeners, Listener),
        written.sequence("clusters", clusters, Cluster),
        written.runtime(runtime),
        written.node(node),
        written.dynamic_resources(dynamic_resources),
        written.cluster_manager(cluster_manager),
        written.sequence("secrets", secrets, Secret),
    )
    if written.faults:
        raise PolicyError(list(dict.fromkeys(written.faults)))
    return parts, written.places
