"""Narrowing many routes down to the few whose path can match: by look-ups, whose number no route adds to."""

from __future__ import annotations

import itertools
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..policy.model.route import Route
    from .compiled import CompiledRoute

    _Groups = dict[str, int | list[int] | tuple[CompiledRoute, ...]]
    """By path: the places of routes that nobody has looked at, one or many, or else these."""

_place = attrgetter("place")

MAX_MERGED = 256
"""Groups of routes that paths have found together, and are kept in order."""


class PathIndex:
    """The routes whose path can match a target, in their order; each one's whole condition is still to be asked.

    `path` is looked up as it is. What ends with a segment (`path_separated_prefix`, and a `prefix` with a slash at its
    end) is looked up at each slash of the target, down to the depth of the deepest. Any other `prefix` is looked up by
    length, once for each length that there is. Regexes and what disregards case may match anything.
    """

    __slots__ = ("_anything", "_by_length", "_compiled", "_depths", "_exact", "_merged", "_separated", "_within")

    def __init__(self, routes: Sequence[Route], compiled: Callable[[int], CompiledRoute]) -> None:
        """`compiled` gives the route at a place."""
        self._compiled = compiled
        self._exact: _Groups = {}
        self._within: _Groups = {}
        self._separated: _Groups = {}
        by_length: dict[int, _Groups] = {}
        anything: list[int] = []
        for place, route in enumerate(routes):
            match = route.match
            prefix = match.prefix or ""
            separated = match.path_separated_prefix or ""
            if match.case_sensitive is False:
                anything.append(place)
            elif match.path is not None:
                _add(self._exact, match.path, place)
            elif prefix.endswith("/"):
                _add(self._within, prefix, place)
            elif separated and not separated.endswith("/"):
                _add(self._separated, separated, place)
            elif prefix:
                _add(by_length.setdefault(len(prefix), {}), prefix, place)
            else:
                anything.append(place)
        self._anything = tuple(map(compiled, anything))
        self._by_length = sorted(by_length.items())
        self._merged: dict[tuple[tuple[CompiledRoute, ...], ...], tuple[CompiledRoute, ...]] = {}
        """Most paths find what others have found: a prefix of their own, say, and the route for all the rest."""
        depths = [prefix.count("/") for prefix in self._within] + [path.count("/") + 1 for path in self._separated]
        self._depths = range(max(depths, default=0))

    def candidates(self, target: str) -> Sequence[CompiledRoute]:
        """Return the routes that `target` (path and query) may be for."""
        path = target.partition("?")[0] if "?" in target else target
        groups = [self._anything] if self._anything else []
        if self._exact and (routes := self._exact.get(path)) is not None:
            groups.append(routes if type(routes) is tuple else self._look_at(self._exact, path))
        slash, within, separated = path.find("/"), self._within, self._separated
        for _ in self._depths:
            if separated and (routes := separated.get(path if slash < 0 else path[:slash])) is not None:
                upto = path if slash < 0 else path[:slash]
                groups.append(routes if type(routes) is tuple else self._look_at(separated, upto))
            if slash < 0:
                break
            if (routes := within.get(path[: slash + 1])) is not None:
                groups.append(routes if type(routes) is tuple else self._look_at(within, path[: slash + 1]))
            slash = path.find("/", slash + 1)
        for length, prefixes in self._by_length:
            if (routes := prefixes.get(path[:length])) is not None:
                groups.append(routes if type(routes) is tuple else self._look_at(prefixes, path[:length]))
        if len(groups) == 1:
            return groups[0]
        key = tuple(groups)
        merged = self._merged.get(key)
        if merged is None:
            if len(self._merged) >= MAX_MERGED:
                self._merged.clear()
            merged = self._merged[key] = tuple(sorted(itertools.chain.from_iterable(groups), key=_place))
        return merged

    def _look_at(self, groups: _Groups, path: str) -> tuple[CompiledRoute, ...]:
        """Put the routes of a path in the place of their numbers; two threads put the same ones there."""
        found = groups[path]
        if not isinstance(found, tuple):
            places = [found] if isinstance(found, int) else found
            found = groups[path] = tuple(map(self._compiled, places))
        return found


def _add(groups: _Groups, path: str, place: int) -> None:
    before = groups.get(path)
    if before is None:
        groups[path] = place
    elif isinstance(before, list):
        before.append(place)
    else:
        assert isinstance(before, int), "nobody has looked yet"
        groups[path] = [before, place]
