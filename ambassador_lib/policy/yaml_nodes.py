"""Documents as positioned nodes, read as Envoy's YAML reader (yaml-cpp) reads them, which is not PyYAML's way.

Source: `parseYamlNode` of Envoy and semantics 0. PyYAML's parser gives events and positions only; which plain scalar
is a boolean, a number or null is decided here.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import PolicyError, PolicyFault

if TYPE_CHECKING:
    import yaml

    _Events = Callable[[], Any]

NodeValue: TypeAlias = "bool | int | str | list[Node] | dict[str, Node] | None"

_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_BOOLEANS = {"y": True, "yes": True, "true": True, "on": True, "n": False, "no": False, "false": False, "off": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LARGEST_SAFE = 2**53
_DEEPEST = 100  # the limit of protobuf's JSON reader, which Envoy uses
_UNSEEN = object()
_TOO_DEEP = f"nested more than {_DEEPEST} levels deep"


@dataclass(slots=True)
class Node:
    """A value and its place; `key_at` is the place of its key in a mapping."""

    value: NodeValue
    at: str
    key_at: str = ""


def from_file(text: str, name: str, *, strict_json: bool = False, warnings: list[PolicyFault] | None = None) -> Node:
    """Read the first document of `text`; `name` is the file's name in positions.

    `warnings` receives what YAML passes over in silence.
    """
    if strict_json:
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            raise _unreadable(f"{name}:{error.lineno}:{error.colno}", f"not JSON: {error.msg}") from None
        # A raw tab can only stand between JSON's tokens, where YAML does not take it.
        text = text.replace("\t", " ")
    return _Reader(name, [] if warnings is None else warnings).read(text)


def from_python(value: Any, name: str, path: str = "", depth: int = 0) -> Node:
    """Read a parsed document; what another YAML reader made of a scalar is undone as far as Envoy's would differ.

    `path` is the document's own, for faults.
    """
    if depth > _DEEPEST:
        raise _unreadable(name, _TOO_DEEP)
    if isinstance(value, Mapping):
        for key in value:
            _check_text(key, name, path)
        entries = {
            str(key): from_python(item, name, f"{path}.{key}" if path else str(key), depth + 1)
            for key, item in value.items()
        }
        return Node(entries, name, name)
    if isinstance(value, (list, tuple)):
        items = enumerate(value)
        return Node([from_python(item, name, f"{path}[{index}]", depth + 1) for index, item in items], name, name)
    _check_text(value, name, path)
    if value is None or isinstance(value, (bool, str)):
        return Node(value, name, name)
    if isinstance(value, int):
        return Node(_safe_integer(value), name, name)
    if isinstance(value, float):
        return Node(repr(value), name, name)
    if isinstance(value, date):
        return Node(value.isoformat(), name, name)
    kind = type(value).__name__
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    raise PolicyError([PolicyFault(name, path, f"{article} {kind} cannot stand in a policy: {value!r}")])


def _check_text(value: object, name: str, path: str) -> None:
    """Refuse half of a pair that UTF-16 has for one character: nothing can be sent or compared with it."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        raise PolicyError([PolicyFault(name, path, f"{value!r} is no text: it cannot be written as UTF-8")]) from None


def plain_scalar(text: str) -> bool | int | str | None:
    """Resolve an unquoted scalar: null, boolean, C integer, else a string (floats too)."""
    if text in _NULLS:
        return None
    if text.islower() or text.isupper() or text.istitle():
        boolean = _BOOLEANS.get(text.lower())
        if boolean is not None:
            return boolean
    return integer_or_text(text)


def integer_or_text(text: str) -> int | str:
    """Resolve what C's `%i` takes for a 64 bit integer: decimal, `0x50`, octal `017`."""
    if not _INTEGER.fullmatch(text):
        return text
    digits = text.lstrip("+-")
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") else 10
    value = int(digits, base) * (-1 if text.startswith("-") else 1)
    return _safe_integer(value) if -(2**63) <= value < 2**63 else text


def _safe_integer(value: int) -> int | str:
    # What a double cannot hold goes through Envoy's JSON as a string.
    return value if abs(value) <= _LARGEST_SAFE else str(value)


def _unreadable(at: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError([PolicyFault(at, "", message, hint)])


def _hint(text: str, mark: Any) -> str:
    """Help with what YAML's parser says least about: tabs."""
    lines = text.splitlines()
    at_tab = mark is not None and mark.line < len(lines) and lines[mark.line][mark.column :].startswith("\t")
    return "this is a tab; YAML is indented with spaces" if at_tab else ""


class _Reader:
    """Builds nodes from PyYAML's events. Equal scalars are one object: a policy says much again and again."""

    def __init__(self, name: str, warnings: list[PolicyFault]) -> None:
        import yaml

        self._name = name
        self._warnings = warnings
        self._yaml = yaml
        self._anchors: dict[str, Node | None] = {}
        self._depth = 0
        self._plain: dict[str, bool | int | str | None] = {}
        """What unquoted scalars came to."""
        self._texts: dict[str, str] = {}

    def read(self, text: str) -> Node:
        yaml = self._yaml
        loader = getattr(yaml, "CLoader", yaml.Loader)(text)
        try:
            return self._document(loader.get_event)
        except yaml.MarkedYAMLError as error:
            at = self._at(error.problem_mark or error.context_mark)
            message = ", ".join(part for part in (error.context, error.problem) if part)
            raise _unreadable(at, f"not YAML: {message}", _hint(text, error.problem_mark)) from None
        except yaml.YAMLError as error:
            raise _unreadable(f"{self._name}:1:1", f"not YAML: {' '.join(str(error).split())}") from None
        finally:
            loader.dispose()

    def _document(self, get: _Events) -> Node:
        yaml = self._yaml
        while not isinstance(event := get(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                root = self._node(get(), get)
                self._note_more(get)
                return root
        return Node(None, f"{self._name}:1:1")

    def _note_more(self, get: _Events) -> None:
        """Warn of a second document, which Envoy does not read either, be it well formed or not."""
        yaml = self._yaml
        with contextlib.suppress(yaml.YAMLError):
            while not isinstance(event := get(), yaml.StreamEndEvent):
                if isinstance(event, yaml.DocumentStartEvent):
                    at = self._at(event.start_mark)
                    content = get()
                    if not isinstance(content, yaml.ScalarEvent) or content.value:
                        self._warnings.append(PolicyFault(at, "", "a second document, which is not read"))
                    return

    def _at(self, mark: Any) -> str:
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{self._name}:1:1"

    def _node(self, event: Any, get: _Events) -> Node:
        yaml = self._yaml
        at = self._at(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(str(event.anchor), at)
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._scalar(event), at)
        else:
            self._depth += 1
            if self._depth > _DEEPEST:
                raise _unreadable(at, _TOO_DEEP)
            node = Node(self._items(get) if isinstance(event, yaml.SequenceStartEvent) else self._entries(get), at)
            self._depth -= 1
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, name: str, at: str) -> Node:
        target = self._anchors.get(name)
        if target is None:
            message = f"alias *{name} {'contains itself' if name in self._anchors else 'has no anchor'}"
            raise _unreadable(at, message)
        return Node(target.value, target.at)

    def _scalar(self, event: yaml.ScalarEvent) -> bool | int | str | None:
        text: str = event.value
        # "!" marks what yaml-cpp calls non-plain: quoted and block scalars.
        if event.style not in (None, "") or event.tag == "!":
            return self._texts.setdefault(text, text)
        if event.tag is not None and text in _NULLS:  # an explicit tag keeps yaml-cpp from seeing null
            return text
        found = self._plain.get(text, _UNSEEN)
        if found is _UNSEEN:
            value = plain_scalar(text)
            found = self._plain[text] = self._texts.setdefault(text, text) if value == text else value
        return found  # type: ignore[return-value]  # it is never the mark of what has not been seen

    def _items(self, get: _Events) -> list[Node]:
        items = []
        end = self._yaml.SequenceEndEvent
        while not isinstance(event := get(), end):
            items.append(self._node(event, get))
        return items

    def _entries(self, get: _Events) -> dict[str, Node]:
        yaml = self._yaml
        entries: dict[str, Node] = {}
        while not isinstance(event := get(), yaml.MappingEndEvent):
            key = self._node(event, get)
            value = self._node(get(), get)
            if isinstance(key.value, (list, dict)):
                raise _unreadable(key.at, "a key of a mapping must be a scalar")
            name = str(key.value)
            if isinstance(event, yaml.ScalarEvent):
                name = self._texts.setdefault(event.value, event.value)
                if event.tag == "!ignore":  # Envoy's own: a place to define anchors
                    continue
            if entries.pop(name, None) is not None:
                message = f"the key {name!r} stands twice in this mapping: the last one counts"
                self._warnings.append(PolicyFault(key.at, "", message))
            value.key_at = key.at
            entries[name] = value
        return entries
