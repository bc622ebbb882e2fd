"""The descriptor set as protobuf's own runtime reads it, which is nowhere imported where policies are: an oracle."""

from __future__ import annotations

import functools
import lzma
from importlib import resources
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from ambassador_lib.policy.schema import DESCRIPTOR_SET


@functools.cache
def files() -> list[FileDescriptorProto]:
    packed = resources.files("ambassador_lib.policy").joinpath(DESCRIPTOR_SET)
    return list(FileDescriptorSet.FromString(lzma.decompress(packed.read_bytes())).file)


@functools.cache
def pool() -> DescriptorPool:
    made = DescriptorPool()
    for file in files():
        made.AddSerializedFile(file.SerializeToString())
    return made


def rules(field: Any) -> dict[str, Any]:
    """Return a field's validation rules; the pool shows them when the options are read with its own classes."""
    rules = pool().FindExtensionByName("validate.rules")
    options: Any = _class("google.protobuf.FieldOptions").FromString(field.GetOptions().SerializeToString())
    return _plain(options.Extensions[rules]) if options.HasExtension(rules) else {}


def is_required(oneof: Any) -> bool:
    required = pool().FindExtensionByName("validate.required")
    options: Any = _class("google.protobuf.OneofOptions").FromString(oneof.GetOptions().SerializeToString())
    return bool(options.Extensions[required])


@functools.cache
def _class(name: str) -> Any:
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def _plain(message: Any) -> dict[str, Any]:
    def value(one: Any) -> Any:
        return _plain(one) if hasattr(one, "ListFields") else one

    found = {field.name: (field, given) for field, given in message.ListFields()}
    return {
        name: [value(one) for one in given] if hasattr(given, "append") else value(given)
        for name, (field, given) in found.items()
    }
