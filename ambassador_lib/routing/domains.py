"""The search for a virtual host by domain: exact, longest suffix, longest prefix, any (semantics 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class Domains(Generic[T]):
    """Domain patterns and what they stand for. Names to be found must be lower case.

    `only` is what a sole `*` stands for, `None` with any other pattern beside it.
    """

    __slots__ = ("_any", "_exact", "_prefixes", "_suffixes", "only")

    def __init__(self, domains: Iterable[tuple[str, T]]) -> None:
        self._any: T | None = None
        self._exact: dict[str, T] = {}
        suffixes: dict[int, dict[str, T]] = {}
        prefixes: dict[int, dict[str, T]] = {}
        for pattern, value in domains:
            domain = pattern.lower()
            if domain == "*":
                self._any = value
            elif domain.startswith("*"):
                suffixes.setdefault(len(domain) - 1, {})[domain[1:]] = value
            elif domain.endswith("*"):
                prefixes.setdefault(len(domain) - 1, {})[domain[:-1]] = value
            else:
                self._exact[domain] = value
        self._suffixes = sorted(suffixes.items(), reverse=True)
        self._prefixes = sorted(prefixes.items(), reverse=True)
        self.only = None if self._exact or suffixes or prefixes else self._any

    def find(self, name: str) -> T | None:
        """Return what the best pattern for `name` stands for."""
        found = self.find_named(name)
        return self._any if found is None else found

    def find_named(self, name: str) -> T | None:
        """Do the same without a bare `*`; a wildcard stands for at least one character."""
        found = self._exact.get(name)
        if found is not None:
            return found
        for length, suffixes in self._suffixes:
            if len(name) > length and (found := suffixes.get(name[-length:])) is not None:
                return found
        for length, prefixes in self._prefixes:
            if len(name) > length and (found := prefixes.get(name[:length])) is not None:
                return found
        return None
