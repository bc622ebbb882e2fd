"""The command operators of header values, `%NAME(argument):length%`: parsed and checked here, rendered elsewhere.

Pure text work, so that the loader can refuse a bad value with its place and `routing/format.py` can compile a good
one. Source: Envoy, "Access logging: command operators", which header formatters share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPERATOR = re.compile(r"%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%")
_HEADER_NAME = re.compile(r":?[!#$&'*+.^_`|~0-9A-Za-z-]+")

_NO_ARGUMENT = frozenset((
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "HOSTNAME", "PROTOCOL", "RESPONSE_CODE", "RESPONSE_FLAGS", "ROUTE_NAME",
    "STREAM_ID", "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW", "UPSTREAM_HOST", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
))  # fmt: skip
_HEADER_ARGUMENT = frozenset(("REQ", "RESP"))
_NAMED_ARGUMENT = frozenset(("ENVIRONMENT", "QUERY_PARAM"))
_OPTIONAL_ARGUMENT = frozenset(("PATH", "RESPONSE_CODE_DETAILS", "START_TIME"))
OPERATORS = _NO_ARGUMENT | _HEADER_ARGUMENT | _NAMED_ARGUMENT | _OPTIONAL_ARGUMENT
"""All operators that a header value may hold."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One command operator; `length` cuts what it renders to."""

    name: str
    argument: str | None = None
    length: int | None = None

    def alternatives(self) -> tuple[str, ...]:
        """Return the header names of `REQ(a?b)` in the order in which they are tried, lower case."""
        return tuple(name.lower() for name in (self.argument or "").split("?") if name)


def parse(value: str) -> tuple[str | Operator, ...]:
    """Split a header value into literal text and operators; `ValueError` says what is wrong with it."""
    parts: list[str | Operator] = []
    literal = ""
    position = 0
    while position < len(value):
        at = value.find("%", position)
        if at < 0:
            literal += value[position:]
            break
        literal += value[position:at]
        if value.startswith("%%", at):
            literal += "%"
            position = at + 2
            continue
        found = _OPERATOR.match(value, at)
        if found is None:
            raise ValueError(f"no command operator at position {at} of {value!r} (a plain percent sign is written %%)")
        if literal:
            parts.append(literal)
            literal = ""
        name, argument, length = found.groups()
        parts.append(_checked(Operator(name, argument, None if length is None else int(length))))
        position = found.end()
    if literal:
        parts.append(literal)
    return tuple(parts)


def check(value: str) -> str | None:
    """Return what is wrong with a header value, `None` if nothing is."""
    try:
        parse(value)
    except ValueError as error:
        return str(error)
    return None


def _checked(operator: Operator) -> Operator:
    name, argument = operator.name, operator.argument
    if name not in OPERATORS:
        raise ValueError(f"command operator {name} is unknown or not supported in headers")
    if name in _NO_ARGUMENT and (argument is not None or operator.length is not None):
        raise ValueError(f"command operator {name} takes no argument and no length")
    if name in _HEADER_ARGUMENT | _NAMED_ARGUMENT and not argument:
        raise ValueError(f"command operator {name} needs an argument")
    if name in ("START_TIME", "RESPONSE_CODE_DETAILS") and operator.length is not None:
        raise ValueError(f"command operator {name} takes no length")
    if name in _HEADER_ARGUMENT:
        _check_header_names(operator)
    if name == "PATH":
        _check_path_options(argument)
    return operator


def _check_header_names(operator: Operator) -> None:
    names = operator.alternatives()
    if len(names) > 2:
        raise ValueError(f"command operator {operator.name} takes one alternative header, not {operator.argument!r}")
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"command operator {operator.name}: {name!r} is not a header name")


def _check_path_options(argument: str | None) -> None:
    options = (argument or "").split(":")
    if options[0] not in ("", "WQ", "NQ"):
        raise ValueError(f"command operator PATH: {options[0]!r} is neither WQ nor NQ")
    if len(options) > 2 or options[1:] not in ([], ["ORIG"], ["PATH"], ["ORIG_OR_PATH"]):
        raise ValueError(f"command operator PATH: {argument!r} names none of ORIG, PATH, ORIG_OR_PATH")
