"""The one walk of a document against Envoy's descriptors: every fault is collected, nothing stops at the first.

It applies Envoy's scalar rules, refuses unknown fields, opens `Any` by its `@type`, checks oneofs and the rules of the
schema (constraints.py), and asks support.py about each field that is set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import PolicyFault
from . import alike, support
from .constraints import check_oneofs, check_rules
from .descriptors import Field, Message
from .model.core import FrozenDict
from .parsed import ParsedMessage, Place, Value
from .scalars import (
    INTEGERS,
    Unreadable,
    kind,
    read_bool,
    read_bytes,
    read_duration,
    read_enum,
    read_float,
    read_integer,
    read_string,
    read_struct,
)
from .schema import Schema
from .yaml_nodes import Node

_FREE_FORM = {"google.protobuf.Struct": dict, "google.protobuf.ListValue": list, "google.protobuf.Value": object}
_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": read_string, "bytes": read_bytes, "bool": read_bool, "double": read_float, "float": read_float,
}  # fmt: skip
_ANY = "google.protobuf.Any"
_ANY_PREFIX = "type.googleapis.com/"


class Walk:
    """Walks one document; `faults` and `warnings` are what it found, `refused` those faults that are none of Envoy's.

    `lenient` passes over unknown fields with a warning, as Envoy does with what it discovers.
    """

    def __init__(self, schema: Schema, *, lenient: bool = False) -> None:
        self._schema = schema
        self._lenient = lenient
        self._verdicts: dict[Field, support.Verdict] = {}
        self.faults: list[PolicyFault] = []
        self.refused: list[PolicyFault] = []
        self.warnings: list[PolicyFault] = []

    def document(self, root: Node, message: str) -> ParsedMessage:
        """Read the whole document as the message of that name."""
        descriptor = self._schema.find(message)
        assert descriptor is not None
        return self._message(root, descriptor, Place(root.at, ""), acts=True)

    def any(self, node: Node, place: Place) -> ParsedMessage | None:
        """Read a message that names its type; `None` if it is none, which is a fault."""
        try:
            return self._any(node, place, acts=True)
        except Unreadable as error:
            self.faults.append(place.fault(error.message, error.hint))
            return None

    # `acts` is false inside fields that have no effect here: they must be valid, but need not be supported.

    def _message(self, node: Node, descriptor: Message, place: Place, *, acts: bool) -> ParsedMessage:
        parsed = ParsedMessage(descriptor.full_name, place)
        if not isinstance(node.value, dict):
            raise Unreadable(f"expected a mapping ({descriptor.name}), not {kind(node.value)}")
        known = descriptor.by_either_name
        for key, item in node.value.items():
            field = known.get(key)
            if field is None:
                self._unknown_field(key, item, parsed, acts=acts)
            elif item.value is not None or _takes_null(field):
                self._field(field, item, parsed, acts=acts)
        check_oneofs(descriptor, parsed, self._fault)
        check_rules(descriptor, parsed, self._fault)
        return parsed

    def _refuse(self, fault: PolicyFault) -> None:
        self.faults.append(fault)
        self.refused.append(fault)

    def _fault(self, parsed: ParsedMessage, place: Place, message: str, hint: str = "") -> None:
        parsed.doubtful = parsed.misread = True
        self.faults.append(place.fault(message, hint))

    def _unknown_field(self, key: str, item: Node, parsed: ParsedMessage, *, acts: bool) -> None:
        place = Place(item.key_at or item.at, key, parsed.place)
        descriptor = self._schema.find(parsed.name)
        assert descriptor is not None
        newer = support.NEWER_FIELDS.get(f"{parsed.name}.{key}")
        if newer is not None:
            if newer and acts:
                self._fault(parsed, place, newer)
            elif item.value is not None:
                self._newer_field(key, item, parsed)
            return
        names = [field.name for field in descriptor.fields]
        near = alike.nearest(key, names)
        if key == "<<":
            hint = "Envoy does not read YAML merge keys; write the fields out"
        elif near:
            hint = f"did you mean {near}?"
        else:
            hint = ""
        if self._lenient:
            self.warnings.append(place.fault(f"no effect: {descriptor.name} has no field {key!r}", hint))
        else:
            self._fault(parsed, place, f"{descriptor.name} has no field {key!r}", hint)

    def _newer_field(self, key: str, item: Node, parsed: ParsedMessage) -> None:
        """Read a field that the schema does not have yet."""
        place = Place(item.at, key, parsed.place)
        try:
            read = read_bool if f"{parsed.name}.{key}" in support.NEWER_BOOLEANS else read_string
            parsed.fields[key] = Value(read(item.value), place, node=item)
        except Unreadable as error:
            self._fault(parsed, place, error.message, error.hint)

    def _field(self, field: Field, node: Node, parsed: ParsedMessage, *, acts: bool) -> None:
        place = Place(node.at, field.name, parsed.place)
        verdict = self._verdict(parsed.name, field) if acts else support.IGNORED_INSIDE
        try:
            if verdict.refused:
                if not self._is_default(field, node):
                    parsed.doubtful = True
                    self._refuse(_key(node, place).fault(verdict.text))
                    parsed.fields[field.name] = Value(_default(field), place, broken=True)
                return
            value = Value(self._value(field, node, place, acts=verdict.acts), place, node=node)
        except Unreadable as error:
            self._fault(parsed, place, error.message, error.hint)
            value = Value(_default(field), place, broken=True)
        if parsed.fields.pop(field.name, None) is not None:
            self._note_both_spellings(field, _key(node, place), parsed)
        if not value.broken and not field.has_presence and value.value in (_default(field), (), {}):
            return  # set to its default: protobuf cannot tell it from unset
        parsed.fields[field.name] = value
        if verdict.text and not value.broken:
            self.warnings.append(_key(node, place).fault(verdict.text))
        if acts and not value.broken:
            self._check_value_support(field, value, parsed)

    def _verdict(self, message: str, field: Field) -> support.Verdict:
        found = self._verdicts.get(field)
        if found is None:
            found = self._verdicts[field] = support.field_support(message, field.name)
        return found

    def _note_both_spellings(self, field: Field, at: Place, parsed: ParsedMessage) -> None:
        """Envoy takes either, as its unordered maps have it today; of a oneof's members it takes none (verified)."""
        if field.oneof is not None:
            self._fault(parsed, at, "set in both spellings", "keep one of them")
        else:
            self.warnings.append(at.fault("set in both spellings: the last one counts"))

    def _is_default(self, field: Field, node: Node) -> bool:
        if field.has_presence:
            return False
        if field.is_repeated:
            return node.value in ([], {})
        try:
            return bool(self._scalar(field, node) == _default(field))
        except Unreadable:
            return False

    def _check_value_support(self, field: Field, value: Value, parsed: ParsedMessage) -> None:
        if isinstance(value.value, str) and field.enum_type is not None:
            refusal = support.REFUSED_VALUES.get(f"{parsed.name}.{field.name}", {}).get(value.value)
            if refusal:
                self._fault(parsed, value.place, refusal)

    def _value(self, field: Field, node: Node, place: Place, *, acts: bool) -> Any:
        if not field.is_repeated:
            return self._single(field, node, place, acts=acts)
        if field.is_map:
            return self._map(field, node, place, acts=acts)
        if not isinstance(node.value, list):
            raise Unreadable(f"expected a list, not {kind(node.value)}")
        items = enumerate(node.value)
        return tuple(self._item(field, item, Place(item.at, index, place), acts=acts) for index, item in items)

    def _map(self, field: Field, node: Node, place: Place, *, acts: bool) -> Any:
        if not isinstance(node.value, dict):
            raise Unreadable(f"expected a mapping, not {kind(node.value)}")
        assert field.message_type is not None
        of = field.message_type.fields_by_name["value"]
        if of.message_type is not None and of.message_type.full_name == _ANY:
            self._check_typed(node, place)
        return FrozenDict(
            {
                key: self._item(of, item, Place(item.at, f'{place.path}["{key}"]'), acts=acts)
                for key, item in node.value.items()
            }
        )

    def _check_typed(self, node: Node, place: Place) -> None:
        """Report values without a type: they stand for nothing."""
        assert isinstance(node.value, dict)
        for key, item in node.value.items():
            if not item.value and (item.value is None or isinstance(item.value, dict)):
                at = Place(item.at, f'{place.path}["{key}"]')
                self.faults.append(at.fault("@type is missing", f"it names its message: {_ANY_PREFIX}envoy..."))

    def _item(self, field: Field, node: Node, place: Place, *, acts: bool) -> Value:
        try:
            if node.value is None and not _takes_null(field):
                node = Node({} if field.message_type is not None else field.zero, node.at)
            return Value(self._single(field, node, place, acts=acts), place, node=node)
        except Unreadable as error:
            self.faults.append(place.fault(error.message, error.hint))
            return Value(field.zero, place, broken=True)

    def _single(self, field: Field, node: Node, place: Place, *, acts: bool) -> Any:
        message = field.message_type
        if message is None:
            return self._scalar(field, node)
        name = message.full_name
        if name in _WRAPPERS:
            return self._scalar(message.fields_by_name["value"], node)
        if name == "google.protobuf.Duration":
            return read_duration(node.value)
        if name == _ANY:
            return self._any(node, place, acts=acts)
        if name in _FREE_FORM:
            if not isinstance(node.value, _FREE_FORM[name]):
                raise Unreadable(f"expected a {_FREE_FORM[name].__name__}, not {kind(node.value)}")
            return read_struct(node)
        if name in ("google.protobuf.Timestamp", "google.protobuf.FieldMask"):
            return read_string(node.value)
        return self._message(node, message, place, acts=acts)

    @staticmethod
    def _scalar(field: Field, node: Node) -> Any:
        if field.enum_type is not None:
            return read_enum(node.value, field.enum_type.numbers)
        if field.kind in INTEGERS:
            bits, signed = INTEGERS[field.kind]
            return read_integer(node.value, bits=bits, signed=signed)
        return _SCALARS[field.kind](node.value)

    def _any(self, node: Node, place: Place, *, acts: bool) -> ParsedMessage:
        if not isinstance(node.value, dict):
            raise Unreadable(f"expected a mapping with @type, not {kind(node.value)}")
        if not node.value:
            return ParsedMessage(_ANY, place)
        given = node.value.get("@type")
        if given is None:
            raise Unreadable("@type is missing", "a typed_config names its message: type.googleapis.com/envoy...")
        at = Place(given.at, "@type", place)
        url = given.value
        if not isinstance(url, str) or "/" not in url[1:]:
            self.faults.append(at.fault(f"{kind(url)} is not a type URL", f"it begins with {_ANY_PREFIX}"))
            return ParsedMessage(_ANY, place, doubtful=True)
        name = url.rpartition("/")[2]
        descriptor = self._schema.find(name)
        if descriptor is None:
            self.faults.append(self._unknown_type(url, at))
            return ParsedMessage(_ANY, place, doubtful=True)
        if acts and not support.is_supported_type(descriptor.full_name):
            self._refuse(at.fault(support.type_refusal(descriptor.full_name)))
            return ParsedMessage(_ANY, place, doubtful=True)
        acts = acts and not support.is_opaque_type(descriptor.full_name)
        if descriptor.full_name.startswith("google.protobuf."):
            return ParsedMessage(descriptor.full_name, place)  # these have JSON forms of their own; nobody reads them
        content = {key: item for key, item in node.value.items() if key != "@type"}
        return self._message(Node(content, node.at), descriptor, place, acts=acts)

    def _unknown_type(self, url: str, at: Place) -> PolicyFault:
        from .support_types import TYPES_ELSEWHERE

        name = url.rpartition("/")[2]
        if name in TYPES_ELSEWHERE:
            return at.fault(TYPES_ELSEWHERE[name])
        near = self._schema.nearest(name)
        return at.fault(f"unknown type {url!r}", f"did you mean {_ANY_PREFIX}{near}?" if near else "")


def _takes_null(field: Field) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"


def _key(node: Node, place: Place) -> Place:
    """Return the place of a field's name."""
    return Place(node.key_at or node.at, place.path)


def _default(field: Field) -> Any:
    if field.is_map:
        return FrozenDict()
    return () if field.is_repeated else field.zero
