"""Envoy's schema travels with the package and stays out of everybody else's way."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from ambassador_lib.policy.descriptors import Field
from ambassador_lib.policy.schema import DESCRIPTOR_SET, envoy
from ambassador_lib.policy.schema_newer import NEWER

from . import protobuf

KINDS = dict(
    enumerate(("", "int32", "int64", "uint32", "uint64", "double", "float", "bool", "enum", "string", "message"))
)
"""By protobuf's `cpp_type`."""


def test_the_descriptor_set_is_in_the_package() -> None:
    """The set is a file of the package, and small."""
    packed = resources.files("ambassador_lib.policy").joinpath(DESCRIPTOR_SET)
    assert 10_000 < len(packed.read_bytes()) < 200_000


@pytest.mark.parametrize(
    "name",
    [
        "envoy.config.bootstrap.v3.Bootstrap",
        "envoy.extensions.filters.http.fault.v3.HTTPFault",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "envoy.config.trace.v3.ZipkinConfig",
    ],
)
def test_the_schema_knows_what_an_any_may_hold(name: str) -> None:
    """Extensions that are not supported are in the set as well, to be told apart from what does not exist."""
    found = envoy().find(name)
    assert found is not None
    assert found.full_name == name


def test_the_rules_in_the_options_are_read() -> None:
    """The validation rules of a field are there by name; enums and durations are numbers and their parts."""
    cluster = envoy().find("envoy.config.cluster.v3.Cluster")
    assert cluster is not None
    rules = {field.name: field.rules for field in cluster.fields}
    assert rules["connect_timeout"] == {"duration": {"gt": {}}}
    assert rules["name"] == {"string": {"min_len": 1}}
    assert rules["lb_policy"] == {"enum": {"defined_only": True}}
    assert rules["alt_stat_name"] == {}


def test_what_is_newer_than_the_set_is_added() -> None:
    """A message and a field that the published protos lack are found, by both spellings, with their rules."""
    schema = envoy()
    match, cookie = schema.find("envoy.config.route.v3.RouteMatch"), schema.find("envoy.config.route.v3.CookieMatcher")
    assert match is not None and cookie is not None
    assert match.by_either_name["cookies"].message_type is cookie
    assert cookie.by_either_name["stringMatch"] is cookie.fields_by_name["string_match"]
    assert cookie.fields_by_name["name"].rules == {"string": {"min_len": 1}}
    assert cookie.full_name in schema.names


def test_what_is_not_there_is_not_found() -> None:
    """Names of nothing, of packages and of what would be nested are nobody's."""
    for name in ("", "envoy", "Cluster", "envoy.config.cluster.v3", "envoy.config.cluster.v3.Cluster.Nobody", "a.b.c"):
        assert envoy().find(name) is None, name
    assert envoy().nearest("envoy.config.cluster.v3.Clusters") == "envoy.config.cluster.v3.Cluster"


@pytest.mark.parametrize("file", protobuf.files(), ids=lambda file: file.name)
def test_protobuf_reads_the_same(file: FileDescriptorProto) -> None:
    """Every message of the set, nested ones too, has the fields, types and rules that protobuf's own runtime finds."""
    if file.syntax != "proto3":
        return
    waiting = list(protobuf.pool().FindFileByName(file.name).message_types_by_name.values())
    while waiting:
        theirs = waiting.pop()
        waiting += theirs.nested_types
        ours = envoy().find(theirs.full_name)
        assert ours is not None
        newer = {field.name for field in NEWER.get(theirs.full_name, ())}
        fields = [field for field in ours.fields if field.name not in newer]
        assert [as_it_is(field) for field in fields] == [as_it_is_to_protobuf(field) for field in theirs.fields]
        assert ours.is_map_entry == theirs.GetOptions().map_entry
        assert [(oneof.name, [field.name for field in oneof.fields], oneof.is_required) for oneof in ours.oneofs] == [
            (oneof.name, [field.name for field in oneof.fields], protobuf.is_required(oneof)) for oneof in theirs.oneofs
        ]


def as_it_is(field: Field) -> dict[str, Any]:
    return {
        "names": (field.name, field.json_name, field.full_name),
        "kind": field.kind,
        "message": None if field.message_type is None else field.message_type.full_name,
        "enum": None if field.enum_type is None else (field.enum_type.full_name, list(field.enum_type.numbers.items())),
        "oneof": None if field.oneof is None else field.oneof.name,
        "presence": field.has_presence,
        "repeated": field.is_repeated,
        "zero": field.zero,
        "rules": field.rules,
    }


def as_it_is_to_protobuf(field: Any) -> dict[str, Any]:
    enum = field.enum_type
    values = None if enum is None else [(value.name, value.number) for value in enum.values]
    repeated = is_repeated(field)
    kind = KINDS[field.cpp_type]
    zeros = {"message": None, "string": "", "bool": False, "double": 0.0, "float": 0.0}
    return {
        "names": (field.name, field.json_name, field.full_name),
        "kind": "bytes" if field.type == field.TYPE_BYTES else kind,
        "message": None if field.message_type is None else field.message_type.full_name,
        "enum": None if enum is None or values is None else (enum.full_name, values),
        "oneof": None if field.containing_oneof is None else field.containing_oneof.name,
        "presence": field.has_presence,
        "repeated": repeated,
        "zero": values[0][0]
        if values
        else field.default_value
        if not repeated and kind != "message"
        else zeros.get(kind, 0),
        "rules": protobuf.rules(field),
    }


def is_repeated(field: Any) -> bool:
    """protobuf 6 has the property, protobuf 7 no longer has `label`."""
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)


def test_protobufs_runtime_is_not_imported() -> None:
    """Loading a policy needs none of protobuf, so no version of it, and no other copy of Envoy's protos, can clash."""
    code = (
        "import sys; from ambassador_lib.policy import Policy; Policy.parse('{}');"
        "print([name for name in sys.modules if name.startswith('google')])"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.strip() == "[]"


READ_ONCE_AND_AGAIN = """
import gc, weakref
from ambassador_lib.policy import Policy, schema
document = {"static_resources": {"clusters": [{"name": "c", "type": "EDS", "eds_cluster_config": {"eds_config": {
    "path_config_source": {"path": "/dev/null"}}}}]}}
Policy.parse(document)
gc.collect(0)
assert schema._last() is None
Policy.parse(document)
kept = schema.envoy()
Policy.parse(document)
assert schema.envoy() is kept
"""


def test_a_process_that_reads_one_policy_keeps_no_schema() -> None:
    """Behind the first policy the schema goes with the next young collection; who reads again keeps it."""
    subprocess.run([sys.executable, "-c", READ_ONCE_AND_AGAIN], check=True, timeout=60)
