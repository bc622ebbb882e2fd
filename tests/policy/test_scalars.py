"""Scalars read as Envoy reads them; protobuf's own JSON reader agrees where it reads the same form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from google.protobuf import json_format, message_factory
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.policy import Policy
from ambassador_lib.policy.model.core import FrozenDict
from ambassador_lib.policy.scalars import (
    Unreadable,
    read_bool,
    read_bytes,
    read_duration,
    read_enum,
    read_float,
    read_integer,
    read_string,
)
from ambassador_lib.policy.yaml_nodes import from_file, from_python, plain_scalar

from . import protobuf
from .documents import document

ENUM = {"AUTO": 0, "TLSv1_2": 3}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("y", True), ("N", False), ("Yes", True), ("OFF", False), ("oN", "oN"), ("~", None), ("NULL", None), ("", None),
        ("017", 15), ("0x1F", 31), ("-0x10", -16), ("+5", 5), ("0", 0), ("08", "08"), ("0o17", "0o17"), ("1.5", "1.5"),
        ("1e3", "1e3"), ("1_000", "1_000"), ("9007199254740992", 2**53), ("9007199254740993", "9007199254740993"),
        ("99999999999999999999", "99999999999999999999"), (".inf", ".inf"), ("2020-01-01", "2020-01-01"),
    ],
)  # fmt: skip
def test_plain_scalars(written: str, value: object) -> None:
    """An unquoted scalar is null, a boolean, a C integer that a double holds, or a string."""
    assert plain_scalar(written) == value
    assert type(plain_scalar(written)) is type(value)


@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_durations_keep_their_seconds(seconds: int, nanos: int) -> None:
    """Both forms of a duration give the same float seconds."""
    text = f"{seconds}.{nanos:09d}s"
    parts = from_python({"seconds": seconds, "nanos": nanos}, "").value
    assert math.isclose(read_duration(text), seconds + nanos / 1e9, rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(read_duration(parts), read_duration(text), rel_tol=1e-12, abs_tol=1e-12)


@given(st.integers(-(2**31), 2**31 - 1))
def test_integers_in_every_form_are_the_same(number: int) -> None:
    """A number is the same written as itself, as a string, and with an exponent."""
    for form in (number, str(number), f"{number}.0", f"{number}e0"):
        assert read_integer(form, bits=32, signed=True) == number


@given(st.text(max_size=12))
def test_readers_take_a_string_or_say_why_not(text: str) -> None:
    """Whatever stands in a document, a reader gives a value or `Unreadable`, never another exception."""
    readers: list[Any] = [
        read_string, read_bool, read_float, read_duration, read_bytes,
        lambda value: read_integer(value, bits=64, signed=True), lambda value: read_enum(value, ENUM),
    ]  # fmt: skip
    for reader in readers:
        for value in (text, plain_scalar(text)):
            try:
                reader(value)
            except Unreadable as error:
                assert error.message


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_any_document_loads_or_is_a_policy_error(content: dict[str, str]) -> None:
    """No document makes the loader fail with anything but `PolicyError`, which is a `ValueError`."""
    for form in (content, yaml.safe_dump(content), "".join(content.values())):
        try:
            Policy.parse(form)
        except ValueError as error:
            assert type(error).__name__ == "PolicyError"


def test_enums_by_name_in_any_case_and_by_number() -> None:
    """Enum values are found in any case, also where Envoy's own name is of mixed case."""
    assert [read_enum(value, ENUM) for value in ("tlsv1_2", "TLSV1_2", 3, "3", "auto")] == [
        "TLSv1_2", "TLSv1_2", "TLSv1_2", "TLSv1_2", "AUTO",
    ]  # fmt: skip


def test_positions_and_quotes() -> None:
    """Quoted and block scalars are strings, and every node knows its line and column."""
    node = from_file("a: 'n'\nb:\n  - |\n    5\n  - &x 5\n  - *x\n", "f")
    assert isinstance(node.value, dict)
    assert (node.value["a"].value, node.value["a"].at, node.value["a"].key_at) == ("n", "f:1:4", "f:1:1")
    items = node.value["b"].value
    assert isinstance(items, list)
    assert [(item.value, item.at) for item in items] == [("5\n", "f:3:5"), (5, "f:5:5"), (5, "f:5:5")]


def test_a_parsed_documents_floats_are_what_envoy_makes_of_them() -> None:
    """Floats and dates that another YAML reader made are strings again, as in Envoy."""
    parsed = yaml.safe_load("a: 1.5\nb: 2020-01-01\nc: 12345678901234567")
    value = from_python(parsed, "").value
    assert isinstance(value, dict)
    assert {key: node.value for key, node in value.items()} == {"a": "1.5", "b": "2020-01-01", "c": "12345678901234567"}


def test_a_frozen_dict_is_a_value() -> None:
    """Mappings of the model compare, hash and show like dictionaries."""
    assert FrozenDict({"a": 1}) == {"a": 1} == dict(FrozenDict({"a": 1}))
    assert hash(FrozenDict({"a": 1, "b": 2})) == hash(FrozenDict({"b": 2, "a": 1}))
    assert repr(FrozenDict({"a": 1})) == "{'a': 1}"


@pytest.mark.parametrize(
    "text",
    [
        document(),
        document(
            route="cluster: c, timeout: 1.5s, "
            "retry_policy: {retry_on: 5xx, num_retries: 3, retriable_status_codes: [418]}"
        ),
        document(cluster="outlier_detection: {interval: 3s, consecutive_5xx: 2}, lb_policy: RANDOM, dns_jitter: 0.5s"),
        document(
            match="prefix: /a, case_sensitive: false, "
            "headers: [{name: x, string_match: {prefix: b}, invert_match: true}]"
        ),
        document(action="redirect: {host_redirect: a.test, response_code: FOUND, strip_query: true}"),
        document(on_endpoint="health_status: DRAINING, load_balancing_weight: 3", locality="priority: 0"),
    ],
)
def test_protobufs_own_reader_agrees(text: str) -> None:
    """protobuf's JSON reader gives the same values for every field of the model that mirrors a message."""
    pool = protobuf.pool()
    bootstrap = message_factory.GetMessageClass(pool.FindMessageTypeByName("envoy.config.bootstrap.v3.Bootstrap"))()
    json_format.ParseDict(yaml.safe_load(text), bootstrap, descriptor_pool=pool)
    policy = Policy.parse(text)
    assert_same(policy.clusters[0], bootstrap.static_resources.clusters[0])
    packed = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
    manager = message_factory.GetMessageClass(pool.FindMessageTypeByName(packed.TypeName()))()
    packed.Unpack(manager)
    assert_same(policy.listeners[0].http_connection_manager.route_config, manager.route_config)


def assert_same(model: Any, message: Any) -> None:
    """Compare a model's object with the message that it mirrors."""
    fields = {field.name: field for field in message.DESCRIPTOR.fields}
    for name in type(model).__dataclass_fields__:
        field = fields.get(name)
        if field is None:
            continue
        ours, theirs = getattr(model, name), getattr(message, name)
        if isinstance(ours, tuple):
            assert len(ours) == len(theirs), name
            for mine, other in zip(ours, theirs, strict=True):
                assert_same_value(mine, other, field)
        elif isinstance(ours, Mapping) and field.message_type.GetOptions().map_entry:
            assert set(ours) == set(theirs), name
        elif field.has_presence and not message.HasField(name):
            assert ours is None or not field.message_type, name
        else:
            assert_same_value(ours, theirs, field)


def assert_same_value(ours: Any, theirs: Any, field: Any) -> None:
    if field.enum_type is not None:
        assert ours == field.enum_type.values_by_number[theirs].name
    elif field.message_type is None:
        assert ours == theirs
    elif field.message_type.full_name == "google.protobuf.Duration":
        assert ours == theirs.seconds + theirs.nanos / 1e9
    elif field.message_type.full_name.endswith("Value") and field.message_type.file.package == "google.protobuf":
        assert ours == theirs.value
    elif field.message_type.full_name != "google.protobuf.Any":
        assert_same(ours, theirs)
