"""Envoy's descriptors, read from a serialized `FileDescriptorSet` one message at a time, when it is first asked for.

A policy meets fifty of 850 messages. protobuf's own runtime would make all of them, and stay in the process: 10 MB.
Field numbers are those of `google/protobuf/descriptor.proto`. What is walked is proto3 throughout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_REPEATED, _RULES = 3, 1071
"""The label of lists and maps; the number of the validation rules among the options of fields and oneofs."""
_KINDS = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "uint64", 7: "uint32", 8: "bool", 9: "string",
    11: "message", 12: "bytes", 13: "uint32", 14: "enum", 15: "int32", 16: "int64", 17: "int32", 18: "int64",
}  # fmt: skip
_ZEROS: dict[str, object] = {"double": 0.0, "float": 0.0, "bool": False, "string": "", "bytes": b"", "message": None}


@dataclass(slots=True, eq=False)
class Enum:
    """An enum: its values' numbers by their names, in order."""

    full_name: str
    numbers: dict[str, int]

    @property
    def first(self) -> str:
        """The value that stands where none is set."""
        return next(iter(self.numbers))


@dataclass(slots=True, eq=False)
class Oneof:
    """Fields of which one at most may be set, or, where `is_required`, exactly one."""

    name: str
    is_required: bool
    fields: list[Field] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Field:
    """A field. `kind` is its type without encoding: `int32` for `sint32`; `rules` are its `validate.rules`.

    `has_presence`: being set to its default can be told from not being set.
    """

    name: str
    full_name: str
    kind: str
    type_name: str
    is_repeated: bool
    oneof: Oneof | None
    rules: Mapping[str, Any]
    of: Descriptors = field(repr=False)
    has_presence: bool = field(init=False, repr=False)
    _message_type: Message | None = field(init=False, repr=False, default=None)
    _enum_type: Enum | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self.has_presence = not self.is_repeated and (self.kind == "message" or self.oneof is not None)

    @property
    def json_name(self) -> str:
        """The name in lowerCamelCase."""
        head, *others = self.name.split("_")
        return head + "".join(word[:1].upper() + word[1:] for word in others)

    @property
    def message_type(self) -> Message | None:
        """The message that it holds."""
        if self._message_type is None and self.kind == "message":
            self._message_type = self.of.message(self.type_name)
        return self._message_type

    @property
    def enum_type(self) -> Enum | None:
        """The enum that its value is of."""
        if self._enum_type is None and self.kind == "enum":
            self._enum_type = self.of.enum(self.type_name)
        return self._enum_type

    @property
    def is_map(self) -> bool:
        message = self.message_type
        return message is not None and message.is_map_entry

    @property
    def zero(self) -> Any:
        """What one value is where none is set: an enum's first name, `None` for a message."""
        enum = self.enum_type
        return _ZEROS.get(self.kind, 0) if enum is None else enum.first


@dataclass(slots=True, eq=False)
class Message:
    """A message. `is_map_entry`: it stands for the entries of a map, as `key` and `value`."""

    full_name: str
    fields: list[Field]
    oneofs: list[Oneof]
    is_map_entry: bool
    by_number: dict[int, Field] = field(repr=False)
    fields_by_name: dict[str, Field] = field(init=False, repr=False)
    by_either_name: dict[str, Field] = field(init=False, repr=False)
    """By snake_case and lowerCamelCase."""
    ruled: list[Field] = field(init=False, repr=False)
    """Those that have rules."""

    def __post_init__(self) -> None:
        self.ruled = [one for one in self.fields if one.rules]
        self.fields_by_name = {one.name: one for one in self.fields}
        self.by_either_name = {one.json_name: one for one in self.fields} | self.fields_by_name

    @property
    def name(self) -> str:
        return self.full_name.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerField:
    """A field that a message of the set lacks; `type_name` is its message's, where it is one."""

    name: str
    number: int
    kind: str
    type_name: str = ""
    is_repeated: bool = False
    rules: Mapping[str, Any] = field(default_factory=dict)


class Descriptors:
    """The messages and enums of a descriptor set. `names` are its messages' full names, not nested ones.

    `newer` has fields by message that are added where the set lacks them, and so are messages that it lacks.
    """

    def __init__(self, descriptor_set: bytes, newer: Mapping[str, Iterable[NewerField]]) -> None:
        self._newer = newer
        self._raw: dict[str, bytes] = {}
        """What has not been read yet, messages and enums alike, by full name."""
        self._messages: dict[str, Message] = {}
        self._enums: dict[str, Enum] = {}
        self.names: list[str] = []
        for _, file in _entries(descriptor_set):
            self._find_in(file)
        for name in newer.keys() - self._raw.keys():
            self._raw[name] = b""
            self.names.append(name)

    def _find_in(self, file: bytes) -> None:
        package = ""
        for number, value in _entries(file):
            if number == 2:
                package = value.decode()
            elif number in (4, 5):
                name = self._note(package, value)
                if number == 4:
                    self.names.append(name)

    def _note(self, around: str, raw: bytes) -> str:
        """Keep a message or enum for later; its name is its first field."""
        name = f"{around}.{next(_entries(raw))[1].decode()}"
        self._raw[name] = raw
        return name

    def message(self, name: str) -> Message | None:
        """Return the message of that full name, or `None`."""
        found = self._messages.get(name)
        if found is None and (raw := self._raw_of(name)) is not None:
            found = self._messages[name] = self._read_message(name, raw)
        return found

    def enum(self, name: str) -> Enum:
        """Return the enum of that full name."""
        found = self._enums.get(name)
        if found is None:
            raw = self._raw_of(name)
            assert raw is not None, f"no enum {name}"
            values = [dict(_entries(value)) for number, value in _entries(raw) if number == 2]
            numbers = {value[1].decode(): _signed(value.get(2, 0)) for value in values}
            found = self._enums[name] = Enum(name, numbers)
        return found

    def _raw_of(self, name: str) -> bytes | None:
        if name not in self._raw:
            around = name.rpartition(".")[0]
            if around:
                self.message(around)  # reading it brings what is nested in it
        return self._raw.get(name)

    def _read_message(self, name: str, raw: bytes) -> Message:
        entries = list(_entries(raw))
        for number, value in entries:
            if number in (3, 4):
                self._note(name, value)
        oneofs = [self._read_oneof(value) for number, value in entries if number == 8]
        by_number: dict[int, Field] = {}
        for number, value in entries:
            if number == 2:
                self._read_field(name, value, oneofs, by_number)
        self._add_newer(name, by_number)
        is_map_entry = any(bool(dict(_entries(value)).get(7)) for number, value in entries if number == 7)
        return Message(name, list(by_number.values()), oneofs, is_map_entry, by_number)

    @staticmethod
    def _read_oneof(raw: bytes) -> Oneof:
        parts = dict(_entries(raw))
        return Oneof(parts[1].decode(), bool(dict(_entries(parts.get(2, b""))).get(_RULES)))

    def _read_field(self, message: str, raw: bytes, oneofs: list[Oneof], into: dict[int, Field]) -> None:
        parts = dict(_entries(raw))
        name = parts[1].decode()
        oneof = oneofs[parts[9]] if 9 in parts else None
        rules = dict(_entries(parts[8])).get(_RULES) if 8 in parts else None
        read = into[parts[3]] = Field(
            name,
            f"{message}.{name}",
            _KINDS[parts[5]],
            parts.get(6, b"").decode().removeprefix("."),
            parts[4] == _REPEATED,
            oneof,
            {} if rules is None else self.decode(rules, "validate.FieldRules"),
            self,
        )
        if oneof is not None:
            oneof.fields.append(read)

    def _add_newer(self, message: str, into: dict[int, Field]) -> None:
        known = {one.name for one in into.values()}
        for new in self._newer.get(message, ()):
            if new.name not in known:
                full_name = f"{message}.{new.name}"
                into[new.number] = Field(
                    new.name, full_name, new.kind, new.type_name, new.is_repeated, None, new.rules, self
                )

    def decode(self, data: bytes, name: str) -> dict[str, Any]:
        """Read an object of that message: what is set, by name; enums are numbers."""
        message = self.message(name)
        assert message is not None, f"no message {name}"
        values: dict[str, Any] = {}
        for number, raw in _entries(data):
            one = message.by_number[number]
            value = self.decode(raw, one.type_name) if one.kind == "message" else _scalar(one.kind, raw)
            if one.is_repeated:
                values.setdefault(one.name, []).append(value)
            else:
                values[one.name] = value
        return values


def _scalar(kind: str, raw: Any) -> Any:
    if isinstance(raw, int):
        return bool(raw) if kind == "bool" else raw if kind.startswith("u") else _signed(raw)
    if kind in ("double", "float"):
        return struct.unpack("<d" if kind == "double" else "<f", raw)[0]
    return raw.decode() if kind == "string" else raw


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _entries(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a serialized message: numbers for varints, bytes for all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if wire == _LENGTH:
            length, at = _varint(data, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}[wire]
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
