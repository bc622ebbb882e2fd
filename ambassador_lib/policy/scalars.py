"""Scalars as Envoy reads them: from a node's value to the value of a protobuf field (semantics 0).

Each function takes the value that the YAML reader made and returns Python's, or raises `Unreadable`.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from . import alike
from .model.core import FrozenDict
from .yaml_nodes import Node

_DURATION = re.compile(r"([0-9]+)(?:\.([0-9]{1,9}))?s")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]{1,16}")
_OTHER_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|m|min|h|d)?")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TRUE = dict.fromkeys(("true", "t", "yes", "y", "1"), True)
_FALSE = dict.fromkeys(("false", "f", "no", "n", "0"), False)
INTEGERS = {"int32": (32, True), "uint32": (32, False), "int64": (64, True), "uint64": (64, False)}
"""Bits and sign of whole numbers."""
LONGEST_DURATION = 2**63 // 10**9 - 1  # Envoy counts nanoseconds in 64 bits


class Unreadable(Exception):  # noqa: N818 - turned into a fault by the walk
    """The value does not fit the field's type."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def kind(value: object) -> str:
    """Name what stands in the document, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int):
        return f"the number {value}"
    if isinstance(value, str):
        return f"{value!r}"
    return "a list" if isinstance(value, list) else "a mapping"


def read_string(value: object) -> str:
    """Read a string; an unquoted number or boolean is none, although Envoy's reader leaves floats as strings."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        hint = "quote it: unquoted y, n, yes, no, on, off, true and false are booleans"
        raise Unreadable(f"expected a string, not {kind(value)}", hint)
    if isinstance(value, int):
        raise Unreadable(f"expected a string, not {kind(value)}", f'write "{value}"')
    raise Unreadable(f"expected a string, not {kind(value)}")


def read_bytes(value: object) -> bytes:
    """Read base64, standard or URL-safe."""
    text = read_string(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise Unreadable("expected base64") from None


def read_bool(value: object) -> bool:
    """Read a boolean; strings that say one pass too."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (found := (_TRUE | _FALSE).get(value.lower())) is not None:
        return found
    raise Unreadable(f"expected true or false, not {kind(value)}")


def read_integer(value: object, *, bits: int, signed: bool) -> int:
    """Read an integer; `"80"`, `80.0` and `8e1` pass, `80.5` does not."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        number = _whole(value)
    if number is None:
        raise Unreadable(f"expected a whole number, not {kind(value)}")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if not low <= number <= high:
        raise Unreadable(f"{number} is out of range", f"between {low} and {high}")
    return number


def _whole(text: str) -> int | None:
    if re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        return int(text)
    try:
        number = read_float(text)
    except Unreadable:
        return None
    return int(number) if number.is_integer() else None


def read_float(value: object) -> float:
    """Read a double."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(str(value))
    number = math.inf
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = float(value)
    elif isinstance(value, str) and _HEXADECIMAL.fullmatch(value):
        number = float(int(value, 16))
    if not math.isfinite(number):
        raise Unreadable(f"expected a number, not {kind(value)}")
    return number


def read_enum(value: object, numbers: Mapping[str, int]) -> str:
    """Read an enum value by its name in any case, or by its number."""
    if isinstance(value, str):
        if value in numbers:
            return value
        found = {name.lower(): name for name in numbers}.get(value.lower())
        if found is not None:
            return found
        if not re.fullmatch(r"-?[0-9]+", value):
            raise Unreadable(f"no such value {value!r}", nearest(value.upper(), numbers))
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        for name, number in numbers.items():
            if number == value:
                return name
        raise Unreadable(f"no value has the number {value}", nearest("", numbers))
    raise Unreadable(f"expected the name of a value, not {kind(value)}", nearest("", numbers))


def nearest(name: str, numbers: Iterable[str]) -> str:
    """Return the help that names the value most alike, or all."""
    numbers = list(numbers)
    near = alike.nearest(name, numbers)
    return f"did you mean {near}?" if near else "one of " + ", ".join(numbers)


def read_duration(value: object) -> float:
    """Read seconds: `0.25s`, or `{seconds: 1, nanos: 0}`."""
    if isinstance(value, dict):
        return _duration_of_parts(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Unreadable(f"{_shown(value)} is not a duration", _duration_help(value))
    if int(found[1]) > LONGEST_DURATION:
        raise Unreadable(f"{value} is longer than Envoy's longest duration")
    return float(f"{found[1]}.{found[2] or 0}")


def _duration_of_parts(parts: Mapping[str, Node]) -> float:
    unknown = set(parts) - {"seconds", "nanos"}
    if unknown:
        raise Unreadable(f"a duration has no field {min(unknown)!r}", "write 1s, or {seconds: 1, nanos: 0}")
    given = {name: node.value for name, node in parts.items() if node.value is not None}
    seconds = read_integer(given.get("seconds", 0), bits=64, signed=True)
    nanos = read_integer(given.get("nanos", 0), bits=32, signed=True)
    if seconds < 0 or not 0 <= nanos < 10**9 or seconds > LONGEST_DURATION:
        raise Unreadable("out of range for a duration")
    return seconds + nanos / 1e9


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value else kind(value)


def _duration_help(value: object) -> str:
    form = 'a duration is decimal seconds followed by "s"'
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return f"{form}, such as 0.25s"
    found = _OTHER_UNIT.fullmatch(str(value))
    if found is None:
        return f"{form}, such as 0.25s"
    seconds = float(found[1]) * _SECONDS.get(found[2] or "", 1.0)
    text = f"{seconds:.9f}".rstrip("0").rstrip(".")
    return f"write {text}s: {form}"


def read_struct(node: Node) -> Any:
    """Read free-form data (`google.protobuf.Value`): floats stay strings there, as in Envoy."""
    if isinstance(node.value, dict):
        return FrozenDict({key: read_struct(item) for key, item in node.value.items()})
    if isinstance(node.value, list):
        return tuple(read_struct(item) for item in node.value)
    return node.value
