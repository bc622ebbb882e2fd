"""Messages and fields of Envoy 1.40 that the published protos of our schema's date do not have yet.

Each is added to the file that has it in Envoy's own tree, with its validation rules, so that it is read as all others
are. Single fields without a message of their own stand in support.py.
"""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

_F = FieldDescriptorProto
_NOT_EMPTY = bytes.fromhex("fa420472021001")
"""Field options: `(validate.rules).string.min_len = 1`."""
_REQUIRED = bytes.fromhex("fa42058a01021001")
"""Field options: `(validate.rules).message.required = true`."""


def _field(name: str, number: int, kind: _F.Type.ValueType, type_name: str = "", rules: bytes = b"") -> _F:
    field = _F(name=name, number=number, type=kind, label=_F.LABEL_OPTIONAL, type_name=type_name or None)
    head, *others = name.split("_")
    field.json_name = head + "".join(word.capitalize() for word in others)
    if rules:
        field.options.ParseFromString(rules)
    return field


def add_newer(files: FileDescriptorSet) -> None:
    """Add to the descriptors what is newer than they are; what they have already is left alone."""
    routes = next(file for file in files.file if file.name == "envoy/config/route/v3/route_components.proto")
    if any(message.name == "CookieMatcher" for message in routes.message_type):
        return
    string_matcher = ".envoy.type.matcher.v3.StringMatcher"
    fields = [
        _field("name", 1, _F.TYPE_STRING, rules=_NOT_EMPTY),
        _field("string_match", 2, _F.TYPE_MESSAGE, string_matcher, _REQUIRED),
        _field("invert_match", 3, _F.TYPE_BOOL),
    ]
    routes.message_type.append(DescriptorProto(name="CookieMatcher", field=fields))
    match = next(message for message in routes.message_type if message.name == "RouteMatch")
    cookies = _field("cookies", 1000, _F.TYPE_MESSAGE, ".envoy.config.route.v3.CookieMatcher")
    cookies.label = _F.LABEL_REPEATED
    match.field.append(cookies)
