"""Expected values: plain ones, which both sides must show exactly, and matchers, which are the tolerance.

Matchers may stand anywhere inside lists and dicts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any


class Matcher:
    """Says whether a value will do."""

    def holds(self, value: Any) -> bool:
        raise NotImplementedError

    def holds_beside(self, value: Any, envoys: Any) -> bool:
        """Whether a library's value will do where Envoy showed `envoys`."""
        return self.holds(value)


class Between(Matcher):
    """A number from `low` to `high`, both included."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def __repr__(self) -> str:
        return f"between {self.low} and {self.high}"


class Approx(Between):
    """A number within `within` of `value`."""

    def __init__(self, value: float, within: float) -> None:
        super().__init__(value - within, value + within)


class Re(Matcher):
    """Text that the pattern matches as a whole; the dot matches newlines too."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern, re.DOTALL)

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and self.pattern.fullmatch(value) is not None

    def __repr__(self) -> str:
        return f"text like {self.pattern.pattern!r}"


class OneOf(Matcher):
    """One of several values, which may be matchers."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def holds(self, value: Any) -> bool:
        return any(not complaints(one, value) for one in self.values)

    def __repr__(self) -> str:
        return "one of " + ", ".join(map(repr, self.values))


class Each(Matcher):
    """A list in which every element is as `expected`; with `count`, of that length."""

    def __init__(self, expected: Any, count: int | None = None) -> None:
        self.expected, self.count = expected, count

    def holds(self, value: Any) -> bool:
        if not isinstance(value, list) or (self.count is not None and len(value) != self.count):
            return False
        return all(not complaints(self.expected, one) for one in value)

    def __repr__(self) -> str:
        return f"{'all' if self.count is None else self.count} of {self.expected!r}"


class Unordered(Matcher):
    """A list with these elements in any order; all plain."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)

    def holds(self, value: Any) -> bool:
        return isinstance(value, list) and sorted(map(repr, value)) == sorted(map(repr, self.values))

    def __repr__(self) -> str:
        return f"in any order {self.values!r}"


class Having(Matcher):
    """A dict with at least these entries."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries

    def holds(self, value: Any) -> bool:
        return isinstance(value, dict) and all(
            key in value and not complaints(expected, value[key]) for key, expected in self.entries.items()
        )

    def __repr__(self) -> str:
        return f"at least {self.entries!r}"


class Where(Matcher):
    """Anything for which `test` is true; `words` say what that is."""

    def __init__(self, test: Callable[[Any], Any], words: str) -> None:
        self.test, self.words = test, words

    def holds(self, value: Any) -> bool:
        try:
            return bool(self.test(value))
        except (TypeError, ValueError, LookupError, AttributeError):
            return False

    def __repr__(self) -> str:
        return self.words


class SameOnBoth(Matcher):
    """Envoy's value is as `expected`, and the library's is the very value that Envoy showed."""

    def __init__(self, expected: Any) -> None:
        self.expected = expected

    def holds(self, value: Any) -> bool:
        return not complaints(self.expected, value)

    def holds_beside(self, value: Any, envoys: Any) -> bool:
        return bool(value == envoys)

    def __repr__(self) -> str:
        return f"the same on both sides, {self.expected!r}"


_ABSENT = object()


def complaints(expected: Any, value: Any, envoys: Any = _ABSENT, at: str = "") -> list[str]:
    """Return what is wrong with `value`; with `envoys` it is a library's value, beside which Envoy showed that."""
    if isinstance(expected, Matcher):
        fine = expected.holds(value) if envoys is _ABSENT else expected.holds_beside(value, envoys)
        beside = "" if envoys is _ABSENT else f" (Envoy: {shown(envoys)})"
        return [] if fine else [f"{at}{shown(value)} is not {expected!r}{beside}"]
    if isinstance(expected, dict) and isinstance(value, dict):
        return _of_dicts(expected, value, envoys, at)
    if isinstance(expected, list | tuple) and isinstance(value, list | tuple) and len(expected) == len(value):
        return _of_lists(expected, value, envoys, at)
    return [] if expected == value else [f"{at}{shown(value)} is not {shown(expected)}"]


def _of_dicts(expected: dict[Any, Any], value: dict[Any, Any], envoys: Any, at: str) -> list[str]:
    found = [f"{at}{key!r} is missing" for key in expected if key not in value]
    found += [f"{at}{key!r} = {shown(value[key])} is not expected" for key in value if key not in expected]
    for key, one in expected.items():
        if key in value:
            beside = envoys.get(key) if isinstance(envoys, dict) else envoys
            found += complaints(one, value[key], beside, f"{at}{key}: ")
    return found


def _of_lists(expected: Sequence[Any], value: Sequence[Any], envoys: Any, at: str) -> list[str]:
    aligned = isinstance(envoys, list | tuple) and len(envoys) == len(value)
    found: list[str] = []
    for index, (one, seen) in enumerate(zip(expected, value, strict=True)):
        found += complaints(one, seen, envoys[index] if aligned else envoys, f"{at}[{index}] ")
    return found


def shown(value: Any, limit: int = 240) -> str:
    """Return `value` in short."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
