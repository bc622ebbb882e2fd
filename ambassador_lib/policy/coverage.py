"""What the loader does with every field that an outbound policy can set, told from the tables that it works by.

This is no second list: it walks Envoy's descriptors and asks support.py, as the walk of a document does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import support
from .descriptors import Field, Message
from .parsed import ParsedMessage, Value
from .schema import Schema
from .support_notes import NOTES
from .support_types import TYPES_ELSEWHERE

BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"
SAME, NOTED, REFUSED, NO_EFFECT = "same", "same, with a note", "refused", "no effect here"


@dataclass(frozen=True, slots=True)
class Coverage:
    """One field: `verdict` is one of the four words above, `reason` the note, the refusal or the warning."""

    message: str
    field: str
    verdict: str
    reason: str = ""

    @property
    def name(self) -> str:
        """The field's full name."""
        return f"{self.message}.{self.field}"


def covered(schema: Schema) -> list[Coverage]:
    """Return every field that can be reached from a bootstrap, message by message in the order they are met.

    Inside what is refused or without effect nothing is listed. What may stand in an `Any` follows at the end.
    """
    found: dict[str, list[Coverage]] = {}
    extensions = sorted(
        name for name in support.supported_types() if not support.is_opaque_type(name) and schema.find(name) is not None
    )
    for start in (BOOTSTRAP, *extensions):
        _reach(schema, start, found)
    return [line for lines in found.values() for line in lines]


def _reach(schema: Schema, start: str, found: dict[str, list[Coverage]]) -> None:
    waiting = [start]
    while waiting:
        name = waiting.pop(0)
        descriptor = schema.find(name)
        if name in found or descriptor is None:
            continue
        lines = found[name] = []
        for field in descriptor.fields:
            line = _line(descriptor, field)
            lines.append(line)
            if line.verdict in (SAME, NOTED) and (inner := _inner(field)) is not None:
                waiting.append(inner)
        lines += (_newer(name, field) for field in support.newer_fields(name))


def _line(message: Message, field: Field) -> Coverage:
    name = f"{message.full_name}.{field.name}"
    verdict = support.field_support(message.full_name, field.name)
    if verdict.refused:
        return Coverage(message.full_name, field.name, REFUSED, verdict.text)
    if not verdict.acts:
        return Coverage(message.full_name, field.name, NO_EFFECT, verdict.text.removeprefix("no effect: "))
    notes = [NOTES[name]] if name in NOTES else []
    if values := support.REFUSED_VALUES.get(name):
        notes += [f"`{value}` is refused: {reason}" for value, reason in values.items()]
    return Coverage(message.full_name, field.name, NOTED if notes else SAME, "; ".join(notes))


def _newer(message: str, field: str) -> Coverage:
    reason = support.NEWER_FIELDS[f"{message}.{field}"]
    return Coverage(message, field, REFUSED if reason else SAME, reason)


def _inner(field: Field) -> str | None:
    message = field.message_type
    if message is not None and message.is_map_entry:
        message = message.fields_by_name["value"].message_type
    if message is None or message.full_name.startswith("google.protobuf."):
        return None
    return message.full_name


def refused_types(schema: Schema) -> Mapping[str, str]:
    """Return the extensions that Envoy's schema has and no policy of ours may hold, with the reason of each."""
    known = {
        name: support.type_refusal(name)
        for name in sorted(schema.names)
        if name.startswith(("envoy.extensions.", "envoy.config.trace.")) and support.is_refused_extension(name)
    }
    return {**known, **TYPES_ELSEWHERE}


def fields_set(parsed: ParsedMessage) -> Iterator[str]:
    """Yield the full names of the fields that a document sets, in the order it sets them."""
    for name, value in parsed.fields.items():
        yield f"{parsed.name}.{name}"
        yield from _inside(value)


def _inside(value: Value) -> Iterator[str]:
    bare = value.value
    if isinstance(bare, ParsedMessage):
        yield from fields_set(bare)
    elif isinstance(bare, tuple):
        for item in bare:
            if isinstance(item, Value):
                yield from _inside(item)
    elif isinstance(bare, Mapping):
        for item in bare.values():
            if isinstance(item, Value):
                yield from _inside(item)
