"""YAML written in the plainest way, as most policies are: block mappings and lists, with a scalar, a list or mapping of
some in brackets, or nothing in a line.

Whatever else there is in a document, and whatever is wrong with it, leaves all of it to PyYAML (yaml_events.py): no
sign that has a meaning of its own is read here but the key's colon, the item's dash, quotes, brackets and comments.
Tests hold each node and position to PyYAML's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import PolicyFault
from .yaml_nodes import Node, Scalars, put

_UNUSUAL = re.compile(r"[^\x20-\x7e\n]")
_QUOTED = r"""'[^']*'|"[^"\\]*\""""
_PLAIN = r"(?:[\w./+~]|-(?=[^ ]))(?:[^#: ]|:(?=[^ ])| +(?=[^#: ]))*"
_KEY = r"(?:[A-Za-z_][\w.-]{0,200}|'[^']{0,200}'|\"[^\"\\]{0,200}\")"
_VALUE = rf"{_QUOTED}|{_PLAIN}|[\[{{].*"
_LINE = re.compile(
    rf"(?P<indent> *)(?P<dash>- +)?(?:(?P<key>{_KEY}):(?: +(?P<value>{_VALUE}))?|(?P<item>{_VALUE}))?(?: *| +#.*)",
    re.ASCII,
)
_BEHIND = re.compile(" *| +#.*")
"""What may follow a closing bracket."""
_IN_BRACKETS = re.compile(rf"(?:{_QUOTED}|(?:[\w./+~]|-(?=\w))[\w./+~@%-]*)(?= *[,\]}}])", re.ASCII)
_KEY_IN_BRACKETS = re.compile(rf"{_KEY}: +", re.ASCII)
_SPACES, _COMMA = re.compile(" *"), re.compile(", *")
_NOTHING = re.compile(" *(?:#.*)?")
_DEEPEST = 50


class _Unusual(Exception):  # noqa: N818 - nothing is wrong
    """This is for PyYAML."""


@dataclass(slots=True, eq=False)
class _Line:
    """`column` is where the key or the item's dash stands, `inner` where the key or value behind the dash does."""

    number: int
    column: int
    inner: int
    dash: bool
    key: str | None
    value: str | None
    value_at: int
    end: int
    """Behind the key's colon."""


def read_lines(text: str, name: str, warnings: list[PolicyFault]) -> Node | None:
    """Return the root of a document, or `None` where that takes more than this; `name` is the file's in positions."""
    if _UNUSUAL.search(text):
        return None
    found: list[PolicyFault] = []
    try:
        reader = _Reader(
            name, found, [_line(*one) for one in enumerate(text.split("\n")) if not _NOTHING.fullmatch(one[1])]
        )
        root = reader.document()
    except _Unusual:
        return None
    warnings += found
    return root


def _line(number: int, text: str) -> _Line:
    found = _LINE.fullmatch(text)
    if found is None:
        raise _Unusual
    key, item = found["key"], found["item"]
    dash = found["dash"] is not None
    if key is None and (item is None or not dash):
        raise _Unusual
    column = len(found["indent"])
    inner = found.start("key") if key is not None else found.start("item")
    value_at = found.start("value") if key is not None else inner
    end = found.end("key") + 1 if key is not None else 0
    return _Line(number, column, inner, dash, key, found["value"] if key is not None else item, value_at, end)


def _after(what: re.Pattern[str], text: str, at: int) -> int:
    found = what.match(text, at)
    if found is None:
        raise _Unusual
    return found.end()


class _Reader:
    """Builds nodes of lines."""

    def __init__(self, name: str, warnings: list[PolicyFault], lines: list[_Line]) -> None:
        self._name = name
        self._warnings = warnings
        self._lines = lines
        self._next = 0
        self._depth = 0
        self._scalars = Scalars()

    def document(self) -> Node:
        if not self._lines or self._lines[0].column:
            raise _Unusual
        root = self._block(0)
        if self._next < len(self._lines):
            raise _Unusual
        return root

    def _column(self) -> int:
        """Return where the next line begins, -1 behind the last one."""
        return self._lines[self._next].column if self._next < len(self._lines) else -1

    def _block(self, column: int) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unusual
        line = self._lines[self._next]
        at = self._at(line.number, column)
        node = Node(self._items(column) if line.dash else self._entries(column), at)
        if self._column() > column:
            raise _Unusual
        self._depth -= 1
        return node

    def _items(self, column: int) -> list[Node]:
        items = []
        while self._column() == column and (line := self._lines[self._next]).dash:
            if line.key is not None:  # a mapping begins behind the dash
                line.dash, line.column = False, line.inner
                items.append(self._block(line.inner))
            else:
                self._next += 1
                items.append(self._in_line(line))
            if self._column() > column:
                raise _Unusual
        return items

    def _entries(self, column: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while self._column() == column:
            line = self._lines[self._next]
            if line.dash or line.key is None:
                raise _Unusual
            self._next += 1
            value = self._value(line, column)
            put(entries, self._text(line.key), self._at(line.number, column), value, self._warnings)
        return entries

    def _value(self, line: _Line, column: int) -> Node:
        following = self._column()
        if line.value is not None:
            if following > column:  # it goes on there
                raise _Unusual
            return self._in_line(line)
        if following > column:
            return self._block(following)
        if following == column and self._lines[self._next].dash:  # a list may stand below its key
            at = self._at(self._lines[self._next].number, column)
            return Node(self._items(column), at)
        return Node(None, self._at(line.number, line.end))

    def _in_line(self, line: _Line) -> Node:
        text = line.value
        assert text is not None, "the line has one"
        if text[0] not in "[{":
            return Node(self._scalar(text), self._at(line.number, line.value_at))
        if text.count("[") + text.count("{") > _DEEPEST:
            raise _Unusual
        node, end = self._in_brackets(line, text, 0)
        if not _BEHIND.fullmatch(text, end):
            raise _Unusual
        return node

    def _in_brackets(self, line: _Line, text: str, at: int) -> tuple[Node, int]:
        """Read a list, a mapping or a scalar that begins there; return where it ends, too."""
        place = self._at(line.number, line.value_at + at)
        opening = text[at : at + 1]
        if opening not in ("[", "{"):
            scalar = _IN_BRACKETS.match(text, at)
            if scalar is None:
                raise _Unusual
            return Node(self._scalar(scalar[0]), place), scalar.end()
        items: list[Node] = []
        entries: dict[str, Node] = {}
        at = _after(_SPACES, text, at + 1)
        while text[at : at + 1] != ("]" if opening == "[" else "}"):
            if items or entries:
                at = _after(_COMMA, text, at)
            behind_key = _after(_KEY_IN_BRACKETS, text, at) if opening == "{" else at
            value, end = self._in_brackets(line, text, behind_key)
            if opening == "[":
                items.append(value)
            else:
                key = text[at:behind_key].rstrip()[:-1]
                put(entries, self._text(key), self._at(line.number, line.value_at + at), value, self._warnings)
            at = _after(_SPACES, text, end)
        return Node(items if opening == "[" else entries, place), at + 1

    def _scalar(self, text: str) -> bool | int | str | None:
        return self._text(text) if text[0] in "'\"" else self._scalars.plain(text)

    def _text(self, text: str) -> str:
        return self._scalars.text(text[1:-1] if text[0] in "'\"" else text)

    def _at(self, number: int, column: int) -> str:
        return f"{self._name}:{number + 1}:{column + 1}"
