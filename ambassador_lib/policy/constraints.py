"""The validation rules that Envoy's protos carry (`validate.rules`), applied to a walked message.

As in Envoy, a rule on a field without presence also holds for its default, so `min_len: 1` makes a string required;
rules on wrapped values, messages and members of a oneof hold only where the field is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .parsed import ParsedMessage, Place, Value
from .schema import Schema, is_repeated

_HEADER_RULES = {
    # By the number of the rule, names then values: strict and lenient.
    1: (r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+", r"[^\x00\n\r]+"),
    2: (r"[^\x00-\x08\x0a-\x1f\x7f]*", r"[^\x00\n\r]*"),
}
_NUMBERS = frozenset({"float", "double", "int32", "int64", "uint32", "uint64", "duration"})

_RULES_OF_OLD = frozenset({"envoy.type.v3.TokenBucket.max_tokens"})
"""Fields whose rules Envoy 1.40 has let go of: an empty bucket, which the published protos refuse, is taken."""


class Report(Protocol):
    """Takes a fault of a message."""

    def __call__(self, parsed: ParsedMessage, place: Place, message: str, hint: str = "", /) -> None:
        """Note the fault."""


def check_rules(schema: Schema, descriptor: Descriptor, parsed: ParsedMessage, report: Report) -> None:
    """Report every rule of the message's own fields that does not hold."""
    for field, rules in schema.rules(descriptor):
        value = parsed.fields.get(field.name)
        if (value is not None and value.broken) or field.full_name in _RULES_OF_OLD:
            continue
        if value is None and field.containing_oneof is None and _is_required(rules):
            report(parsed, parsed.place.field(field.name), "required field is missing")
            continue
        if value is None and field.has_presence:
            continue
        given = value or Value(_unset(field), parsed.place.field(field.name))
        for place, message in _field_faults(schema, field, rules, given):
            if value is None:
                report(parsed, place, f"required field is missing ({message})")
            else:
                report(parsed, place, message)


def check_oneofs(
    schema: Schema, descriptor: Descriptor, parsed: ParsedMessage, report: Report, *, only: Container[str] | None = None
) -> None:
    """Report oneofs of which two members are set, or none although one must be; `only`: the members to think of."""
    for oneof in descriptor.oneofs:
        given = [field.name for field in oneof.fields if field.name in parsed.fields]
        if len(given) > 1:
            place = parsed.fields[given[-1]].place
            report(parsed, place, f"{' and '.join(given)} exclude one another ({oneof.name})", "keep one of them")
    for oneof in schema.required_oneofs(descriptor):
        members = [field.name for field in oneof.fields if only is None or field.name in only]
        if members and not any(name in parsed.fields for name in members):
            report(parsed, parsed.place, f"{descriptor.name} needs a {oneof.name}", f"one of {', '.join(members)}")


def _is_required(rules: Any) -> bool:
    kind = rules.WhichOneof("type")
    required = rules.message.required
    return bool(required or (kind in ("duration", "any", "timestamp") and getattr(rules, kind).required))


def _unset(field: FieldDescriptor) -> Any:
    if is_repeated(field):
        return ()
    return field.enum_type.values[0].name if field.enum_type is not None else field.default_value


def _field_faults(schema: Schema, field: FieldDescriptor, rules: Any, value: Value) -> Iterable[tuple[Place, str]]:
    kind = rules.WhichOneof("type")
    if kind == "repeated":
        yield from _repeated_faults(schema, field, rules.repeated, value)
    elif kind == "map":
        yield from _map_faults(rules.map, value)
    else:
        for message in _scalar_faults(schema, field, kind, rules, value.value):
            yield value.place, message


def _repeated_faults(schema: Schema, field: FieldDescriptor, rules: Any, value: Value) -> Iterable[tuple[Place, str]]:
    items: tuple[Value, ...] = value.value
    if rules.ignore_empty and not items:
        return
    if rules.HasField("min_items") and len(items) < rules.min_items:
        yield value.place, f"needs at least {_count(rules.min_items, 'item')}"
    if rules.HasField("max_items") and len(items) > rules.max_items:
        yield value.place, f"takes at most {_count(rules.max_items, 'item')}"
    if rules.unique:
        bare = [item.value for item in items]
        for index, item in enumerate(items):
            if item.value in bare[:index]:
                yield item.place, f"{item.value!r} stands here twice"
    if rules.HasField("items"):
        for item in items:
            if not item.broken:
                yield from _field_faults(schema, field, rules.items, item)


def _map_faults(rules: Any, value: Value) -> Iterable[tuple[Place, str]]:
    entries = value.value or {}
    if rules.HasField("min_pairs") and len(entries) < rules.min_pairs:
        yield value.place, f"needs at least {_count(rules.min_pairs, 'entry')}"
    for key, item in entries.items():
        if rules.HasField("keys"):
            for message in _string_faults(rules.keys.string, key):
                yield item.place, f"key {key!r}: {message}"


def _scalar_faults(schema: Schema, field: FieldDescriptor, kind: str | None, rules: Any, value: Any) -> Iterable[str]:
    if kind in _NUMBERS:
        return _number_faults(getattr(rules, kind), value, kind)
    if kind == "string":
        return _string_faults(rules.string, value)
    if kind == "bytes":
        return _length_faults(rules.bytes, len(value), "bytes", "min_len", "max_len")
    if kind == "enum":
        return _enum_faults(schema.values(field), rules.enum, value)
    if kind == "bool" and rules.bool.HasField("const") and value is not rules.bool.const:
        return (f"must be {str(rules.bool.const).lower()}",)
    return ()


def _number_faults(rules: Any, value: float, kind: str) -> Iterable[str]:
    def bound(limit: Any) -> Any:
        return limit.seconds + limit.nanos / 1e9 if kind == "duration" else limit

    def shown(limit: Any) -> str:
        return f"{bound(limit):g}s" if kind == "duration" else f"{limit:g}" if isinstance(limit, float) else str(limit)

    comparisons: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
        ("const", "equal to", lambda limit: value == limit),
        ("lt", "less than", lambda limit: value < limit),
        ("lte", "at most", lambda limit: value <= limit),
        ("gt", "greater than", lambda limit: value > limit),
        ("gte", "at least", lambda limit: value >= limit),
    )
    for name, words, holds in comparisons:
        if rules.HasField(name):
            limit = getattr(rules, name)
            if not holds(bound(limit)):
                yield f"must be {words} {shown(limit)}"
    allowed = [bound(limit) for limit in getattr(rules, "in")]
    if allowed and value not in allowed:
        yield f"must be one of {', '.join(map(str, allowed))}"
    if value in [bound(limit) for limit in rules.not_in]:
        yield f"must not be {value}"


def _length_faults(rules: Any, length: int, unit: str, least: str, most: str) -> Iterable[str]:
    if rules.HasField(least) and length < getattr(rules, least):
        minimum = getattr(rules, least)
        yield "must not be empty" if minimum == 1 else f"must have at least {minimum} {unit}"
    if rules.HasField(most) and length > getattr(rules, most):
        yield f"must have at most {getattr(rules, most)} {unit}"


def _string_faults(rules: Any, value: str) -> Iterable[str]:
    if rules.ignore_empty and not value:
        return
    yield from _length_faults(rules, len(value), "characters", "min_len", "max_len")
    yield from _length_faults(rules, len(value.encode()), "bytes", "min_bytes", "max_bytes")
    if rules.HasField("const") and value != rules.const:
        yield f"must be {rules.const!r}"
    if rules.HasField("prefix") and not value.startswith(rules.prefix):
        yield f"must begin with {rules.prefix!r}"
    if rules.HasField("suffix") and not value.endswith(rules.suffix):
        yield f"must end with {rules.suffix!r}"
    if rules.HasField("pattern") and not re.search(rules.pattern.replace(r"\z", r"\Z"), value):
        yield f"must match {rules.pattern}"
    allowed = list(getattr(rules, "in"))
    if allowed and value not in allowed:
        yield f"must be one of {', '.join(allowed)}"
    if value in list(rules.not_in):
        yield f"must not be {value!r}"
    if value and rules.WhichOneof("well_known") == "well_known_regex":
        strict, lenient = _HEADER_RULES[rules.well_known_regex]
        if not re.fullmatch(strict if rules.strict else lenient, value):
            yield f"{value!r} is not a valid header {'name' if rules.well_known_regex == 1 else 'value'}"


def _enum_faults(numbers: Mapping[str, int], rules: Any, value: str) -> Iterable[str]:
    names = {number: name for name, number in numbers.items()}
    if rules.HasField("const") and numbers[value] != rules.const:
        yield f"must be {names[rules.const]}"
    allowed = [names[number] for number in getattr(rules, "in")]
    if allowed and value not in allowed:
        yield f"must be one of {', '.join(allowed)}"
    if numbers[value] in list(rules.not_in):
        yield f"must not be {value}"


def _count(number: int, noun: str) -> str:
    plural = {"item": "items", "entry": "entries"}
    return f"{number} {noun if number == 1 else plural[noun]}"
