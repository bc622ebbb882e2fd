"""Scalars of a policy written in Python: the types of the model, with the ranges and names of Envoy's schema."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import timedelta

from .descriptors import Field
from .scalars import INTEGERS, LONGEST_DURATION, Unreadable, nearest, read_duration, read_integer

_TYPES: dict[str, type] = {"bool": bool, "string": str, "bytes": bytes, "double": float, "float": float}
_WORDS: dict[type, str] = {str: "a string", bytes: "bytes", bool: "True or False", int: "a whole number"}


def described(value: object) -> str:
    """Name what was given, for messages."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    name = type(value).__qualname__
    if dataclasses.is_dataclass(value):
        return name
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def read_value(given: object, field: Field) -> object:
    """Return a scalar for a field of Envoy's, or raise `Unreadable`."""
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Duration":
        return _seconds(given)
    wrapped = field.message_type is not None and "value" in field.message_type.fields_by_name
    of = field.message_type.fields_by_name["value"] if wrapped and field.message_type is not None else field
    if of.enum_type is not None:
        numbers = of.enum_type.numbers
        if isinstance(given, str) and given in numbers:
            return given
        name = given.upper() if isinstance(given, str) else ""
        raise Unreadable(f"no such value {described(given)}", nearest(name, numbers))
    if of.kind in INTEGERS:
        bits, signed = INTEGERS[of.kind]
        return read_integer(read_plain(given, int), bits=bits, signed=signed)
    return read_plain(given, _TYPES[of.kind])


def read_plain(given: object, wanted: object) -> object:
    """Return a scalar of the wanted type, or raise `Unreadable`."""
    if wanted is float:
        return _number(given)
    if isinstance(wanted, type) and isinstance(given, wanted) and (wanted is bool or not isinstance(given, bool)):
        return given
    words = _WORDS[wanted] if isinstance(wanted, type) else str(wanted)
    raise Unreadable(f"expected {words}, not {described(given)}", _help(given, wanted))


def _help(given: object, wanted: object) -> str:
    if wanted is str and isinstance(given, (list, tuple)) and given and all(isinstance(item, str) for item in given):
        return f'write "{",".join(given)}"'
    if wanted is str and isinstance(given, (int, float)) and not isinstance(given, bool):
        return f'write "{given}"'
    if wanted is int and isinstance(given, str) and given.strip().lstrip("-").isdigit():
        return f"write {given.strip()}"
    return ""


def _number(given: object) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return float(given)
    hint = ""
    if isinstance(given, timedelta):
        hint = f"seconds as a number: {given.total_seconds():g}"
    elif isinstance(given, str):
        hint = _as_seconds(given)
    raise Unreadable(f"expected a number, not {described(given)}", hint)


def _as_seconds(text: str) -> str:
    try:
        return f"seconds as a number: {read_duration(text):g}"
    except Unreadable:
        pass
    try:
        return f"write {float(text):g}"
    except ValueError:
        return ""


def _seconds(given: object) -> float:
    try:
        number = _number(given)
    except Unreadable as error:
        hint = error.hint if error.hint.startswith("seconds") else "seconds as a number, such as 0.25"
        raise Unreadable(error.message, hint) from None
    if not math.isfinite(number) or number < 0:
        raise Unreadable(f"{number:g} is not a duration", "seconds as a number, such as 0.25")
    if number > LONGEST_DURATION:
        raise Unreadable(f"{number:g} s is longer than Envoy's longest duration")
    return number
