"""The validation rules that Envoy's protos carry (`validate.rules`), applied to a walked message.

As in Envoy, a rule on a field without presence also holds for its default, so `min_len: 1` makes a string required;
rules on wrapped values, messages and members of a oneof hold only where the field is set.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Protocol

from .descriptors import Field, Message
from .parsed import ParsedMessage, Place, Value

_HEADER_RULES = {
    # By the number of the rule, names then values: strict and lenient.
    1: (r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+", r"[^\x00\n\r]+"),
    2: (r"[^\x00-\x08\x0a-\x1f\x7f]*", r"[^\x00\n\r]*"),
}
_NUMBERS = frozenset({"float", "double", "int32", "int64", "uint32", "uint64", "duration"})

_COMPARISONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "const": ("equal to", operator.eq),
    "lt": ("less than", operator.lt),
    "lte": ("at most", operator.le),
    "gt": ("greater than", operator.gt),
    "gte": ("at least", operator.ge),
}

_RULES_OF_OLD = frozenset({"envoy.type.v3.TokenBucket.max_tokens"})
"""Fields whose rules Envoy 1.40 has let go of: an empty bucket, which the published protos refuse, is taken."""


class Report(Protocol):
    """Takes a fault of a message."""

    def __call__(self, parsed: ParsedMessage, place: Place, message: str, hint: str = "", /) -> None:
        """Note the fault."""


def check_rules(descriptor: Message, parsed: ParsedMessage, report: Report) -> None:
    """Report every rule of the message's own fields that does not hold."""
    for field in descriptor.ruled:
        rules = field.rules
        value = parsed.fields.get(field.name)
        if (value is not None and value.broken) or field.full_name in _RULES_OF_OLD:
            continue
        if value is None and field.oneof is None and _is_required(rules):
            report(parsed, parsed.place.field(field.name), "required field is missing")
            continue
        if value is None and field.has_presence:
            continue
        given = value or Value(() if field.is_repeated else field.zero, parsed.place.field(field.name))
        for place, message in _field_faults(field, rules, given):
            if value is None:
                report(parsed, place, f"required field is missing ({message})")
            else:
                report(parsed, place, message)


def check_oneofs(
    descriptor: Message, parsed: ParsedMessage, report: Report, *, only: Container[str] | None = None
) -> None:
    """Report oneofs of which two members are set, or none although one must be; `only`: the members to think of."""
    for oneof in descriptor.oneofs:
        given = [field.name for field in oneof.fields if field.name in parsed.fields]
        if len(given) > 1:
            place = parsed.fields[given[-1]].place
            report(parsed, place, f"{' and '.join(given)} exclude one another ({oneof.name})", "keep one of them")
        if given and only is None:
            continue
        members = [field.name for field in oneof.fields if only is None or field.name in only]
        if oneof.is_required and members and not any(name in parsed.fields for name in members):
            report(parsed, parsed.place, f"{descriptor.name} needs a {oneof.name}", f"one of {', '.join(members)}")


def _is_required(rules: Any) -> bool:
    return any(rules[kind].get("required") for kind in ("message", "duration", "any", "timestamp") if kind in rules)


def _kind(rules: Any) -> str:
    """Return of what type of field the rules are; `message` stands beside the others."""
    return next((kind for kind in rules if kind != "message"), "")


def _field_faults(field: Field, rules: Any, value: Value) -> Iterable[tuple[Place, str]]:
    kind = _kind(rules)
    if kind == "repeated":
        yield from _repeated_faults(field, rules["repeated"], value)
    elif kind == "map":
        yield from _map_faults(rules["map"], value)
    else:
        for message in _scalar_faults(field, kind, rules.get(kind, {}), value.value):
            yield value.place, message


def _repeated_faults(field: Field, rules: Any, value: Value) -> Iterable[tuple[Place, str]]:
    items: tuple[Value, ...] = value.value
    if rules.get("ignore_empty") and not items:
        return
    if len(items) < rules.get("min_items", 0):
        yield value.place, f"needs at least {_count(rules['min_items'], 'item')}"
    if len(items) > rules.get("max_items", math.inf):
        yield value.place, f"takes at most {_count(rules['max_items'], 'item')}"
    if rules.get("unique"):
        bare = [item.value for item in items]
        for index, item in enumerate(items):
            if item.value in bare[:index]:
                yield item.place, f"{item.value!r} stands here twice"
    if "items" in rules:
        for item in items:
            if not item.broken:
                yield from _field_faults(field, rules["items"], item)


def _map_faults(rules: Any, value: Value) -> Iterable[tuple[Place, str]]:
    entries = value.value or {}
    if len(entries) < rules.get("min_pairs", 0):
        yield value.place, f"needs at least {_count(rules['min_pairs'], 'entry')}"
    for key, item in entries.items():
        if "keys" in rules:
            for message in _string_faults(rules["keys"]["string"], key):
                yield item.place, f"key {key!r}: {message}"


def _scalar_faults(field: Field, kind: str, rules: Any, value: Any) -> Iterable[str]:
    if kind in _NUMBERS:
        return _number_faults(rules, value, kind)
    if kind == "string":
        return _string_faults(rules, value)
    if kind == "bytes":
        return _length_faults(rules, len(value), "bytes", "min_len", "max_len")
    if kind == "enum" and field.enum_type is not None:
        return _enum_faults(field.enum_type.numbers, rules, value)
    if kind == "bool" and rules.get("const", value) is not value:
        return (f"must be {str(rules['const']).lower()}",)
    return ()


def _number_faults(rules: Any, value: float, kind: str) -> Iterable[str]:
    def bound(limit: Any) -> Any:
        return limit.get("seconds", 0) + limit.get("nanos", 0) / 1e9 if kind == "duration" else limit

    def shown(limit: Any) -> str:
        return f"{bound(limit):g}s" if kind == "duration" else f"{limit:g}" if isinstance(limit, float) else str(limit)

    for name, (words, holds) in _COMPARISONS.items():
        if name in rules and not holds(value, bound(rules[name])):
            yield f"must be {words} {shown(rules[name])}"
    allowed = [bound(limit) for limit in rules.get("in", ())]
    if allowed and value not in allowed:
        yield f"must be one of {', '.join(map(str, allowed))}"
    if value in [bound(limit) for limit in rules.get("not_in", ())]:
        yield f"must not be {value}"


def _length_faults(rules: Any, length: int, unit: str, least: str, most: str) -> Iterable[str]:
    minimum = rules.get(least, 0)
    if length < minimum:
        yield "must not be empty" if minimum == 1 else f"must have at least {minimum} {unit}"
    if length > rules.get(most, math.inf):
        yield f"must have at most {rules[most]} {unit}"


def _string_faults(rules: Any, value: str) -> Iterable[str]:
    if rules.get("ignore_empty") and not value:
        return
    yield from _length_faults(rules, len(value), "characters", "min_len", "max_len")
    yield from _length_faults(rules, len(value.encode()), "bytes", "min_bytes", "max_bytes")
    if value != rules.get("const", value):
        yield f"must be {rules['const']!r}"
    if not value.startswith(rules.get("prefix", "")):
        yield f"must begin with {rules['prefix']!r}"
    if not value.endswith(rules.get("suffix", "")):
        yield f"must end with {rules['suffix']!r}"
    if "pattern" in rules and not re.search(rules["pattern"].replace(r"\z", r"\Z"), value):
        yield f"must match {rules['pattern']}"
    allowed = rules.get("in", ())
    if allowed and value not in allowed:
        yield f"must be one of {', '.join(allowed)}"
    if value in rules.get("not_in", ()):
        yield f"must not be {value!r}"
    if value and "well_known_regex" in rules:
        strict, lenient = _HEADER_RULES[rules["well_known_regex"]]
        if not re.fullmatch(strict if rules.get("strict", True) else lenient, value):
            yield f"{value!r} is not a valid header {'name' if rules['well_known_regex'] == 1 else 'value'}"


def _enum_faults(numbers: Mapping[str, int], rules: Any, value: str) -> Iterable[str]:
    names = {number: name for name, number in numbers.items()}
    if numbers[value] != rules.get("const", numbers[value]):
        yield f"must be {names[rules['const']]}"
    allowed = [names[number] for number in rules.get("in", ())]
    if allowed and value not in allowed:
        yield f"must be one of {', '.join(allowed)}"
    if numbers[value] in rules.get("not_in", ()):
        yield f"must not be {value}"


def _count(number: int, noun: str) -> str:
    plural = {"item": "items", "entry": "entries"}
    return f"{number} {noun if number == 1 else plural[noun]}"
