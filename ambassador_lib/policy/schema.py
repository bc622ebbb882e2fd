"""Envoy v3's own schema: its descriptors in a private pool, and the validation rules in their options.

The set `envoy_v3.binpb.xz` is made by the build hook. A private pool meets no other copy of these protos in the
process. It shows custom options only when they are parsed again with the pool's own option classes.
"""

from __future__ import annotations

import difflib
import functools
import lzma
from collections.abc import Mapping
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from .schema_newer import add_newer

DESCRIPTOR_SET = "envoy_v3.binpb.xz"
_LABEL_REPEATED = 3


class Schema:
    """Looks up messages, their fields and the rules on them. `names` are its messages' full names, not nested ones."""

    def __init__(self, descriptor_set: bytes) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
        add_newer(files)
        self._pool = DescriptorPool()
        self.names = [f"{file.package}.{message.name}" for file in files.file for message in file.message_type]
        for file in files.file:
            self._pool.AddSerializedFile(file.SerializeToString())
        self._field_rules = self._pool.FindExtensionByName("validate.rules")
        self._oneof_required = self._pool.FindExtensionByName("validate.required")
        self._field_options = self._class("google.protobuf.FieldOptions")
        self._oneof_options = self._class("google.protobuf.OneofOptions")
        self._fields: dict[str, dict[str, FieldDescriptor]] = {}
        self._rules: dict[str, list[tuple[FieldDescriptor, Message]]] = {}
        self._required: dict[str, list[OneofDescriptor]] = {}
        self._enums: dict[str, dict[str, int]] = {}

    def _class(self, name: str) -> type[Message]:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def find(self, name: str) -> Descriptor | None:
        """Return the message of that full name, or `None`."""
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError:
            return None

    def nearest(self, name: str) -> str:
        """Return the known message whose name looks most like `name`, or nothing."""
        near = difflib.get_close_matches(name, self.names, 1, 0.8)
        return near[0] if near else ""

    def fields(self, descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
        """Return the message's fields by both spellings, snake_case and lowerCamelCase."""
        names = self._fields.get(descriptor.full_name)
        if names is None:
            names = {field.json_name: field for field in descriptor.fields}
            names |= {field.name: field for field in descriptor.fields}
            self._fields[descriptor.full_name] = names
        return names

    def values(self, field: FieldDescriptor) -> Mapping[str, int]:
        """Return the numbers of the values of an enum field's type by name."""
        enum = field.enum_type
        assert enum is not None
        numbers = self._enums.get(enum.full_name)
        if numbers is None:
            numbers = self._enums[enum.full_name] = {value.name: value.number for value in enum.values}
        return numbers

    def rules(self, descriptor: Descriptor) -> list[tuple[FieldDescriptor, Any]]:
        """Return the fields that carry `validate.rules`, with these."""
        found = self._rules.get(descriptor.full_name)
        if found is None:
            found = self._rules[descriptor.full_name] = []
            for field in descriptor.fields:
                options: Any = self._field_options.FromString(field.GetOptions().SerializeToString())
                if options.HasExtension(self._field_rules):
                    found.append((field, options.Extensions[self._field_rules]))
        return found

    def required_oneofs(self, descriptor: Descriptor) -> list[OneofDescriptor]:
        """Return the oneofs of which one member must be set."""
        found = self._required.get(descriptor.full_name)
        if found is None:
            found = self._required[descriptor.full_name] = []
            for oneof in descriptor.oneofs:
                options: Any = self._oneof_options.FromString(oneof.GetOptions().SerializeToString())
                if options.Extensions[self._oneof_required]:
                    found.append(oneof)
        return found


@functools.cache
def envoy() -> Schema:
    """Return Envoy's schema, loaded once in a process (10 ms)."""
    packed = resources.files(__package__).joinpath(DESCRIPTOR_SET)
    return Schema(lzma.decompress(packed.read_bytes()))


def is_repeated(field: FieldDescriptor) -> bool:
    """Tell whether a field is a list or map; protobuf 6 has the property, protobuf 7 no longer has `label`."""
    repeated = getattr(field, "is_repeated", None)
    return bool(getattr(field, "label", 0) == _LABEL_REPEATED if repeated is None else repeated)
