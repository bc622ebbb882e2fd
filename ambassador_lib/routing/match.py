"""Conditions of a route, compiled to one function each: path, headers, query parameters, share of traffic.

Source: `envoy.config.route.v3.RouteMatch` and its parts; semantics 1.5 for what the documentation leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..algorithms.grpc_status import is_grpc
from ..call import Call
from ..policy.model.core import RuntimeFractionalPercent
from ..policy.model.route import RouteMatch
from .draws import random_value, share
from .regex import compile_regex
from .request_parts import call_values, cookies_of, query_parameter
from .value_match import compile_string, compile_values

if TYPE_CHECKING:
    from ..policy.model.matcher import HeaderMatcher, QueryParameterMatcher
    from ..policy.model.route import CookieMatcher
    from ..runtime.base import Random

Condition = Callable[[Call], bool]


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


def only_prefix(match: RouteMatch) -> str | None:
    """Return the prefix of a route that asks for that and nothing else, `None` for all others."""
    if match.prefix is None or "?" in match.prefix or match.case_sensitive is False:
        return None
    asks_for_no_more = match == RouteMatch(prefix=match.prefix, case_sensitive=match.case_sensitive)
    return match.prefix if asks_for_no_more else None


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


# Headers, cookies and query parameters.


def compile_header_matcher(matcher: HeaderMatcher) -> Condition:
    """Compile a condition on the call's request headers; pseudo-headers (`:path`, ...) may be named, too."""
    values_of = call_values(matcher.name.lower())
    holds = compile_values(matcher)
    return lambda call: holds(values_of(call))


def _fraction_condition(fraction: RuntimeFractionalPercent, runtime: Mapping[str, Any], random: Random) -> Condition:
    numerator, denominator = share(fraction, runtime)
    if numerator <= 0:
        return never
    if numerator >= denominator:
        return always
    return lambda call: random_value(call, random) % denominator < numerator


def _is_grpc(call: Call) -> bool:
    return is_grpc(call.header(b"content-type"))


def _cookies_condition(matchers: tuple[CookieMatcher, ...]) -> Condition:
    """All must hold; a cookie that is missing fulfils an inverted condition only (verified)."""
    conditions = [(one.name.encode(), compile_string(one.string_match), one.invert_match) for one in matchers]

    def matches(call: Call) -> bool:
        cookies = cookies_of(call)
        return all(
            ((value := cookies.get(name)) is not None and holds(value)) != invert for name, holds, invert in conditions
        )

    return matches


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
