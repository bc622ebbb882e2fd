"""YAML of any form as positioned nodes, by PyYAML's parser, which gives events and positions only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import yaml

from ..errors import PolicyFault
from .yaml_nodes import DEEPEST, NULLS, TOO_DEEP, Node, Scalars, put, unreadable

_Events = Callable[[], Any]


def _hint(text: str, mark: Any) -> str:
    """Help with what YAML's parser says least about: tabs."""
    lines = text.splitlines()
    at_tab = mark is not None and mark.line < len(lines) and lines[mark.line][mark.column :].startswith("\t")
    return "this is a tab; YAML is indented with spaces" if at_tab else ""


class Reader:
    """Builds nodes from PyYAML's events."""

    def __init__(self, name: str, warnings: list[PolicyFault]) -> None:
        self._name = name
        self._warnings = warnings
        self._anchors: dict[str, Node | None] = {}
        self._depth = 0
        self._scalars = Scalars()

    def read(self, text: str) -> Node:
        """Return the first document's root; raise `PolicyError` where it is no YAML."""
        loader = getattr(yaml, "CLoader", yaml.Loader)(text)
        try:
            return self._document(loader.get_event)
        except yaml.MarkedYAMLError as error:
            at = self._at(error.problem_mark or error.context_mark)
            message = ", ".join(part for part in (error.context, error.problem) if part)
            raise unreadable(at, f"not YAML: {message}", _hint(text, error.problem_mark)) from None
        except yaml.YAMLError as error:
            raise unreadable(f"{self._name}:1:1", f"not YAML: {' '.join(str(error).split())}") from None
        finally:
            loader.dispose()

    def _document(self, get: _Events) -> Node:
        while not isinstance(event := get(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                root = self._node(get(), get)
                self._note_more(get)
                return root
        return Node(None, f"{self._name}:1:1")

    def _note_more(self, get: _Events) -> None:
        """Warn of a second document, which Envoy does not read either, be it well formed or not."""
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
        at = self._at(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(str(event.anchor), at)
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._scalar(event), at)
        else:
            self._depth += 1
            if self._depth > DEEPEST:
                raise unreadable(at, TOO_DEEP)
            node = Node(self._items(get) if isinstance(event, yaml.SequenceStartEvent) else self._entries(get), at)
            self._depth -= 1
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, name: str, at: str) -> Node:
        target = self._anchors.get(name)
        if target is None:
            message = f"alias *{name} {'contains itself' if name in self._anchors else 'has no anchor'}"
            raise unreadable(at, message)
        return Node(target.value, target.at)

    def _scalar(self, event: yaml.ScalarEvent) -> bool | int | str | None:
        text: str = event.value
        # "!" marks what yaml-cpp calls non-plain: quoted and block scalars.
        if event.style not in (None, "") or event.tag == "!":
            return self._scalars.text(text)
        if event.tag is not None and text in NULLS:  # an explicit tag keeps yaml-cpp from seeing null
            return text
        return self._scalars.plain(text)

    def _items(self, get: _Events) -> list[Node]:
        items = []
        end = yaml.SequenceEndEvent
        while not isinstance(event := get(), end):
            items.append(self._node(event, get))
        return items

    def _entries(self, get: _Events) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := get(), yaml.MappingEndEvent):
            key = self._node(event, get)
            value = self._node(get(), get)
            if isinstance(key.value, (list, dict)):
                raise unreadable(key.at, "a key of a mapping must be a scalar")
            name = str(key.value)
            if isinstance(event, yaml.ScalarEvent):
                name = self._scalars.text(event.value)
                if event.tag == "!ignore":  # Envoy's own: a place to define anchors
                    continue
            put(entries, name, key.at, value, self._warnings)
        return entries
