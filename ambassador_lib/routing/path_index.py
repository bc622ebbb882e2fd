"""Narrowing many routes down to the few whose path can match: by look-ups, whose number no route adds to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .match import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..policy.model.route import RouteMatch
    from .compiled import CompiledRoute

Entry = tuple[int, Condition, "CompiledRoute"]
"""A route's place among its virtual host's, its whole condition, and the route."""


class PathIndex:
    """The routes whose path can match a target, in their order; each one's whole condition is still to be asked.

    `path` is looked up as it is. What ends with a segment (`path_separated_prefix`, and a `prefix` with a slash at its
    end) is looked up at each slash of the target, down to the depth of the deepest. Any other `prefix` is looked up by
    length, once for each length that there is. Regexes and what disregards case may match anything.
    """

    __slots__ = ("_anything", "_below", "_by_length", "_depths", "_exact")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._exact: dict[str, list[Entry]] = {}
        self._below: dict[str, list[Entry]] = {}
        by_length: dict[int, dict[str, list[Entry]]] = {}
        self._anything: list[Entry] = []
        for entry in entries:
            match = entry[2].model.match
            prefix = match.prefix or ""
            segments = _segments(match)
            if match.case_sensitive is False:
                self._anything.append(entry)
            elif match.path is not None:
                self._exact.setdefault(match.path, []).append(entry)
            elif segments is not None:
                self._below.setdefault(segments, []).append(entry)
            elif prefix:
                by_length.setdefault(len(prefix), {}).setdefault(prefix, []).append(entry)
            else:
                self._anything.append(entry)
        self._by_length = sorted(by_length.items())
        self._depths = range(max((segments.count("/") + 1 for segments in self._below), default=0))

    def candidates(self, target: str) -> Sequence[Entry]:
        """Return the routes that `target` (path and query) may be for."""
        path = target.partition("?")[0] if "?" in target else target
        groups = [self._anything] if self._anything else []
        if self._exact and (entries := self._exact.get(path)) is not None:
            groups.append(entries)
        slash, below = path.find("/"), self._below
        for _ in self._depths:
            if slash < 0:
                if (entries := below.get(path)) is not None:
                    groups.append(entries)
                break
            if (entries := below.get(path[:slash])) is not None:
                groups.append(entries)
            slash = path.find("/", slash + 1)
        for length, prefixes in self._by_length:
            if (entries := prefixes.get(path[:length])) is not None:
                groups.append(entries)
        if len(groups) == 1:
            return groups[0]
        return sorted((entry for entries in groups for entry in entries), key=_place)


def _segments(match: RouteMatch) -> str | None:
    """Return what a target has before a slash, or as its whole path, if it matches at all; `None` for no such rule."""
    if match.prefix is not None:
        return match.prefix[:-1] if match.prefix.endswith("/") else None
    separated = match.path_separated_prefix
    return None if separated is None or separated.endswith("/") else separated


def _place(entry: Entry) -> int:
    return entry[0]
