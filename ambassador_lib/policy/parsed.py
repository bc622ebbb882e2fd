"""What the walk makes of a document: messages and values that remember their places, before the model is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import PolicyFault
from .yaml_nodes import Node


class Place:
    """Where something stands in a document: `file:line:column` and the field's path.

    Of ten thousand endpoints hardly one has a fault: paths are put together for those who ask.
    """

    __slots__ = ("_around", "_name", "at")

    def __init__(self, at: str, name: str | int, around: Place | None = None) -> None:
        """`name` is a field's, or an item's number, in what stands `around`; without that it is the whole path."""
        self.at = at
        self._name = name
        self._around = around

    @property
    def path(self) -> str:
        """The field's path, such as `static_resources.clusters[0].name`."""
        name, around = self._name, self._around
        if around is None:
            return str(name)
        if isinstance(name, int):
            return f"{around.path}[{name}]"
        path = around.path
        return f"{path}.{name}" if path else name

    def field(self, name: str) -> Place:
        """Return the place of a field that is not written down: its message's."""
        return Place(self.at, name, self)

    def fault(self, message: str, hint: str = "") -> PolicyFault:
        """Say what is wrong here."""
        return PolicyFault(self.at, self.path, message, hint)


@dataclass(slots=True)
class Value:
    """A field's value: a scalar, a `ParsedMessage`, a tuple of values, or a mapping of them.

    `broken`: what was written could not be read and was reported; `value` is the type's default. `node` is what
    was written; adapters.py reads free-form data from it.
    """

    value: Any
    place: Place
    broken: bool = False
    node: Node | None = None


@dataclass(slots=True)
class ParsedMessage:
    """A message by its full name, with the fields that the document sets.

    For an `Any` this is the message inside it; an `Any` without type is `google.protobuf.Any` without fields.
    `doubtful`: some fault was found directly in it; `misread`: of a kind that makes checks on its meaning mislead.
    """

    name: str
    place: Place
    fields: dict[str, Value] = field(default_factory=dict)
    doubtful: bool = False
    misread: bool = False

    def get(self, name: str) -> Any:
        """Return a field's bare value, or `None`."""
        value = self.fields.get(name)
        return None if value is None else value.value

    def where(self, name: str, index: int | None = None) -> Place:
        """Return the place of a field, or of an item of a repeated field."""
        value = self.fields.get(name)
        if value is None:
            return self.place.field(name)
        if index is not None and isinstance(value.value, tuple) and index < len(value.value):
            item: Value = value.value[index]
            return item.place
        return value.place
