"""Documents as positioned nodes, read as Envoy's YAML reader (yaml-cpp) reads them, which is not PyYAML's way.

Source: `parseYamlNode` of Envoy and semantics 0. Which plain scalar is a boolean, a number or null is decided here;
where it stands is told by lines (yaml_lines.py) or, in whatever is not written in the plainest way, by PyYAML's parser
(yaml_events.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from ..errors import PolicyError, PolicyFault

NodeValue: TypeAlias = "bool | int | str | list[Node] | dict[str, Node] | None"

_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_BOOLEANS = {"y": True, "yes": True, "true": True, "on": True, "n": False, "no": False, "false": False, "off": False}
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LARGEST_SAFE = 2**53
DEEPEST = 100  # the limit of protobuf's JSON reader, which Envoy uses
_UNSEEN = object()
TOO_DEEP = f"nested more than {DEEPEST} levels deep"


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
            raise unreadable(f"{name}:{error.lineno}:{error.colno}", f"not JSON: {error.msg}") from None
        # A raw tab can only stand between JSON's tokens, where YAML does not take it.
        text = text.replace("\t", " ")
    marks = [] if warnings is None else warnings
    from .yaml_lines import read_lines

    found = read_lines(text, name, marks)
    if found is not None:
        return found
    from .yaml_events import Reader  # PyYAML is 20 ms and 0.8 MB, which most policies do without

    return Reader(name, marks).read(text)


def from_python(value: Any, name: str, path: str = "", depth: int = 0) -> Node:
    """Read a parsed document; what another YAML reader made of a scalar is undone as far as Envoy's would differ.

    `path` is the document's own, for faults.
    """
    if depth > DEEPEST:
        raise unreadable(name, TOO_DEEP)
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
    if text in NULLS:
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


class Scalars:
    """What scalars of one document come to; equal ones are one object, for a policy says much again and again."""

    def __init__(self) -> None:
        self._plain: dict[str, bool | int | str | None] = {}
        self._texts: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return a quoted scalar, or a key."""
        return self._texts.setdefault(text, text)

    def plain(self, text: str) -> bool | int | str | None:
        """Return an unquoted scalar."""
        found = self._plain.get(text, _UNSEEN)
        if found is _UNSEEN:
            value = plain_scalar(text)
            found = self._plain[text] = self.text(text) if value == text else value
        return found  # type: ignore[return-value]  # it is never the mark of what has not been seen


def put(entries: dict[str, Node], name: str, at: str, value: Node, warnings: list[PolicyFault]) -> None:
    """Put a value into a mapping under its key, which stands `at`."""
    if entries.pop(name, None) is not None:
        message = f"the key {name!r} stands twice in this mapping: the last one counts"
        warnings.append(PolicyFault(at, "", message))
    value.key_at = at
    entries[name] = value


def unreadable(at: str, message: str, hint: str = "") -> PolicyError:
    """Return the error of a document that cannot be read."""
    return PolicyError([PolicyFault(at, "", message, hint)])
