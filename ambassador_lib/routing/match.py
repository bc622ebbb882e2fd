"""Conditions of a route, compiled to one function each: path, headers, query parameters, share of traffic.

Source: `envoy.config.route.v3.RouteMatch` and its parts; semantics 1.5 for what the documentation leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..algorithms.grpc_status import is_grpc
from ..call import Call
from ..policy.model.core import RuntimeFractionalPercent, StringMatcher
from .draws import integer, random_value, share
from .joined import REQUEST_HEADERS
from .regex import compile_regex

if TYPE_CHECKING:
    from ..policy.model.matcher import HeaderMatcher, QueryParameterMatcher
    from ..policy.model.route import CookieMatcher, RouteMatch
    from ..runtime.base import Random

Condition = Callable[[Call], bool]
ValueCondition = Callable[[bytes], bool]


def always(_call: Call) -> bool:
    """Hold for every call."""
    return True


def never(_call: Call) -> bool:
    """Hold for no call."""
    return False


def compile_match(
    match: RouteMatch, *, runtime: Mapping[str, Any], random: Random, ignore_parameters: bool = False
) -> Condition:
    """Compile all conditions of a route to one function.

    `ignore_parameters`: path parameters (`;...`) do not count (`ignore_path_parameters_in_path_matching`).
    """
    conditions = [_without_parameters(_path_condition(match)) if ignore_parameters else _path_condition(match)]
    if match.runtime_fraction is not None:
        conditions.append(_fraction_condition(match.runtime_fraction, runtime, random))
    if match.grpc is not None:
        conditions.append(_is_grpc)
    conditions.extend(compile_header_matcher(header) for header in match.headers)
    if match.query_parameters:
        conditions.append(compile_query_matchers(match.query_parameters))
    if match.cookies:
        conditions.append(_cookies_condition(match.cookies))
    if match.tls_context is not None:
        # Nobody presents a certificate to a listener in the process.
        wanted = (match.tls_context.presented, match.tls_context.validated)
        conditions.append(never if True in wanted else always)
    return _all(conditions)


def _all(conditions: list[Condition]) -> Condition:
    conditions = [condition for condition in conditions if condition is not always]
    if not conditions:
        return always
    if len(conditions) == 1:
        return conditions[0]
    first, *others = conditions
    rest = _all(others)
    return lambda call: first(call) and rest(call)


# Paths. A prefix without "?" is a prefix of the target exactly if it is one of the path, so the query need not be
# cut off first; one with "?" can match no path.


def _path_condition(match: RouteMatch) -> Condition:
    fold = match.case_sensitive is False
    if match.prefix is not None:
        return _prefix(match.prefix, fold=fold)
    if match.path is not None:
        return _exact_path(match.path, fold=fold)
    if match.path_separated_prefix is not None:
        return _separated_prefix(match.path_separated_prefix, fold=fold)
    if match.safe_regex is not None:
        matches = compile_regex(match.safe_regex.regex).fullmatch
        return lambda call: matches(call.path.encode("latin-1")) is not None
    raise ValueError("a route's match needs one of prefix, path, path_separated_prefix, safe_regex")


def _prefix(prefix: str, *, fold: bool) -> Condition:
    if not prefix:
        return always
    if "?" in prefix:
        return never
    if fold:
        prefix = lower(prefix)
        length = len(prefix)
        return lambda call: lower(call.target[:length]) == prefix
    return lambda call: call.target.startswith(prefix)


def _exact_path(path: str, *, fold: bool) -> Condition:
    if "?" in path:
        return never
    if fold:
        path = lower(path)
        return lambda call: lower(call.path) == path
    with_query = path + "?"
    return lambda call: call.target == path or call.target.startswith(with_query)


def _separated_prefix(prefix: str, *, fold: bool) -> Condition:
    if "?" in prefix:
        return never
    length = len(prefix)
    if fold:
        prefix = lower(prefix)

    def matches(call: Call) -> bool:
        target = call.target
        if fold:
            target = lower(target[: length + 1])
        return target.startswith(prefix) and target[length : length + 1] in ("", "/", "?")

    return matches


_PARAMETERS = re.compile(";[^/]*")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def lower(text: str) -> str:
    """Lower ASCII letters and leave all others, so that lengths stay."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _without_parameters(condition: Condition) -> Condition:
    def matches(call: Call) -> bool:
        target = call.target
        if ";" not in target:
            return condition(call)
        path, mark, query = target.partition("?")
        call.target = _PARAMETERS.sub("", path) + mark + query
        try:
            return condition(call)
        finally:
            call.target = target

    return matches


# Strings.


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


# Headers.


def compile_header_matcher(matcher: HeaderMatcher) -> Condition:
    """Compile a condition on the call's request headers; pseudo-headers (`:path`, ...) may be named, too."""
    values_of = call_values(matcher.name.lower())
    holds = compile_values(matcher)
    return lambda call: holds(values_of(call))


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


def call_values(name: str) -> Callable[[Call], list[bytes]]:
    """Return how to get all values of a request header."""
    of_call = REQUEST_LINE.get(name)
    if of_call is not None:
        return lambda call: [of_call(call)]
    key = name.encode()
    if key in REQUEST_HEADERS:

        def joined(call: Call) -> list[bytes]:
            values = [value for header, value in call.headers if header == key]
            return values if len(values) < 2 else [b",".join(filter(None, values))]

        return joined
    return lambda call: [value for header, value in call.headers if header == key]


def scheme_of(call: Call) -> str:
    """Return `:scheme` as Envoy has it: a valid `x-forwarded-proto` beats the listener's own scheme."""
    proto = (call.header(b"x-forwarded-proto") or b"").lower()
    return proto.decode() if proto in (b"http", b"https") else call.scheme


REQUEST_LINE: dict[str, Callable[[Call], bytes]] = {
    ":authority": lambda call: call.authority.encode("latin-1"),
    ":method": lambda call: call.method.encode(),
    ":path": lambda call: call.target.encode("latin-1"),
    ":scheme": lambda call: scheme_of(call).encode(),
    "host": lambda call: call.authority.encode("latin-1"),
}
"""Names that conditions and command operators use like headers."""


def _fraction_condition(fraction: RuntimeFractionalPercent, runtime: Mapping[str, Any], random: Random) -> Condition:
    numerator, denominator = share(fraction, runtime)
    if numerator <= 0:
        return never
    if numerator >= denominator:
        return always
    return lambda call: random_value(call, random) % denominator < numerator


def _is_grpc(call: Call) -> bool:
    return is_grpc(call.header(b"content-type"))


# Cookies.


def cookies_of(call: Call) -> dict[bytes, bytes]:
    """Return the call's cookies; the first of a name counts, and quotes around a value do not."""
    found: dict[bytes, bytes] = {}
    for name, line in call.headers:
        if name == b"cookie":
            for pair in line.split(b";"):
                key, mark, value = pair.strip().partition(b"=")
                if mark:
                    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
                        value = value[1:-1]
                    found.setdefault(key, value)
    return found


def _cookies_condition(matchers: tuple[CookieMatcher, ...]) -> Condition:
    """All must hold; a cookie that is missing fulfils an inverted condition only (verified)."""
    conditions = [(one.name.encode(), compile_string(one.string_match), one.invert_match) for one in matchers]

    def matches(call: Call) -> bool:
        cookies = cookies_of(call)
        return all(
            ((value := cookies.get(name)) is not None and holds(value)) != invert for name, holds, invert in conditions
        )

    return matches


# Query parameters.


def query_parameter(target: str, name: str) -> str | None:
    """Return the first value of a query parameter as it was written, `None` if there is none."""
    for parameter in target.partition("?")[2].split("&"):
        key, _, value = parameter.partition("=")
        if key == name:
            return value
    return None


def compile_query_matchers(matchers: tuple[QueryParameterMatcher, ...]) -> Condition:
    """Compile conditions on query parameters to one function: all must hold."""
    conditions = [(matcher.name, _parameter_condition(matcher)) for matcher in matchers]

    def matches(call: Call) -> bool:
        target = call.target
        return all(condition(query_parameter(target, name)) for name, condition in conditions)

    return matches


def _parameter_condition(matcher: QueryParameterMatcher) -> Callable[[str | None], bool]:
    if matcher.string_match is not None:
        condition = compile_string(matcher.string_match)
        return lambda value: value is not None and condition(value.encode("latin-1"))
    wanted = matcher.present_match is not False
    return lambda value: (value is not None) == wanted
