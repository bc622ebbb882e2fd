"""Conditions on values, compiled to one function each: strings, and all the values of one header."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..policy.model.core import StringMatcher
from .draws import integer
from .regex import compile_regex

if TYPE_CHECKING:
    from ..policy.model.matcher import HeaderMatcher

ValueCondition = Callable[[bytes], bool]


def compile_string(matcher: StringMatcher) -> ValueCondition:
    """Compile a `StringMatcher` to a function of a value."""
    fold = matcher.ignore_case

    def folded(text: str) -> bytes:
        return text.encode().lower() if fold else text.encode()

    condition: ValueCondition
    if matcher.exact is not None:
        exact = folded(matcher.exact)
        condition = exact.__eq__
    elif matcher.prefix is not None:
        prefix = folded(matcher.prefix)
        condition = lambda value: value.startswith(prefix)  # noqa: E731
    elif matcher.suffix is not None:
        suffix = folded(matcher.suffix)
        condition = lambda value: value.endswith(suffix)  # noqa: E731
    elif matcher.contains is not None:
        contains = folded(matcher.contains)
        condition = lambda value: contains in value  # noqa: E731
    elif matcher.safe_regex is not None:
        matches = compile_regex(matcher.safe_regex.regex).fullmatch
        return lambda value: matches(value) is not None  # ignore_case has no effect on expressions
    else:
        raise ValueError("a string matcher needs one of exact, prefix, suffix, contains, safe_regex")
    return (lambda value: condition(value.lower())) if fold else condition


def compile_values(matcher: HeaderMatcher) -> Callable[[list[bytes]], bool]:
    """Compile a condition on all values that one header has.

    A missing header fulfils no condition on a value, an inverted one neither, unless `treat_missing_header_as_empty`.
    Of several values any may match; inverted, none may. Both verified against Envoy 1.40.
    """
    invert, missing_is_empty = matcher.invert_match, matcher.treat_missing_header_as_empty
    condition = _value_condition(matcher)
    if condition is None:
        wanted = (matcher.present_match is not False) != invert
        return lambda values: (bool(values) or missing_is_empty) == wanted

    def holds(values: list[bytes]) -> bool:
        if not values:
            if not missing_is_empty:
                return False
            values = [b""]
        return any(map(condition, values)) != invert

    return holds


def _value_condition(matcher: HeaderMatcher) -> ValueCondition | None:
    """Return the condition on a single value, `None` if only presence counts."""
    if matcher.range_match is not None:
        return _in_range(matcher.range_match.start, matcher.range_match.end)
    string = matcher.string_match or _deprecated_form(matcher)
    return None if string is None else compile_string(string)


def _deprecated_form(matcher: HeaderMatcher) -> StringMatcher | None:
    """Return what an old matcher is written as now; an empty value asks for presence only (verified for exact)."""
    if matcher.safe_regex_match is not None:
        return StringMatcher(safe_regex=matcher.safe_regex_match)
    old = (matcher.exact_match, matcher.prefix_match, matcher.suffix_match, matcher.contains_match)
    if not any(old):
        return None
    exact, prefix, suffix, contains = (value or None for value in old)
    return StringMatcher(exact=exact, prefix=prefix, suffix=suffix, contains=contains)


def _in_range(start: int, end: int) -> ValueCondition:
    def matches(value: bytes) -> bool:
        number = integer(value)
        return number is not None and start <= number < end

    return matches
